"""What a training claimed of itself, as curves: a stranger's data, drawn as far as it is a series."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest

from gpu_workers.codec.spec import TRACK
from lab.experiment import Checkpoint, Spec
from lab.local.store import FileStore
from lab.training import MOST_CURVES, curves, drawn
from support.laboratory import experiment

SPEC = Spec(track="codec", family="candidate", params={}, clips="c" * 64, seed=1, protocol=1)


def test_the_loss_comes_first_over_the_steps() -> None:
    claims = [{"seconds": 0.1 * n, "step": n, "steps": 9, "rate": 0.5, "loss": 1 / (n + 1)} for n in range(9)]
    loss, rate = drawn(claims)
    assert (loss.name, loss.over, rate.name) == ("loss", "step", "rate")
    assert loss.points[3] == (3.0, 0.25)
    assert loss.last == 1 / 9


def test_without_steps_it_is_drawn_over_the_seconds_and_without_those_not_at_all() -> None:
    claims = [{"seconds": float(n), "loss": 1.0} for n in range(3)]
    assert drawn(claims)[0].over == "seconds"
    assert drawn([{"loss": 1.0}, {"loss": 2.0}]) == ()
    assert drawn([]) == ()


def test_what_is_no_number_leaves_a_gap_and_what_is_no_curve_is_left_out() -> None:
    claims = [{"step": n, "loss": None if n == 2 else math.inf if n == 3 else float(n), "note": "fine", "on": True,
               "once": 1 if n == 0 else None} for n in range(6)]
    (loss,) = drawn(claims)
    assert [x for x, _ in loss.points] == [0.0, 1.0, 4.0, 5.0]
    assert len(drawn([{"step": n, **{f"c{k}": n for k in range(50)}} for n in range(3)])) == MOST_CURVES


@pytest.mark.parametrize("said", [b"[1]", b"[" * 9999, b'[{"step": "\xff"}]', b'[{"step": 1' + b"0" * 400 + b"}]"])
def test_what_is_no_series_is_drawn_by_nobody_and_stops_nobody(tmp_path: Path, said: bytes) -> None:
    store = FileStore(tmp_path)
    left = {"train": Checkpoint(outputs={"training.json": store.put_bytes(said)}, done=True)}
    trained = msgspec.structs.replace(experiment("e0001", SPEC), checkpoints=left)
    assert curves(trained, TRACK, store) == ()
