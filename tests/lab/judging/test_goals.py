"""Goals are met by what was measured, and by nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.experiment import Scores
from lab.judging.goals import GoalVerdict, judge, margins, succeeded
from lab.track import Goal

QUALITY = Goal(metric="psnr_y_db", relation=">=", value=35.0)
RATE = Goal(metric="bitrate_mbps", relation="<=", value=1.0)


def scores(mean: dict[str, float | None], clips: dict[str, list[float | None]] | None = None, **more: object) -> Scores:
    """`clips` gives each metric's value clip by clip."""
    columns = clips or {}
    count = max((len(values) for values in columns.values()), default=0)
    rows = {f"clip{i}": {metric: values[i] for metric, values in columns.items()} for i in range(count)}
    return Scores(mean=mean, clips=rows, **more)  # type: ignore[arg-type]


def one(goal: Goal, told: Scores, not_applicable: frozenset[str] = frozenset()) -> GoalVerdict:
    (verdict,) = judge([goal], told, not_applicable)
    return verdict


@pytest.mark.parametrize(("value", "status"), [(35.0, "met"), (36.2, "met"), (34.999, "missed")])
def test_a_mean_meets_its_goal_at_the_value_itself(value: float, status: str) -> None:
    verdict = one(QUALITY, scores({"psnr_y_db": value}))
    assert (verdict.status, verdict.value) == (status, value)


def test_relations_point_their_own_way() -> None:
    low = scores({"bitrate_mbps": 0.8, "psnr_y_db": 30.0})
    assert [v.status for v in judge([RATE, QUALITY], low)] == ["met", "missed"]


def test_the_mean_decides_and_the_share_of_clips_stands_beside() -> None:
    verdict = one(QUALITY, scores({"psnr_y_db": 36.0}, {"psnr_y_db": [40.0, 37.0, 31.0, None]}))
    assert verdict.status == "met"
    assert verdict.share == 0.5  # a clip without a number does not meet anything


def test_every_clip_is_judged_by_the_worst() -> None:
    every = Goal(metric="psnr_y_db", relation=">=", value=35.0, scope="every")
    missed = one(every, scores({"psnr_y_db": 40.0}, {"psnr_y_db": [45.0, 34.0]}))
    assert (missed.status, missed.value) == ("missed", 34.0)
    assert one(every, scores({"psnr_y_db": 1.0}, {"psnr_y_db": [45.0, 35.0]})).status == "met"


def test_a_share_is_judged_at_the_clip_that_completes_it() -> None:
    most = Goal(metric="bitrate_mbps", relation="<=", value=1.0, scope="share", share=0.75)
    verdict = one(most, scores({}, {"bitrate_mbps": [0.5, 0.7, 0.9, 9.0]}))
    assert (verdict.status, verdict.value, verdict.share) == ("met", 0.9, 0.75)
    assert one(most, scores({}, {"bitrate_mbps": [0.5, 0.7, 1.1, 9.0]})).status == "missed"


def test_a_missing_clip_leaves_the_goal_open_only_while_it_could_decide() -> None:
    most = Goal(metric="psnr_y_db", relation=">=", value=35.0, scope="share", share=0.5)
    assert one(most, scores({}, {"psnr_y_db": [36.0, 36.0, None, 30.0]})).status == "met"
    assert one(most, scores({}, {"psnr_y_db": [36.0, None, 30.0, 30.0]})).status == "unknown"
    assert one(most, scores({}, {"psnr_y_db": [None, 30.0, 30.0, 30.0]})).status == "missed"


def test_what_was_not_measured_is_unknown_and_says_why() -> None:
    verdict = one(QUALITY, scores({"psnr_y_db": None}, why={"psnr_y_db": "no weights for it"}))
    assert (verdict.status, verdict.why, verdict.distance) == ("unknown", "no weights for it", None)
    assert one(QUALITY, scores({})).status == "unknown"
    everywhere = Goal(metric="psnr_y_db", relation=">=", value=35.0, scope="every")
    assert one(everywhere, scores({"psnr_y_db": 50.0})).status == "unknown"  # no clips, nothing shown


def test_a_claimed_figure_meets_nothing() -> None:
    claimed = scores({"bitrate_mbps": 0.1}, provenance={"bitrate_mbps": "claimed"})
    assert one(RATE, claimed).status == "unknown"


def test_success_needs_every_goal_that_applies() -> None:
    cost = Goal(metric="decoder_kmac_px", relation="<=", value=100)
    good = scores({"bitrate_mbps": 0.8, "psnr_y_db": 36.0})
    classic = frozenset({"decoder_kmac_px"})
    assert succeeded(judge([RATE, QUALITY, cost], good, classic))
    assert not succeeded(judge([RATE, QUALITY, cost], good))  # unknown is not met
    assert not succeeded(judge([RATE, QUALITY], scores({"bitrate_mbps": 2.0, "psnr_y_db": 36.0})))


def test_nothing_asked_is_nothing_achieved() -> None:
    assert not succeeded([])
    assert not succeeded(judge([RATE], scores({"bitrate_mbps": 0.1}), frozenset({"bitrate_mbps"})))


def test_the_distance_is_a_part_of_the_goal() -> None:
    assert one(RATE, scores({"bitrate_mbps": 1.5})).distance == pytest.approx(0.5)
    assert one(QUALITY, scores({"psnr_y_db": 28.0})).distance == pytest.approx(0.2)
    assert one(QUALITY, scores({"psnr_y_db": 40.0})).distance == 0


@given(values=st.lists(st.none() | st.floats(0, 100), min_size=1, max_size=8), share=st.floats(0.01, 1),
       relation=st.sampled_from(["<=", ">="]))
def test_filling_in_missing_clips_never_overturns_a_verdict(values: list[float | None], share: float,
                                                            relation: str) -> None:
    goal = Goal(metric="m", relation=relation, value=50.0, scope="share", share=share)  # type: ignore[arg-type]
    before = one(goal, scores({}, {"m": values})).status
    after = {one(goal, scores({}, {"m": [fill if v is None else v for v in values]})).status for fill in (0.0, 100.0)}
    assert after == ({before} if before != "unknown" else {"met", "missed"})


NUMBERS = st.none() | st.floats(-5, 5)


@given(values=st.lists(NUMBERS, max_size=4), mean=NUMBERS, scope=st.sampled_from(["mean", "every", "share"]),
       relation=st.sampled_from(["<=", ">="]), value=st.floats(-3, 3), claimed=st.booleans())
def test_a_margin_says_what_the_verdict_says(values: list[float | None], mean: float | None, scope: Any, relation: Any,
                                             value: float, claimed: bool) -> None:
    goal = Goal(metric="m", relation=relation, value=value, scope=scope, share=0.5)
    scores = Scores(mean={"m": mean}, clips={str(n): {"m": v} for n, v in enumerate(values)},
                    provenance={"m": "claimed"} if claimed else {})
    [verdict], [margin] = judge([goal], scores), margins([goal], scores)
    assert (margin is None) == (verdict.status == "unknown")
    if margin is not None:
        assert (margin >= 0) == (verdict.status == "met")
        assert max(-margin, 0.0) == verdict.distance
    assert margins([goal], scores, frozenset({"m"})) == []
