"""Experiments in few words."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cli.output import clean, number, seconds
from cli.words import configuration, resumes, share_done
from lab.experiment import Checkpoint, Experiment, Spec
from lab.track import Phase, load_track


def spec(**params: object) -> Spec:
    return Spec(track="codec", family="classic", params=params, clips="0" * 64, seed=1, protocol=1)  # type: ignore[arg-type]


@pytest.mark.parametrize(("params", "words"), [
    ({"encoder": "x265", "scale": "2/3", "x265_preset": "slow", "x265_rate": "crf", "x265_crf": 28.1,
      "x265_tune": "none", "gop_frames": 64}, "x265 2/3 slow crf 28.1"),
    ({"encoder": "svtav1", "scale": "full", "svtav1_preset": 6, "svtav1_rate": "mbps", "svtav1_mbps": 0.25},
     "svtav1 6 mbps 0.25"),
])
def test_a_configuration_is_told_by_its_choices_with_numbers_beside_their_word(
        params: dict[str, object], words: str) -> None:
    assert configuration(spec(**params), load_track("codec")) == words


def test_a_family_that_says_what_it_is_told_by_goes_by_its_name() -> None:
    restore = Spec(track="codec", family="restore", clips="0" * 64, seed=1, protocol=1, params={
        "crf": 41.5, "scale": "2/3", "gop_frames": 64, "channels": 16, "mode": "overfitted", "steps": 400})
    assert configuration(restore, load_track("codec")) == "restore 2/3 crf 41.5 channels 16 overfitted"


BROKEN, HALF, DONE = (Checkpoint(outputs={name: "h"}, done=done) for name, done in (
    ("log.txt", False), ("live", False), ("out", True)))


@pytest.mark.parametrize(("left", "words"), [
    ({}, ""),
    ({"train": BROKEN}, ""),
    ({"train": HALF}, "in the midst of train"),
    ({"train": DONE}, "with score"),
    ({"train": DONE, "score": BROKEN}, "with score"),
    ({"train": DONE, "score": DONE}, "with its verdict"),
])
def test_what_waits_says_where_it_goes_on(left: dict[str, Checkpoint], words: str) -> None:
    phases = (Phase(name="train", entry="a:b", live="live"), Phase(name="score", entry="a:b"))
    track = replace(load_track("codec"), phases=lambda spec: phases)
    waiting = Experiment(id="e1", spec=spec(), fingerprint="f", purpose="explore", designer="control", state="queued",
                         checkpoints=left)
    assert resumes(waiting, track) == words
    assert resumes(replace(waiting, state="running"), track) == ""


def test_a_claimed_progress_is_a_share_or_nothing() -> None:
    assert share_done({"frame": 15, "frames": 30}) == 0.5
    assert share_done({"frame": 90, "frames": 30}) == 1.0
    assert share_done({"step": 50, "steps": 200, "loss": 0.4}) == 0.25
    assert share_done({"frame": 3, "frames": 0}) is None
    assert share_done({"frame": "many", "frames": "more"}) is None
    assert share_done({}) is None


@pytest.mark.parametrize(("value", "words"), [(None, "–"), (0.95312, "0.9531"), (35.123, "35.12"),
                                              (123456.7, "123,457"), (0.0, "0")])
def test_numbers_are_short_and_what_was_not_measured_is_a_dash(value: float | None, words: str) -> None:
    assert number(value) == words


@pytest.mark.parametrize(("value", "words"), [(4.21, "4.2 s"), (59.99, "60.0 s"), (200, "3 min 20 s"),
                                              (3599.7, "1 h 0 min"), (7500, "2 h 5 min")])
def test_durations_are_told_as_people_say_them(value: float, words: str) -> None:
    assert seconds(value) == words


def test_text_of_strangers_cannot_steer_the_terminal() -> None:
    assert clean("a\x1b]0;title\x07b\r\n") == "a�]0;title�b�\n"
