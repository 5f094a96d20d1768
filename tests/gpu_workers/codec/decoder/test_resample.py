import numpy as np
import pytest
from PIL import Image

from gpu_workers.codec.decoder.resample import resize, to_depth
from support.streams import crop

LUMA = crop("walk_480p30", 1, 240, 160)[0].planes[0]


@pytest.mark.parametrize("shape", [(320, 480), (107, 160), (80, 120), (161, 241)])
def test_lanczos_agrees_with_pillows(shape: tuple[int, int]) -> None:
    theirs = Image.fromarray(LUMA).resize((shape[1], shape[0]), Image.Resampling.LANCZOS)
    ours = resize(LUMA, shape, 8)
    inside = tuple(slice(size // 8, size - size // 8) for size in shape)  # Pillow renormalises at edges, we repeat them
    assert np.abs(np.asarray(theirs, np.int16) - ours)[inside].max() <= 1


@pytest.mark.parametrize("value", [0, 1, 511, 1023])
def test_a_flat_plane_stays_flat_at_any_size(value: int) -> None:
    plane = np.full((37, 53), value, np.uint16)
    for shape in [(74, 106), (18, 27), (37, 100), (1, 1)]:
        assert (resize(plane, shape, 10) == value).all()


def test_the_hardest_edges_are_clipped_and_never_wrap_round() -> None:
    checks = ((np.indices((40, 40)).sum(0) // 5) % 2 * 1023).astype(np.uint16)
    large = resize(checks, (80, 80), 10)
    assert large.max() == 1023
    assert large.min() == 0
    assert np.abs(large[4:-4:10, 4:-4:10].astype(int) - checks[2:-2:5, 2:-2:5]).max() < 200


def test_a_plane_that_was_shrunk_lies_where_it_lay_when_enlarged_again() -> None:
    ramp = np.tile(np.arange(0, 240, dtype=np.uint8), (96, 1))
    back = resize(resize(ramp, (48, 120), 8), ramp.shape, 8)
    assert np.abs(back[:, 12:-12].astype(int) - ramp[:, 12:-12]).max() <= 1


def test_another_depth_is_a_shift_up_and_a_rounded_shift_down() -> None:
    deep = np.array([[0, 1, 2, 3, 1019, 1021, 1022, 1023]], np.uint16)
    assert to_depth(deep, 10, 8).tolist() == [[0, 0, 1, 1, 255, 255, 255, 255]]
    assert to_depth(deep, 10, 8).dtype == np.uint8
    everything = np.arange(256, dtype=np.uint8)[None]
    assert (to_depth(to_depth(everything, 8, 10), 10, 8) == everything).all()
