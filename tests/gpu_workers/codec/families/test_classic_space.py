import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_workers.codec.families.arguments import encoder_arguments
from gpu_workers.codec.families.classic_space import QUALITY_KNOBS, SPACE, as_people_run
from lab.space import problems, sample


def test_the_space_is_read_without_numpy_torch_or_ffmpeg() -> None:
    heavy = "('numpy', 'torch', 'av', 'imageio_ffmpeg')"
    script = f"import sys, gpu_workers.codec.families.classic_space\nprint([n for n in sys.modules if n in {heavy}])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_two_dimensions_share_a_name() -> None:
    assert len({dimension.name for dimension in SPACE}) == len(SPACE)


@given(st.integers(0, 10**6))
def test_every_point_becomes_arguments(seed: int) -> None:
    params = sample(SPACE, random.Random(seed))
    words = encoder_arguments(params, 1, 1, Path("stats"))
    assert words[0] == "-c:v"
    assert all(isinstance(word, str) and word for word in words)


@pytest.mark.parametrize(("encoder", "rate"), [
    ("x265", {"x265_crf": 28.0}), ("x265", {"x265_mbps": 10.0}), ("x265", {"x265_qp": 30, "x265_tune": "psnr"}),
    ("svtav1", {"svtav1_crf": 40.0}), ("svtav1", {"svtav1_mbps": 1.0}),
    ("vvenc", {"vvenc_qp": 34, "vvenc_qpa": False}), ("vvenc", {"vvenc_mbps": 1.0, "vvenc_passes": 1}),
])  # fmt: skip
def test_what_people_run_is_a_point_of_the_space(encoder: str, rate: dict[str, float]) -> None:
    params = as_people_run(encoder, **rate)
    assert problems(SPACE, params) == []
    assert rate.items() <= params.items()


def test_every_encoder_has_a_knob_for_its_quality() -> None:
    names = {dimension.name for dimension in SPACE}
    assert all(knob in names and knob.endswith(mode) for mode, knob in QUALITY_KNOBS.values())
