"""The demo: the shipped footage in its roles, under settings that end in time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cli.demo import CLIPS, FIRST, MINUTES, clips_text, settings_text
from cli.main import COMMANDS
from lab.backend import open_backend
from lab.errors import UserError
from lab.settings import parse
from lab.space import Dimension, problems
from lab.track import Track, load_track
from support.commands import environment


def test_its_settings_are_sound_and_name_footage_for_every_role() -> None:
    settings = parse(settings_text(5.0, cores=2))
    assert {clip.role for clip in settings.clips} == {"train", "score", "confirm"}
    assert all((CLIPS / clip.path).is_file() for clip in settings.clips)
    assert not settings.limits.stop_at_goal
    assert settings.limits.minutes == 5.0


def dimension(track: Track, family: str, name: str) -> Dimension:
    return next(d for d in track.family(family).space if d.name == name)


def test_with_networks_its_settings_are_sound_too_and_each_pin_lies_in_its_space() -> None:
    settings = parse(settings_text(10.0, cores=2, learned=True))
    track = load_track("codec")
    assert set(settings.designers.pinned or {}) == {f.name for f in track.families if f.learned}
    pins = settings.designers.pinned or {}
    assert [pin for family, values in pins.items() for pin, value in values.items()
            if not dimension(track, family, pin).holds(value)] == []
    assert problems(track.family(FIRST.family).space, FIRST.params) == []
    assert settings.training.limit().steps == 200


def test_without_networks_only_the_classic_encoders_are_explored() -> None:
    assert parse(settings_text(5.0, cores=2)).designers.families == ("classic",)


def test_every_place_that_promises_it_says_how_long_it_takes() -> None:
    promise = {4: "four minutes", 5: "five minutes", 6: "six minutes"}[round(MINUTES)]
    (row,) = [row for row in COMMANDS if row.name == "demo"]
    assert promise in row.help
    assert promise in (CLIPS.parent / "README.md").read_text()


@pytest.mark.parametrize("cores", [1, 2, 3, 64])
def test_it_asks_for_no_more_threads_than_there_are_cores(cores: int) -> None:
    limits = parse(settings_text(5.0, cores)).limits
    assert 1 <= limits.workers * limits.threads <= cores


def test_without_its_footage_it_says_where_to_run_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run `aether demo` from a checkout"):
        clips_text(tmp_path)


@pytest.mark.ci
def test_it_measures_real_codecs_reports_and_carries_on(tmp_path: Path) -> None:
    counts = [0]
    for minutes in ("1", "2", "2", "2"):  # two, unless a slow machine draws what no minute is enough for
        ran = subprocess.run([sys.executable, "-m", "cli.main", "demo", "--minutes", minutes, "--json"], cwd=tmp_path,
                             env=environment(), capture_output=True, text=True, timeout=300)
        assert ran.returncode == 0, ran.stderr
        summary = json.loads(ran.stdout)
        assert (tmp_path / "demo-lab/report.html").stat().st_size > 1000
        lab = open_backend(f"local:{tmp_path / 'demo-lab'}")
        counts.append(len(lab.ledger.experiments("finished")))  # what waited in the first run counts in the second
        if 0 < counts[-2] < counts[-1]:
            break
    assert summary["front"]
    assert 0 < counts[-2] < counts[-1]
