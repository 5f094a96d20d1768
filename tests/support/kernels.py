"""The kernels that torch computes with: those of this processor, or those that older ones have. Needs torch."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest

AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
_AVX512 = {"avx512f", "avx512bw", "avx512dq", "avx512vl"}
_CONVOLVE = """
import torch
print("capability", torch.backends.cpu.get_cpu_capability())
torch.nn.functional.conv2d(torch.ones(1, 64, 64, 64), torch.ones(64, 64, 3, 3))
"""


def need_avx512() -> None:
    """A processor without it is nothing to mend, so that this skips under CI too. Where it has it, both are real."""
    found = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    if found is None or not set(found[1].split()) >= _AVX512:
        pytest.skip("this processor has no AVX-512: what it computes with AVX2 is all it has, and nothing is beside it")
    for environment, used in (({}, ("AVX512", "avx512_core")), (AVX2, ("AVX2", "avx2"))):
        assert kernels(**environment) == used, f"{environment} gives the kernels {kernels(**environment)}"


@lru_cache
def kernels(**environment: str) -> tuple[str, str]:
    """What a fresh process says that it uses: torch itself, and oneDNN for a convolution."""
    done = subprocess.run([sys.executable, "-c", _CONVOLVE], env={**os.environ, **environment, "ONEDNN_VERBOSE": "1"},
                          capture_output=True, text=True, check=True)
    own, convolution = (re.search(pattern, done.stdout) for pattern in (r"capability (\w+)", r"convolution,\w+:(\w+),"))
    assert own is not None
    assert convolution is not None, done.stdout
    return own[1], convolution[1]
