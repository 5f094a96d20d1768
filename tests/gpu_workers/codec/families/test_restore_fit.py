"""Fitting a filter: it learns, it repeats itself to the bit, it goes on where it was, and it says when it is lost."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from gpu_workers.codec.decoder.restore_filter import HALO, Filter, to_half
from gpu_workers.codec.families.restore_fit import Fitting, Pairs, gain_db
from lab.errors import Diverged, UserError
from support.restoring import blurring, random_filter
from support.streams import crop

pytestmark = pytest.mark.ci


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small steps gain nothing from threads, and threads that wait for one another lose much on a busy machine."""
    torch = import_module("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def blurred_pairs(name: str, count: int, width: int, height: int) -> Pairs:
    """10 bit pictures with a known blur on their luma, and the pictures as they were."""
    deep = [tuple(plane.astype(np.uint16) << 2 for plane in frame.planes) for frame in crop(name, count, width, height)]
    return Pairs.of(((to_half((blurring(luma), u, v)), to_half((luma, u, v))) for luma, u, v in deep), count)


PAIRS = blurred_pairs("walk_480p30", 3, 160, 96)
SMALLER = blurred_pairs("flower_720p30", 2, 100, 70)


def fitted(steps: int, seed: int = 1, pairs: tuple[Pairs, ...] = (PAIRS,), price: float = 0.0) -> Filter:
    fitting = Fitting(8, steps, seed, price)
    fitting.run(pairs, steps)
    return fitting.filter()


def test_it_takes_back_much_of_a_known_blur() -> None:
    assert gain_db(fitted(150), PAIRS) > 3.0


def test_the_error_falls_from_that_of_no_filter() -> None:
    fitting = Fitting(8, 100, 1)
    first, last = fitting.run([PAIRS], 1), fitting.run([PAIRS], 99)
    assert first == pytest.approx(1.0, abs=0.35)  # about: crops are no whole pictures
    assert last < 0.5 * first


def test_the_same_seed_gives_the_same_filter_and_another_gives_another() -> None:
    assert fitted(40).to_bytes() == fitted(40).to_bytes()
    assert fitted(40).to_bytes() != fitted(40, seed=2).to_bytes()


def test_the_number_of_threads_does_not_matter() -> None:
    torch = import_module("torch")
    large = blurred_pairs("walk_480p30", 2, 240, 160)  # smaller ones came out alike by chance
    found = set()
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.add(fitted(60, pairs=(large,)).to_bytes())
        assert torch.get_num_threads() == threads, "it leaves the number as it was"
    assert len(found) == 1


def test_clips_of_several_sizes_are_learned_from_together() -> None:
    both = fitted(100, pairs=(PAIRS, SMALLER))
    assert gain_db(both, PAIRS) > 1.5
    assert gain_db(both, SMALLER) > 1.5


@pytest.mark.parametrize("at", [0, 1, 7, 8, 25, 39])
def test_a_fitting_goes_on_where_it_was_to_the_bit(at: int, tmp_path: Path) -> None:
    first = Fitting(8, 40, 1, 1e-5)
    first.run([PAIRS], at)
    first.save(tmp_path / "half.safetensors")
    again = Fitting(8, 40, 1, 1e-5)
    again.load(tmp_path / "half.safetensors")
    assert again.step == at
    assert again.run([PAIRS], 40 - at) == first.run([PAIRS], 40 - at)
    assert again.filter().to_bytes() == first.filter().to_bytes() == fitted(40, price=1e-5).to_bytes()


def test_what_is_no_checkpoint_of_this_fitting_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    for data in (b"", b"no safetensors", b"\xff" * 100):
        path.write_bytes(data)
        with pytest.raises(UserError, match="no checkpoint"):
            Fitting(8, 40, 1).load(path)
    Fitting(16, 40, 1).save(path)
    with pytest.raises(UserError, match="no checkpoint"):
        Fitting(8, 40, 1).load(path)


def test_a_price_on_bytes_makes_the_filter_smaller_and_costs_little() -> None:
    free, priced = fitted(60), fitted(60, price=3e-3)
    assert len(priced.to_bytes()) < 0.95 * len(free.to_bytes())
    assert gain_db(priced, PAIRS) > gain_db(free, PAIRS) - 2.0


def test_a_filter_can_start_from_another() -> None:
    parent = fitted(100)
    child = Fitting(8, 100, 1)
    child.start_from(parent)
    assert gain_db(child.filter(), PAIRS) == pytest.approx(gain_db(parent, PAIRS), abs=0.3)
    with pytest.raises(UserError, match="channels"):
        child.start_from(random_filter(16, 1))


@pytest.mark.parametrize("poison", [np.nan, 1e30])
def test_a_training_that_loses_its_way_says_so(poison: float) -> None:
    lost = Pairs(PAIRS.coded, PAIRS.original, PAIRS.importance * np.float32(poison))
    with pytest.raises(Diverged, match="step 1"):
        Fitting(8, 40, 1).run([lost], 40)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (130, 66)])
def test_pictures_smaller_than_a_crop_are_learned_from(size: tuple[int, int]) -> None:
    small = blurred_pairs("walk_480p30", 2, *size)
    assert small.coded.shape[2] == small.original.shape[2] + 2 * HALO
    Fitting(8, 40, 1).run([small], 3)
