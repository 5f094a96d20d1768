"""`aether report`: the last one, or one composed now, for a person, a browser and a machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from lab.backend import open_backend
from lab.control import Report

Said = Callable[..., str]


def test_the_report_that_ended_the_run_is_shown(lab: Path, said: Said) -> None:
    told, found = said("report"), json.loads(said("report", "--json"))
    assert found["subject"] in told
    assert found["text"].strip() in told
    assert found["key"].startswith("end-")


def test_one_composed_now_is_the_last_one_from_then_on(lab: Path, said: Said) -> None:
    now = json.loads(said("report", "--now", "--json"))
    assert now["key"].startswith("now-")
    assert json.loads(said("report", "--json"))["key"] == now["key"]
    assert now["key"] in [one.key for one in open_backend("local:lab").ledger.office.reports()]


def test_the_last_report_is_found_under_any_number_with_higher_keys(tmp_path: Path, said: Said) -> None:
    here = open_backend(f"local:{tmp_path}", create=True)
    page = here.store.put_bytes(b"<!doctype html>")
    for n, key in enumerate([*(f"end-{n}" for n in range(101)), "2026-11-23T05"]):
        here.ledger.office.post_report(Report(key=key, subject="s", text="t", html=page, at=float(n)), op_id=key)
    assert json.loads(said("report", "--json", "--backend", f"local:{tmp_path}"))["key"] == "2026-11-23T05"


def test_the_page_is_a_file_that_a_browser_opens(lab: Path, said: Said) -> None:
    page = Path(said("report", "--html").strip())
    assert page.suffix == ".html"
    assert page.read_text().lower().startswith("<!doctype html")


def test_a_lab_without_a_report_says_how_to_get_one(tmp_path: Path, said: Said) -> None:
    open_backend(f"local:{tmp_path}", create=True)
    assert "--now" in said("report", "--backend", f"local:{tmp_path}", code=2)
