"""Lines in CloudWatch's embedded metric format, held to the rules of its specification."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest

from cdk.boot import instance
from lab.aws import telemetry
from lab.aws.telemetry import Emf, telemetry_from

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html
UNITS = {"Seconds", "Microseconds", "Milliseconds", "Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes", "Bits",
         "Percent", "Count", "Bytes/Second", "Count/Second", "None"}
WALL = 1_796_000_000.25


def require_emf(text: str) -> dict[str, Any]:
    """The document of one line, once it keeps what the specification asks for."""
    document: dict[str, Any] = json.loads(text)
    about = document["_aws"]
    assert set(about) == {"Timestamp", "CloudWatchMetrics"}
    assert isinstance(about["Timestamp"], int)
    for directive in about["CloudWatchMetrics"]:
        assert set(directive) == {"Namespace", "Dimensions", "Metrics"}
        assert re.fullmatch(r"[\w./#:-]{1,255}", directive["Namespace"])
        assert directive["Dimensions"]
        for names in directive["Dimensions"]:
            assert len(names) <= 30
            assert all(isinstance(document[name], str) and 0 < len(document[name]) <= 1024 for name in names)
        assert 0 < len(directive["Metrics"]) <= 100
        for metric in directive["Metrics"]:
            assert set(metric) == {"Name", "Unit"}
            assert metric["Unit"] in UNITS
            assert isinstance(document[metric["Name"]], float)
    return document


def told(*values: Any, **beside: Any) -> list[str]:
    out = io.StringIO()
    Emf("lab", out, lambda: WALL).tell(*values, **beside)
    return out.getvalue().splitlines()


@pytest.mark.parametrize("name", telemetry.UNITS)
def test_every_metric_is_told_as_the_format_asks(name: str) -> None:
    [line] = told({name: 2}, experiment="e00042")
    document = require_emf(line)
    assert (document["Lab"], document[name], document["experiment"]) == ("lab", 2.0, "e00042")
    assert document["_aws"]["Timestamp"] == int(WALL * 1000)
    [directive] = document["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Dimensions"]) == ("Aether", [["Lab"]])


def test_a_further_dimension_stands_beside_the_lab() -> None:
    document = require_emf(told({"Experiments": 3}, {"Verdict": "failed"})[0])
    assert document["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["Lab", "Verdict"]]
    assert document["Verdict"] == "failed"


def test_what_is_no_finite_number_is_left_out_and_nothing_makes_no_line() -> None:
    document = require_emf(told({"SpentUsd": float("nan"), "Backlog": 1})[0])
    assert "SpentUsd" not in document
    assert told({"QueueAgeS": float("inf")}) == []


@pytest.mark.parametrize(("environment", "address", "speaks"), [
    ({"AETHER_TELEMETRY": "emf"}, "aws:lab", True), ({}, "aws:lab", False),
    ({"AETHER_TELEMETRY": "emf"}, "local:lab", False)])
def test_only_a_service_on_an_account_tells_anything(environment: dict[str, str], address: str, speaks: bool) -> None:
    assert (telemetry_from(environment, address, io.StringIO(), lambda: WALL) is not None) == speaks


def test_the_instances_own_word_of_a_crash_is_of_the_same_form(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The helper at the boot has none of our code beside it."""
    monkeypatch.setenv("AETHER_LAB", "lab")
    instance.tell_crash(tmp_path)
    document = require_emf((tmp_path / "crashes.log").read_text())
    own = require_emf(told({"WorkerCrash": 1})[0])
    assert {**document, "_aws": 0} == {**own, "_aws": 0}
    assert document["_aws"]["CloudWatchMetrics"] == own["_aws"]["CloudWatchMetrics"]
