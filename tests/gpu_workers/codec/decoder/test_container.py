import io
import tracemalloc

import crc32c
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_workers.codec.decoder import varint
from gpu_workers.codec.decoder.container import MAX_CHUNK_BYTES, Chunk, Kind, Reader, Segment, Writer
from gpu_workers.codec.decoder.errors import BadStream, CutStream
from gpu_workers.codec.decoder.header import MAGIC, MATRICES, PIX_FMTS, Header
from lab.words import count
from support.streams import QUICK, chunks_of, crop, header_of, stream, until_error

HEADER = Header(family="classic", width=64, height=48, fps_num=30000, fps_den=1001, frames=4, matrix="bt709")
CHUNKS = [Chunk(Kind.CONFIG, 0, b"setup"), Chunk(Kind.KEY, 0, b"k" * 300), Chunk(Kind.DELTA, 3, b"d" * 200),
          Chunk(Kind.DELTA, 1, b""), Chunk(Kind.KEY, 2, b"again")]  # fmt: skip
WHOLE = stream(HEADER, CHUNKS)

headers = st.builds(
    Header,
    family=st.from_regex(r"[a-z0-9][a-z0-9_.-]{0,20}", fullmatch=True),
    model=st.binary(min_size=32, max_size=32).map(bytes.hex) | st.just(""),
    width=st.integers(1, 8000), height=st.integers(1, 8000),
    fps_num=st.integers(1, 240000), fps_den=st.integers(1, 1001),
    frames=st.none() | st.integers(1, 10**6),
    pix_fmt=st.sampled_from(PIX_FMTS), full_range=st.booleans(), matrix=st.sampled_from(MATRICES),
)  # fmt: skip


def read(data: bytes) -> list[Chunk]:
    return list(Reader(io.BytesIO(data)))


def header_bytes(header: Header) -> int:
    """The size of all that comes before the first chunk."""
    file = io.BytesIO()
    return Writer(file, header).bytes_written


@given(headers)
def test_a_header_comes_back_as_it_was(header: Header) -> None:
    assert Reader(io.BytesIO(stream(header, []))).header == header


@given(st.lists(st.tuples(st.sampled_from([Kind.CONFIG, Kind.KEY, Kind.DELTA, Kind.WEIGHTS]), st.integers(0, 10**6),
                          st.binary(max_size=70000))))  # fmt: skip
def test_chunks_come_back_as_they_were(parts: list[tuple[Kind, int, bytes]]) -> None:
    chunks = [Chunk(*part) for part in parts]
    assert read(stream(msgspec.structs.replace(HEADER, frames=None), chunks)) == chunks


def test_the_index_says_where_each_key_chunk_lies_and_how_many_frames_there_are() -> None:
    reader = Reader(io.BytesIO(WHOLE))
    assert list(reader) == CHUNKS
    assert reader.index is not None
    assert (reader.index.frames, reader.index.chunks) == (4, 5)
    assert [number for number, _ in reader.index.keys] == [0, 2]
    assert all(WHOLE[offset + 3 :].startswith(b"k") or WHOLE[offset + 2 :].startswith(b"again")
               for _, offset in reader.index.keys)  # fmt: skip


def test_a_count_that_was_not_known_at_first_stands_in_the_index() -> None:
    data = stream(msgspec.structs.replace(HEADER, frames=None), CHUNKS)
    reader = Reader(io.BytesIO(data))
    assert reader.header.frames is None
    assert list(reader) == CHUNKS
    assert reader.index is not None
    assert reader.index.frames == 4


@pytest.mark.parametrize("encoder", ["svtav1", "x265", "vvenc"])
def test_a_54_frame_clip_pays_at_most_8_bytes_a_frame_beside_its_header(encoder: str) -> None:
    clip = crop("drive_1080p30", 54, 128, 96)
    chunks = chunks_of(clip, QUICK[encoder])
    header = header_of(clip.info)
    overhead = len(stream(header, chunks)) - sum(len(chunk.data) for chunk in chunks) - header_bytes(header)
    assert len(clip) == 54
    assert overhead <= 8 * 54


def test_a_stream_can_be_read_while_it_is_written() -> None:
    file = io.BytesIO()
    writer = Writer(file, HEADER)
    for written, chunk in enumerate(CHUNKS, 1):
        writer.write(chunk)
        seen, error = until_error(Reader(io.BytesIO(file.getvalue())))
        assert seen == CHUNKS[:written]
        assert isinstance(error, CutStream)


def test_a_stream_cut_anywhere_gives_every_whole_chunk_and_then_says_so() -> None:
    first = header_bytes(HEADER)
    seen = 0
    for length in range(first, len(WHOLE)):
        got, error = until_error(Reader(io.BytesIO(WHOLE[:length])))
        assert isinstance(error, CutStream)
        assert f"cut after {count(len(got), 'whole chunk')} (" in str(error)
        assert got == CHUNKS[: len(got)]
        assert len(got) >= seen
        seen = len(got)
    assert seen == len(CHUNKS)


def test_a_stream_cut_inside_its_header_is_refused() -> None:
    for length in range(header_bytes(HEADER)):
        with pytest.raises(BadStream):
            Reader(io.BytesIO(WHOLE[:length]))


def test_no_flipped_byte_passes() -> None:
    for place in range(len(WHOLE)):
        for flip in (0x01, 0x80, 0xFF):
            data = bytearray(WHOLE)
            data[place] ^= flip
            with pytest.raises(BadStream):
                read(bytes(data))


def test_bytes_after_the_end_are_refused() -> None:
    with pytest.raises(BadStream, match="end is damaged"):
        read(WHOLE + b"\0")


def test_a_length_is_not_believed_before_its_bytes_are_there() -> None:
    claim = WHOLE[: header_bytes(HEADER)] + bytes([Kind.KEY]) + varint.encode(MAX_CHUNK_BYTES) + b"x" * 1000
    tracemalloc.start()
    with pytest.raises(CutStream):
        read(claim)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_length_beyond_all_measure_is_refused_at_once() -> None:
    with pytest.raises(BadStream, match="cannot be so"):
        read(WHOLE[: header_bytes(HEADER)] + bytes([Kind.KEY]) + varint.encode(MAX_CHUNK_BYTES + 1) + b"x" * 1000)


@pytest.mark.parametrize("change", [
    {"width": 0}, {"width": 1 << 15, "height": 1 << 15}, {"fps_den": 0}, {"pix_fmt": "rgb24"}, {"matrix": "??"},
    {"family": "../etc"}, {"model": "12"},
])  # fmt: skip
def test_a_header_that_no_stream_can_have_is_not_written(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"is no|not known|not 64"):
        stream(msgspec.structs.replace(HEADER, **change), [])


def test_a_header_that_claims_a_huge_frame_is_refused_though_its_checksum_is_right() -> None:
    body = bytearray(HEADER.to_bytes())
    place = body.index(bytes([64, 48]))
    body[place : place + 2] = varint.encode(1 << 15) + varint.encode(1 << 15)
    block = varint.encode(1) + varint.encode(len(body)) + bytes(body)
    with pytest.raises(BadStream, match="no frame size"):
        Reader(io.BytesIO(MAGIC + block + crc32c.crc32c(block).to_bytes(4, "little")))


def test_a_stream_of_a_later_version_is_refused_with_the_fix() -> None:
    with pytest.raises(BadStream, match="newer Aether"):
        Reader(io.BytesIO(MAGIC + varint.encode(2) + WHOLE[len(MAGIC) + 1 :]))


def test_a_writer_takes_no_chunk_that_no_reader_would() -> None:
    writer = Writer(io.BytesIO(), HEADER)
    for chunk in (Chunk(Kind.INDEX, 0, b""), Chunk(Kind.SEGMENT, 0, b""), Chunk(Kind.KEY, 4, b"")):
        with pytest.raises(ValueError, match=r"gives|belong"):
            writer.write(chunk)


def test_a_segment_names_the_family_and_model_of_what_follows() -> None:
    file = io.BytesIO()
    writer = Writer(file, HEADER)
    writer.segment(Segment("hyperprior", "ab" * 32))
    writer.close()
    [chunk] = read(file.getvalue())
    assert Segment.from_bytes(chunk.data) == Segment("hyperprior", "ab" * 32)
