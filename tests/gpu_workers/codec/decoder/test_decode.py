import io
import subprocess
import sys
import zlib
from pathlib import Path

import msgspec
import pytest

from gpu_workers.codec.contract import Chunk, Kind
from gpu_workers.codec.decoder.classic import Coding
from gpu_workers.codec.decoder.container import Segment, Writer
from gpu_workers.codec.decoder.decode import Decoded
from gpu_workers.codec.decoder.errors import BadStream, CutStream
from gpu_workers.codec.families.classic_space import as_people_run
from lab.errors import UserError
from support.footage import ffmpeg
from support.streams import QUICK, chunks_of, crop, decoded, encoded, header_of, planar, stream, until_error

CLIP = crop("walk_480p30", 12, 160, 96)
OUTSIDE = '''
import zlib
import numpy as np
from gpu_workers.codec.frames import Frame

def decode(chunks, info, model):
    for chunk in chunks:
        yield Frame.from_bytes(zlib.decompress(chunk.data), info.video)
'''


DROPPING = """
import io, sys, threading
from gpu_workers.codec.decoder.decode import Decoded

def compete():
    while True:
        sum(range(200))

data = sys.stdin.buffer.read()
threading.Thread(target=compete, daemon=True).start()
sys.setswitchinterval(1e-5)
for _ in range(200):
    assert len(list(Decoded(io.BytesIO(data), threads=2))) == 1
"""


def elementary(chunks: list[Chunk]) -> tuple[str, bytes]:
    """The stream as an encoder alone writes it, and ffmpeg's name for that form."""
    coding = Coding.from_bytes(chunks[0].data)
    pictures = [chunk.data for chunk in chunks[1:]]
    if coding.codec == "av1":
        return "obu", b"".join(b"\x12\x00" + picture for picture in pictures)
    return coding.codec, coding.extradata + b"".join(pictures)


def as_ffmpeg_decodes(chunks: list[Chunk], folder: Path) -> bytes:
    form, bare = elementary(chunks)
    (folder / form).write_bytes(bare)
    return ffmpeg("-f", form, "-i", folder / form, "-fps_mode", "passthrough", "-f", "rawvideo", "-").stdout


@pytest.mark.parametrize("encoder", ["x265", "svtav1", "vvenc"])
@pytest.mark.parametrize("threads", [1, 2])
def test_frames_are_those_that_ffmpeg_decodes_from_the_bare_stream(encoder: str, threads: int, tmp_path: Path) -> None:
    chunks = chunks_of(CLIP, QUICK[encoder])
    deep = encoder == "vvenc"
    data = stream(header_of(msgspec.structs.replace(CLIP.info, pix_fmt="yuv420p10le") if deep else CLIP.info), chunks)
    frames = list(Decoded(io.BytesIO(data), threads=threads))
    assert len(frames) == len(CLIP)
    assert planar(frames) == as_ffmpeg_decodes(chunks, tmp_path)


def test_film_grain_is_put_back_and_is_the_same_each_time(tmp_path: Path) -> None:
    plain = as_people_run("svtav1", svtav1_crf=50.0, svtav1_preset=10)
    grainy = encoded(CLIP, {**plain, "svtav1_film_grain": 40})
    assert planar(decoded(grainy)) == planar(decoded(grainy))
    theirs = as_ffmpeg_decodes(chunks_of(CLIP, {**plain, "svtav1_film_grain": 40}), tmp_path)
    assert planar(decoded(grainy)) == theirs
    assert planar(decoded(encoded(CLIP, plain))) != theirs


def test_a_stream_may_change_encoder_and_resolution_from_shot_to_shot() -> None:
    shots = [QUICK["x265"], as_people_run("svtav1", svtav1_crf=40.0, svtav1_preset=10, scale="2/3"), QUICK["vvenc"]]
    file = io.BytesIO()
    writer = Writer(file, header_of(msgspec.structs.replace(CLIP.info, frames=36)))
    for number, params in enumerate(shots):
        for chunk in chunks_of(CLIP, params):
            writer.write(Chunk(chunk.kind, chunk.index + 12 * number, chunk.data))
    writer.close()
    expected = b"".join(planar(decoded(encoded(CLIP, params))) for params in shots)
    assert planar(decoded(file.getvalue())) == expected


def test_a_stream_may_change_its_family_and_a_codec_from_outside_is_two_functions(tmp_path: Path) -> None:
    (tmp_path / "decoding_agent.py").write_text(OUTSIDE)
    file = io.BytesIO()
    writer = Writer(file, header_of(msgspec.structs.replace(CLIP.info, frames=14)))
    for chunk in chunks_of(CLIP, QUICK["svtav1"]):
        writer.write(chunk)
    writer.segment(Segment("zip"))
    for index in (0, 1):
        writer.write(Chunk(Kind.KEY, 12 + index, zlib.compress(CLIP[index].to_bytes())))
    writer.close()
    agents = {"classic": "gpu_workers.codec.decoder.classic", "zip": tmp_path / "decoding_agent.py"}
    frames = list(Decoded(io.BytesIO(file.getvalue()), agents=agents))
    assert len(frames) == 14
    assert planar(frames[12:]) == planar([CLIP[0], CLIP[1]])


@pytest.mark.parametrize(("announced", "says"), [(11, "more frames"), (13, "decodes to 12 frames, but announces 13")])
def test_another_number_of_frames_than_announced_is_an_error(announced: int, says: str) -> None:
    chunks = [msgspec.structs.replace(chunk, index=min(chunk.index, 10)) for chunk in chunks_of(CLIP, QUICK["svtav1"])]
    with pytest.raises(BadStream, match=says):
        decoded(stream(header_of(msgspec.structs.replace(CLIP.info, frames=announced)), chunks))


def test_frames_of_another_size_than_announced_are_an_error_and_no_resize(tmp_path: Path) -> None:
    agent = tmp_path / "decoding_agent.py"
    agent.write_text("import numpy as np\nfrom gpu_workers.codec.frames import Frame\n"
                     "def decode(chunks, info, model):\n    yield Frame((np.zeros((2, 2), np.uint8),))\n")  # fmt: skip
    data = stream(header_of(CLIP.info, "outside"), [])
    with pytest.raises(BadStream, match="outside"):
        list(Decoded(io.BytesIO(data), agents={"outside": agent}))


def test_a_cut_stream_gives_its_frames_before_the_cut_and_then_says_so() -> None:
    whole = encoded(CLIP, QUICK["svtav1"])
    expected = decoded(whole)
    frames, error = until_error(Decoded(io.BytesIO(whole[: len(whole) * 3 // 4])))
    assert isinstance(error, CutStream)
    assert 0 < len(frames) < len(expected)
    assert planar(frames) == planar(expected[: len(frames)])


def test_an_unknown_family_and_a_missing_model_are_told_with_the_fix() -> None:
    with pytest.raises(BadStream, match="use the Aether that made it"):
        decoded(stream(header_of(CLIP.info, "from-the-future"), []))
    with pytest.raises(UserError, match="--model"):
        decoded(stream(header_of(CLIP.info, "classic", "ab" * 32), []))


@pytest.mark.parametrize("encoder", ["x265", "svtav1", "vvenc"])
def test_pictures_much_larger_than_announced_are_refused_by_the_decoder_itself(encoder: str) -> None:
    large = crop("walk_480p30", 1, 480, 320)
    small = msgspec.structs.replace(large.info, width=64, height=64)
    setup, picture = chunks_of(large, QUICK[encoder])
    told = msgspec.structs.replace(Coding.from_bytes(setup.data), width=64, height=64)
    with pytest.raises(BadStream, match="decoder refuses"):
        decoded(stream(header_of(small), [Chunk(Kind.CONFIG, 0, told.to_bytes()), picture]))


@pytest.mark.parametrize(("width", "height"), [(1600, 96), (160, 20), (159, 96)])
def test_a_source_far_larger_than_its_coding_or_smaller_is_refused_before_anything_is_made(
        width: int, height: int) -> None:
    announced = msgspec.structs.replace(CLIP.info, width=width, height=height)
    with pytest.raises(BadStream, match="is coded at"):
        decoded(stream(header_of(announced), chunks_of(CLIP, QUICK["svtav1"])))


def test_pictures_before_their_setup_are_refused() -> None:
    chunks = chunks_of(CLIP, QUICK["svtav1"])[1:]
    with pytest.raises(BadStream, match="before it says how"):
        decoded(stream(header_of(CLIP.info), chunks))


def test_the_decoder_loads_nothing_of_the_encoders() -> None:
    foreign = "'families' in name or name in ('torch', 'imageio_ffmpeg')"
    script = f"import sys, gpu_workers.codec.decoder.__main__\nprint([name for name in sys.modules if {foreign}])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_decoder_with_threads_can_be_dropped_at_any_moment() -> None:
    """A closing decoder once waited for its threads, and they for the interpreter's lock that it held."""
    data = encoded(crop("walk_480p30", 1, 64, 64), QUICK["x265"])
    subprocess.run([sys.executable, "-c", DROPPING], input=data, check=True, timeout=60)
