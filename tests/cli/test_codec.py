"""`aether codec`: from file to file, for a person and for a machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from cli.codec_bench import draw, show
from cli.output import console
from gpu_workers.codec.bench import BdRate, Bench, Curve, RdPoint
from gpu_workers.codec.ladders import ladder
from gpu_workers.codec.measure.bdrate import Delta
from lab.errors import UserError
from support.footage import VIDEO, cut

Said = Callable[..., str]
FEW = ("svtav1_preset6", "x265_medium")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A third of a second of a real clip, small."""
    return cut("walk_480p30", 10, tmp_path_factory.mktemp("film"), "scale=160:90")


@pytest.fixture(scope="session")
def stream(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from cli.main import run_command
    target = tmp_path_factory.mktemp("stream") / "film.aec"
    assert run_command(["codec", "encode", str(film), str(target), "--crf", "40"]) == 0
    return target


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("AETHER_BACKEND", raising=False)


def answer(said: Said, *words: str) -> Any:
    found = json.loads(said("codec", *words, "--json"))
    assert found["schema"] == 1
    return found


def test_a_rate_that_is_asked_for_is_met_by_svtav1(film: Path, said: Said) -> None:
    report = answer(said, "encode", str(film), "a.aec", "--mbps", "0.3")
    assert report["params"]["encoder"] == "svtav1"
    assert report["mbps"] == pytest.approx(0.3, rel=0.05)
    assert report["bytes"] == Path("a.aec").stat().st_size


def test_options_speak_for_the_search_space(film: Path, said: Said) -> None:
    told = answer(said, "encode", str(film), "a.aec", "--encoder", "x265", "--preset", "ultrafast", "--crf", "35",
                  "--param", "x265_tune=psnr", "--param", "gop_frames=16")["params"]
    wanted = {"x265_preset": "ultrafast", "x265_tune": "psnr", "gop_frames": 16, "x265_crf": 35}
    assert {name: told[name] for name in wanted} == wanted


@pytest.mark.parametrize(("words", "fix"), [
    (["--mbps", "1", "--crf", "30"], "one of --mbps, --crf and --psnr"),
    (["--mbps", "-1"], "positive"),
    (["--param", "nonsense"], "NAME=VALUE"),
    (["--encoder", "mpeg2"], "svtav1"),
    (["--preset", "99"], "svtav1_preset"),
    (["--family", "none"], "classic"),
])
def test_a_wish_that_cannot_be_is_refused_in_one_line(words: list[str], fix: str, film: Path, said: Said) -> None:
    told = said("codec", "encode", str(film), "a.aec", *words, code=2)
    assert fix in told
    assert told.count("\n") == 1
    assert not Path("a.aec").exists()


def test_what_was_encoded_decodes_to_as_many_frames_and_compares(film: Path, stream: Path, said: Said) -> None:
    assert "10 frames" in said("codec", "decode", str(stream), "out.mkv")
    of_file, of_stream = (answer(said, "compare", str(film), str(one)) for one in ("out.mkv", stream))
    rate = of_stream["values"].pop("bitrate_mbps")
    assert rate == pytest.approx(stream.stat().st_size * 8 / (10 * 1001 / 30000) / 1e6)
    assert of_file["values"] == of_stream["values"]
    assert 25 < of_file["values"]["psnr_y_db"] < 50
    assert of_file["values"]["lpips"] is not None or of_file["why"]["lpips"]


def test_a_comparison_is_a_table_of_every_metric(film: Path, stream: Path, said: Said) -> None:
    told = said("codec", "compare", str(film), str(stream))
    for metric in ("bitrate_mbps", "psnr_y_db", "psnr_yuv611_db", "ssim", "ms_ssim", "vmaf", "vmaf_neg", "lpips"):
        assert metric in told
    assert "worst by PSNR-Y: #" in told


def test_videos_that_do_not_pair_up_are_no_comparison(film: Path, said: Said) -> None:
    refused = said("codec", "compare", str(film), str(VIDEO / "flower_720p30.mp4"), code=2)
    assert "encode it as the original is" in refused


def test_a_rate_out_of_reach_is_told(film: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from cli.main import run_command
    assert run_command(["codec", "encode", str(film), "out.aec", "--mbps", "400", "--preset", "12"]) == 0
    told = capsys.readouterr().err
    assert "warning: 400 Mbps is out of reach for svtav1 on this source; the nearest is" in told
    assert Path("out.aec").exists()


def test_a_parameter_that_is_wrong_is_told_in_words_a_person_uses(film: Path, said: Said) -> None:
    encode = ("codec", "encode", str(film), "out.aec")
    assert said(*encode, "--crf", "900", code=2) == (
        "error: svtav1_crf=900.0 is outside; give a number from 15 to 70\n")
    assert "give a whole number from 2 to 12" in said(*encode, "--preset", "99", code=2)
    told = said(*encode, "--param", "foo=1", code=2)
    assert "'foo' is no parameter of svtav1; there are " in told
    assert "svtav1_film_grain" in told
    assert "x265" not in told


def test_a_file_for_watching_says_that_it_was_coded_again(stream: Path, said: Said) -> None:
    assert "coded again for watching (H.264, CRF 8: near-lossless)" in said("codec", "decode", str(stream), "out.mp4")
    assert "coded again" not in said("codec", "decode", str(stream), "out.mkv")


def test_a_stream_without_weights_decodes_where_there_is_a_laboratory_too(stream: Path, film: Path, said: Said) -> None:
    said("clips", "add", str(film))
    assert "10 frames" in said("codec", "decode", str(stream), "out.mkv")


def test_an_odd_film_for_watching_says_that_it_was_padded(film: Path, tmp_path: Path, said: Said) -> None:
    odd = cut("walk_480p30", 3, tmp_path, "scale=161:91")
    said("codec", "encode", str(odd), "odd.aec", "--crf", "50")
    told = said("codec", "decode", "odd.aec", "out.mp4")
    assert "padded to 162×92 since its chroma needs even sides; .mkv keeps every value" in told
    assert "padded" not in said("codec", "decode", "odd.aec", "out.mkv")


def test_what_is_no_stream_is_told_by_its_name_with_the_fix(said: Said) -> None:
    Path("notes.txt").write_text("hello")
    assert said("codec", "decode", "notes.txt", "out.mkv", code=2) == (
        "error: notes.txt: this is no .aec stream, as `aether codec encode` makes them\n")
    assert not Path("out.mkv").exists()


def test_what_a_decoding_came_to_is_there_for_a_machine(stream: Path, said: Said) -> None:
    assert answer(said, "decode", str(stream), "out.mkv") == {
        "file": "out.mkv", "frames": 10, "width": 160, "height": 90, "padded": False, "exact": True, "schema": 1}


def test_of_a_cut_stream_it_is_told_what_was_decoded(stream: Path, said: Said) -> None:
    Path("cut.aec").write_bytes(stream.read_bytes()[:-200])
    told = said("codec", "decode", "cut.aec", "out.mkv", code=2)
    assert "frames before it are in out.mkv" in told
    assert Path("out.mkv").exists()


def test_a_whole_stream_is_told_from_a_cut_one(stream: Path, said: Said) -> None:
    assert "every checksum holds" in said("codec", "info", str(stream))
    Path("cut.aec").write_bytes(stream.read_bytes()[:-40])
    assert "is not whole" in said("codec", "info", "cut.aec", code=2)
    assert "no .aec" in said("codec", "decode", __file__, "x.mkv", code=2)


def test_facts_of_any_video_are_told(film: Path, said: Said) -> None:
    assert answer(said, "info", str(film))["frames"] == 10


def made_up_bench() -> Bench:
    """Two encoders on two sequences, of which one has too few points to compare."""
    def curve(sequence: str, ladder: str, gain: float, count: int = 5) -> Curve:
        points = [RdPoint(bytes=1, bitrate_mbps=gain * 2.0 ** n, psnr_y_db=30.0 + 3 * n, quality={"ssim": 0.9})
                  for n in range(count)]
        return Curve(sequence=sequence, ladder=ladder, points=tuple(points))

    curves = (curve("a", FEW[0], 0.8), curve("a", FEW[1], 1.0), curve("<b>", FEW[0], 0.8, 2), curve("<b>", FEW[1], 1.0))
    deltas = {"a": Delta(value=-20.0), "<b>": Delta(value=None, why="too few points"),
              None: Delta(value=None, why="<b>: too few points")}
    return Bench(curves=curves, bd_rates=tuple(BdRate(ladder=FEW[0], anchor=FEW[1], sequence=sequence, delta=delta)
                                               for sequence, delta in deltas.items()))


def test_a_bench_shows_every_point_the_bd_rates_and_why_one_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    show(made_up_bench(), console())
    told = capsys.readouterr().out
    assert f"BD-rate against {FEW[1]}" in told
    assert "-20.0" in told
    assert f"{FEW[0]}: <b>: too few points" in told
    assert told.count("0.9") >= 17


def test_the_benchs_picture_has_every_point_of_every_sequence(tmp_path: Path) -> None:
    draw(made_up_bench(), tmp_path / "b.svg")
    root = ElementTree.parse(tmp_path / "b.svg").getroot()
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"a", "<b>", *FEW} <= set(texts)
    assert len([title for title in root.iter(f"{SVG}title") if "Mbps" in (title.text or "")]) == 17


def test_a_picture_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--svg"):
        draw(made_up_bench(), tmp_path / "no such folder" / "b.svg")


def test_a_bench_without_such_an_encoder_is_refused_before_it_costs_anything(film: Path, said: Said) -> None:
    assert "no ladder" in said("codec", "bench", str(film), "--encoder", "none", code=2)


def test_a_ladder_goes_by_its_encoders_name_too() -> None:
    assert [ladder(name).name for name in ("svtav1", "x265", "vvenc_faster_psnr")] == [
        "svtav1_preset6", "x265_medium", "vvenc_faster_psnr"]


def test_a_stream_is_not_written_under_the_name_of_a_video(film: Path, said: Said) -> None:
    assert "name it out.aec" in said("codec", "encode", str(film), "out.mp4", code=2)
    assert not Path("out.mp4").exists()


@pytest.mark.ci
def test_a_bench_measures_points_and_finds_them_again(film: Path, said: Said) -> None:
    options = [word for name in FEW for word in ("--encoder", name)]
    words = ["bench", str(film), *options, "--cache", "kept", "--svg", "b.svg"]
    found = answer(said, *words)
    assert {curve["ladder"] for curve in found["curves"]} == set(FEW)
    assert {(one["ladder"], one["anchor"]) for one in found["bd_rates"] if one["sequence"] is None} >= {FEW}
    assert answer(said, *words) == found
    assert len(list(Path("kept").iterdir())) == 10
