"""The codec track's description: light to read, complete, and right about what depends on the anchors."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from gpu_workers.codec.anchors import X265_LADDER
from gpu_workers.codec.spec import TRACK
from gpu_workers.codec.summary import ClipScores, summarise
from lab.experiment import Scores, Spec, TrainingLimit
from lab.space import problems, sample

SPEC = Spec(track="codec", family="classic", params={}, clips="c" * 64, seed=0, protocol=1)
NAMES = frozenset({
    "bitrate_mbps", "amortised_mbps", "psnr_y_db", "psnr_y_mse_db", "psnr_u_db", "psnr_v_db", "psnr_yuv611_db", "ssim",
    "ms_ssim", "vmaf", "vmaf_neg", "lpips", "reduction_vs_hevc10_pct", "saving_x265_pct", "saving_svtav1_pct",
    "encode_fps", "decode_fps", "decode_ms", "decode_peak_mb", "decoder_kmac_px", "decoder_teraops_frame", "model_mb",
})


def scores(**points: tuple[float, float]) -> Scores:
    """Scores with (Mbps, dB) for each clip."""
    clips = {clip: ClipScores(values={"bitrate_mbps": mbps, "psnr_y_db": psnr_db, "worst_frame": 3,
                                      "worst_psnr_y_db": psnr_db - 2, "key_bytes_pct": 70.0})
             for clip, (mbps, psnr_db) in points.items()}
    return summarise(clips, "cpu:test:1", {})


def test_reading_the_track_loads_nothing_heavy() -> None:
    code = ("import sys, gpu_workers.codec.spec\n"
            "heavy = {'numpy', 'torch', 'av', 'PIL', 'scipy', 'matplotlib', 'optuna', 'boto3', 'psutil'}\n"
            "print(*sorted(heavy & sys.modules.keys()))")
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, check=True)
    assert done.stdout.decode().split() == []


def test_every_metric_of_the_house_is_defined_once_with_unit_and_source() -> None:
    names = [metric.name for metric in TRACK.metrics]
    assert len(set(names)) == len(names)
    assert set(names) >= NAMES
    assert all(metric.definition and metric.source for metric in TRACK.metrics)
    assert all(goal.metric in names for goal in TRACK.goals)
    assert all(objective.metric in names for objective in TRACK.objectives)


def test_timings_are_not_taken_for_repeatable_numbers() -> None:
    assert not any(TRACK.metric(name).deterministic for name in ("encode_fps", "decode_ms", "decode_peak_mb"))
    assert TRACK.metric("psnr_y_db").deterministic


def test_the_anchors_are_points_of_the_space_that_everybody_searches() -> None:
    space = TRACK.family("classic").space
    assert len({anchor.name for anchor in TRACK.anchors}) == len(TRACK.anchors) == 11
    assert [problems(space, anchor.params) for anchor in TRACK.anchors] == [[]] * 11
    assert problems(space, sample(space, Random(1))) == []


def test_a_classic_decoder_has_no_network_to_judge() -> None:
    assert TRACK.not_applicable(SPEC) == {"decoder_kmac_px", "decoder_teraops_frame"}
    assert TRACK.not_applicable(replace(SPEC, family="restore")) == set()


def test_phases_see_only_what_they_declare() -> None:
    encode, score = TRACK.phases(SPEC)
    assert not encode.trusted
    assert score.trusted
    from_encode = {name for name in score.inputs if name.startswith("encode/")}
    assert from_encode == {f"encode/{name}" for name in encode.outputs}
    assert "scores.json" in score.outputs


def test_weights_are_frozen_before_any_footage_that_is_scored_is_bound() -> None:
    """The worker stores what `train` leaves under its hash, and only then lays out the next phase's inputs."""
    generic = replace(SPEC, family="restore", params={"mode": "generic"}, limit=TrainingLimit(steps=5))
    train, encode, score = TRACK.phases(generic)
    assert [name for name in train.inputs if name.startswith("clips:")] == ["clips:train"]
    assert TRACK.model in {f"train/{name}" for name in train.outputs}
    assert TRACK.training in {f"train/{name}" for name in train.outputs}
    for later in (encode, score):
        assert TRACK.model in later.inputs
        assert "clips:train" not in later.inputs
    assert [phase.name for phase in TRACK.phases(SPEC)] == ["encode", "score"], "classic families train nothing"


def test_the_track_is_found_by_its_entry_point() -> None:
    points = [point for point in entry_points(group="aether.tracks") if point.name == "codec"]
    if not points:
        pytest.skip("the project is not installed here; run `make setup`")
    assert points[0].load() is TRACK


def test_savings_wait_for_every_point_of_the_anchor() -> None:
    partly = {anchor.name: scores(a=(1.0, 30.0)) for anchor in X265_LADDER[:4]}
    derived = TRACK.derive(scores(a=(0.5, 33.0)), partly)
    assert derived.mean["saving_x265_pct"] is None
    assert derived.why["saving_x265_pct"] == "pending: 4 of 5 points of x265_medium are measured"
    assert derived.why["reduction_vs_hevc10_pct"] == "pending: anchor hevc10 is not measured yet"


def test_where_no_anchor_runs_a_saving_is_not_pending_for_ever() -> None:
    """A confirmation, on clips that only confirmations use."""
    anchors = {anchor.name: scores(a=(1.0, 30.0)) for anchor in TRACK.anchors}
    derived = TRACK.derive(scores(unseen=(0.5, 33.0)), anchors)
    for name in ("saving_x265_pct", "saving_svtav1_pct", "reduction_vs_hevc10_pct"):
        assert derived.mean[name] is None
        assert derived.why[name] == "not compared: anchors run on the score clips alone, and this is none of them"
    assert TRACK.derive(scores(unseen=(0.5, 33.0)), {}).why["saving_x265_pct"].startswith("pending")


def test_a_saving_is_read_off_the_anchors_curve_at_equal_psnr_clip_by_clip() -> None:
    curve = dict(zip((anchor.name for anchor in X265_LADDER), [8.0, 4.0, 2.0, 1.0, 0.5], strict=True))
    anchors = {name: scores(a=(mbps, 30 + index), b=(2 * mbps, 30 + index))
               for index, (name, mbps) in enumerate(sorted(curve.items(), key=lambda pair: pair[1]))}
    anchors["hevc10"] = scores(a=(10.0, 40.0), b=(8.0, 40.0))
    derived = TRACK.derive(scores(a=(0.5, 31.0), b=(1.5, 31.0)), anchors)
    assert derived.clips["a"]["saving_x265_pct"] == pytest.approx(50.0)
    assert derived.clips["b"]["saving_x265_pct"] == pytest.approx(25.0)
    assert derived.mean["saving_x265_pct"] == pytest.approx(37.5)
    assert derived.clips["a"]["reduction_vs_hevc10_pct"] == pytest.approx(95.0)
    assert derived.mean["reduction_vs_hevc10_pct"] == pytest.approx((95 + 81.25) / 2)
    assert not any(key.startswith("saving_x265_pct") for key in derived.why)


def test_outside_the_anchors_curve_there_is_no_saving_and_the_mean_names_the_clip() -> None:
    anchors = {anchor.name: scores(a=(2.0**index, 30 + index), b=(2.0**index, 30 + index))
               for index, anchor in enumerate(X265_LADDER)}
    derived = TRACK.derive(scores(a=(1.0, 31.0), b=(1.0, 50.0)), anchors)
    assert derived.clips["a"]["saving_x265_pct"] is not None
    assert derived.mean["saving_x265_pct"] is None
    assert derived.why["saving_x265_pct"].startswith("b: 50.00 dB lies outside")


def test_an_explanation_names_the_worst_frame_where_the_bits_went_and_the_limit() -> None:
    text = TRACK.explain(scores(calm=(0.2, 38.0), wild=(1.8, 31.0)))
    assert "wild #3, 29.0 dB" in text
    assert "wild takes 90 % of the rate" in text
    assert "key frames take 70 %" in text
    assert "psnr_y_db 34.5 (>= 35)" in text


def test_numbers_that_are_not_finite_or_not_there_become_null_with_a_reason() -> None:
    found = summarise({"a": ClipScores(values={"ssim": float("nan"), "vmaf": None}, why={"vmaf": "too small"}),
                       "b": ClipScores(values={"ssim": 0.9, "vmaf": 90.0})}, "cpu:test:1", {})
    assert found.clips["a"]["ssim"] is None
    assert found.why["ssim@a"] == "nan is no finite number"
    assert found.mean["vmaf"] is None
    assert found.why["vmaf"] == "a: too small"
    assert found.why["lpips"] == "not measured"


def test_each_metric_has_the_mean_that_fits_it() -> None:
    clips = {"a": ClipScores(values={"decode_fps": 100.0, "decode_peak_mb": 50.0, "psnr_y_db": 30.0}),
             "b": ClipScores(values={"decode_fps": 300.0, "decode_peak_mb": 80.0, "psnr_y_db": 34.0})}
    mean = summarise(clips, "cpu:test:1", {}).mean
    assert (mean["decode_fps"], mean["decode_peak_mb"], mean["psnr_y_db"]) == (pytest.approx(150.0), 80.0, 32.0)


def test_a_number_without_a_definition_is_refused() -> None:
    with pytest.raises(ValueError, match="prettiness"):
        summarise({"a": ClipScores(values={"prettiness": 1.0})}, "cpu:test:1", {})
