"""Rate-distortion benchmarks: points like those of experiments, kept by content; BD-rates that say their limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_workers.codec.bench import Bench, bench
from gpu_workers.codec.families.classic_space import SPACE, as_people_run
from gpu_workers.codec.ladders import LADDERS, Ladder, ladder, ladder_of
from gpu_workers.codec.measure.bdrate import bd_rate
from gpu_workers.machine import MachineLock
from lab.errors import NotFound, UserError
from lab.experiment import Spec
from lab.space import problems
from support.footage import cut

FAST = Ladder(name="fast", points=tuple(as_people_run("svtav1", svtav1_crf=crf, svtav1_preset=12)
                                        for crf in (25.0, 35.0, 45.0, 55.0)))
COARSE = Ladder(name="coarse", points=tuple(as_people_run("x265", x265_crf=crf, x265_preset="ultrafast")
                                            for crf in (22.0, 27.0, 32.0, 37.0)))
SHORT = Ladder(name="short", points=FAST.points[:2])


def run(clips: list[Path], ladders: tuple[Ladder, ...], folder: Path, steps: list[str] | None = None) -> Bench:
    told = steps if steps is not None else []
    return bench(clips, ladders, cache=folder / "cache", anchors=("coarse",), machine=MachineLock(folder / "machine"),
                 progress=lambda what, share: told.append(f"{what} {share:.2f}"))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    return [cut(name, 6, folder, "scale=160:90") for name in ("drive_1080p30", "flower_720p30")]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Points that one test measured are kept for the others."""
    return tmp_path_factory.mktemp("bench")


def test_a_bench_gives_curves_and_bd_rates_for_each_sequence_and_the_set(clips: list[Path], home: Path) -> None:
    steps: list[str] = []
    found = run(clips, (COARSE, FAST), home, steps)
    assert [(curve.sequence, curve.ladder) for curve in found.curves] == [
        (clip.stem, name) for clip in clips for name in ("coarse", "fast")]
    for curve in found.curves:
        assert curve.rd == sorted(curve.rd, reverse=True), "better quality costs more"
    per_sequence = [one.delta.value for one in found.bd_rates if one.ladder == "fast" and one.sequence]
    mean = found.over_the_set("fast", "coarse").value
    assert mean == pytest.approx(sum(value or 0 for value in per_sequence) / 2)
    assert mean is not None
    assert mean < 0, "SVT-AV1's fastest preset still beats x265's fastest"
    assert found.over_the_set("coarse", "coarse").value == pytest.approx(0, abs=1e-6)
    rd = {(curve.sequence, curve.ladder): curve.rd for curve in found.curves}
    assert per_sequence[0] == bd_rate(rd[clips[0].stem, "coarse"], rd[clips[0].stem, "fast"]).value
    assert len(steps) == 16
    assert run(clips, (COARSE, FAST), home) == found, "a kept point is the same point, its timing too"


def test_a_kept_point_that_was_half_written_is_measured_again(clips: list[Path], tmp_path: Path) -> None:
    before = run(clips[:1], (SHORT,), tmp_path)
    for kept in (tmp_path / "cache").iterdir():
        kept.write_bytes(kept.read_bytes()[:20])
    after = run(clips[:1], (SHORT,), tmp_path)
    assert [curve.rd for curve in after.curves] == [curve.rd for curve in before.curves]


def test_too_few_points_give_no_bd_rate_and_say_so(clips: list[Path], home: Path) -> None:
    delta = run(clips[:1], (COARSE, SHORT), home).over_the_set("short", "coarse")
    assert delta.value is None
    assert "2 points" in delta.why
    assert clips[0].stem in delta.why


def test_two_clips_of_one_name_are_refused(clips: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="same name"):
        run([clips[0], clips[0]], (SHORT,), tmp_path)
    with pytest.raises(UserError, match=r"missing\.mp4"):
        run([tmp_path / "missing.mp4"], (SHORT,), tmp_path)


def test_every_ladder_has_five_points_of_the_space_as_people_run_it_and_tuned_for_psnr() -> None:
    assert {one.name for one in LADDERS} == {"x265_medium", "x265_medium_psnr", "svtav1_preset6", "vvenc_faster",
                                             "vvenc_faster_psnr"}
    for one in LADDERS:
        assert len(one.points) == 5
        assert [problems(SPACE, point) for point in one.points] == [[]] * 5, one.name
    assert all(point["x265_tune"] == "psnr" for point in ladder("x265_medium_psnr").points)
    assert all(point["vvenc_qpa"] is False for point in ladder("vvenc_faster_psnr").points)
    with pytest.raises(NotFound, match="x265_medium"):
        ladder("none")


@pytest.mark.parametrize("params", [as_people_run("svtav1", svtav1_crf=60.0), as_people_run("vvenc", vvenc_qp=30),
                                    as_people_run("x265", x265_mbps=1.0), as_people_run("x265", x265_crf=28.0)])
def test_a_champion_has_a_ladder_of_its_own_configuration(params: dict[str, object]) -> None:
    spec = Spec(track="codec", family="classic", params=params, clips="c", seed=0, protocol=1)  # type: ignore[arg-type]
    found = ladder_of("champion", spec)
    assert len(found.points) >= 4
    assert params in found.points
    assert [problems(SPACE, point) for point in found.points] == [[]] * len(found.points)
