"""Families that cannot run on this machine: left out and said, or refused where somebody asked for them by name."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from cli import families
from cli.run import Plan, prepare
from gpu_workers.sandbox.plan import Devices
from lab.backend import open_backend
from lab.errors import NotFound, UserError
from lab.settings import Settings, parse
from lab.space import When, problems, sample
from lab.track import Family, load_track
from orchestrator.designers.protocol import problem
from orchestrator.planner import explored_families, narrowed
from support.curve.spec import TRACK

NET = Family(name="net", space=TRACK.families[0].space, needs=("msgspec", "no_such_package"))
BOTH = replace(TRACK, families=(*TRACK.families, NET))
NAMED = '[designers]\nfamilies = ["net"]\n'


def test_a_family_whose_needs_are_not_installed_is_left_out_and_said_with_the_fix() -> None:
    assert "net" not in explored_families(BOTH, Settings())
    line = families.told(BOTH)
    assert line.startswith("left out: net (no no_such_package here); `make setup TORCH=cpu`")
    assert families.told(TRACK) == ""


def test_one_that_was_asked_for_by_name_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    backend = open_backend(f"local:{tmp_path / 'lab'}", create=True)
    plan = Plan(backend=backend.address, text=NAMED, base=tmp_path)
    with pytest.raises(UserError, match="net, which needs no_such_package: not installed"):
        prepare(backend, BOTH, parse(NAMED), plan)
    with pytest.raises(NotFound, match="has no family 'net'"):
        prepare(backend, TRACK, parse(NAMED), plan)
    assert backend.ledger.office.control().settings == 0


@pytest.mark.parametrize(("text", "cards", "says"), [
    ("[training]\njob_class = \"gpu\"\n", True, "prices.gpu_usd_h is not set"),
    ("[training]\njob_class = \"gpu\"\n[prices]\ngpu_usd_h = 0.1\n", False, "this machine shows none"),
])
def test_a_graphics_processor_that_nobody_pays_or_that_is_not_there_is_refused(
        text: str, cards: bool, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "probe", lambda: Devices(nodes=("/dev/nvidia0",)) if cards else Devices())
    with pytest.raises(UserError, match=says):
        families.require(TRACK, parse(text))


@pytest.mark.parametrize(("pins", "says"), [
    ("polynomial = { slope = 1 }", "polynomial has no slope; it has degree"),
    ("polynomial = { degree = -3 }", "polynomial.degree = -3 is outside its space"),
])
def test_what_cannot_be_pinned_is_said(pins: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        families.require(TRACK, parse(f"[designers.pinned]\n{pins}\n"))


def test_what_is_pinned_does_not_vary_and_the_rest_does() -> None:
    pins = parse("[designers.pinned]\npolynomial = { degree = 3 }\n")
    (polynomial,) = [f for f in narrowed(problem(TRACK), pins).families if f.name == "polynomial"]
    points = [sample(polynomial.space, Random(n)) for n in range(20)]
    assert {point["degree"] for point in points} == {3}
    assert len({point["ridge"] for point in points}) > 10
    assert problems(TRACK.family("polynomial").space, points[0]) == []


def test_the_codec_track_trains_what_needs_it_and_nothing_else() -> None:
    restore = load_track("codec").family("restore")
    assert (restore.learned, restore.trained) == (True, When("mode", ("generic",)))
    assert restore.trains({"mode": "generic", "channels": 16})
    assert not restore.trains({"mode": "overfitted", "channels": 16})
    assert not restore.trains({"channels": 0})
    assert not load_track("codec").family("classic").trains({})
