import itertools
from pathlib import Path

import msgspec
import numpy as np
import pytest

from gpu_workers.codec.contract import Frame, VideoInfo
from gpu_workers.codec.families.restore_shots import LEAST_FRAMES, MOST_FRAMES, Part, shots
from gpu_workers.codec.video import FrameReader
from support.footage import VIDEO, cut
from support.streams import Clip, crop

NAMES = ("drive_1080p30", "flower_720p30", "night_540p50", "rooftop_720p30", "walk_480p30")


def joined(*clips: Clip) -> Clip:
    return Clip(clips[0].info, [frame for clip in clips for frame in clip])


@pytest.mark.parametrize("name", ["drive_1080p30", "walk_480p30", "talk_540x720p30"])
def test_a_moving_camera_and_a_moving_face_are_no_cut(name: str) -> None:
    frames = FrameReader(VIDEO / f"{name}.mp4")
    assert shots(frames) == [range(len(frames))]


def test_a_cut_is_found_where_it_is_whatever_follows_on_what() -> None:
    clips = {name: crop(name, 26, 320, 240) for name in NAMES}
    for a, b in itertools.permutations(clips.values(), 2):
        assert shots(joined(a, b)) == [range(26), range(26, 52)]


def test_a_flash_and_a_shot_too_short_to_pay_are_no_shots_of_their_own() -> None:
    long, other = crop("walk_480p30", 60, 320, 240), crop("night_540p50", 5, 320, 240)
    flash = Clip(long.info, [*(long[number] for number in range(30)), *other, *(long[number] for number in range(30))])
    assert len(shots(flash)) <= 2
    ending = joined(Clip(long.info, [long[number] for number in range(40)]), other)
    assert shots(ending) == [range(45)]
    assert all(len(shot) >= LEAST_FRAMES for shot in shots(flash))


@pytest.mark.parametrize("count", [1, 2, MOST_FRAMES, MOST_FRAMES + 1, 3 * MOST_FRAMES - 1])
def test_shots_cover_the_film_and_none_is_longer_than_may_be_held(count: int) -> None:
    layout = VideoInfo(width=3, height=5, fps_num=25, fps_den=1, frames=count, pix_fmt="gray10le")
    film = Clip(layout, [Frame((np.full((5, 3), 512, np.uint16),))] * count)
    found = shots(film)
    assert [number for shot in found for number in shot] == list(range(count))
    assert max(map(len, found)) <= MOST_FRAMES


def test_a_part_of_a_film_is_a_film() -> None:
    clip = crop("walk_480p30", 12, 64, 48)
    part = Part(clip, range(5, 9))
    assert part.info == msgspec.structs.replace(clip.info, frames=4)
    assert len(part) == 4
    assert list(part) == [clip[number] for number in range(5, 9)] == [part[number] for number in range(4)]
    assert list(part) == list(part)


def test_a_part_of_a_file_gives_the_frames_that_the_file_has_there(tmp_path: Path) -> None:
    reader = FrameReader(cut("walk_480p30", 10, tmp_path))
    whole = [frame.to_bytes() for frame in reader]
    assert [frame.to_bytes() for frame in Part(reader, range(4, 9))] == whole[4:9]
