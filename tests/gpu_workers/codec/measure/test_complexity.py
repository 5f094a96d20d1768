from __future__ import annotations

import builtins
import importlib
from types import ModuleType
from typing import Any

import pytest

from gpu_workers.codec.measure import complexity
from gpu_workers.codec.measure.complexity import decoder_cost
from lab.errors import UserError
from support.servers import unavailable

SIDE = 64


@pytest.fixture
def learned() -> tuple[Any, Any]:
    """torch and thop, of the extras `learned` and `dev-learned`."""
    try:
        return importlib.import_module("torch"), importlib.import_module("thop")
    except ModuleNotFoundError as error:
        unavailable(f"{error.name} is not installed", "run make test-ci once, which sets it up")


def macs_by_thop(thop: Any, module: Any, example: Any) -> float:
    return float(thop.profile(module, inputs=(example,), verbose=False)[0])


@pytest.mark.ci
def test_plain_convolutions_cost_what_thop_says(learned: tuple[Any, Any]) -> None:
    torch, thop = learned
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 5, padding=2), torch.nn.ReLU(), torch.nn.Conv2d(16, 8, 3, stride=2, padding=1, groups=2)
    )
    example = torch.zeros(1, 3, SIDE, SIDE)
    cost = decoder_cost(module, [example], SIDE, SIDE)
    by_hand = SIDE * SIDE * 3 * 16 * 25 + (SIDE // 2) ** 2 * 16 * 8 * 9 // 2
    assert cost.kmac_px == pytest.approx(by_hand / SIDE**2 / 1e3)
    assert cost.kmac_px == pytest.approx(macs_by_thop(thop, module, example) / SIDE**2 / 1e3)
    assert cost.teraops_frame == pytest.approx(2 * by_hand / 1e12)
    assert cost.teraops_frame_1080p == pytest.approx(2 * by_hand / 1e12 * 1920 * 1080 / SIDE**2)


@pytest.mark.ci
def test_a_transposed_convolution_costs_its_input_positions_where_thop_counts_its_output(
    learned: tuple[Any, Any],
) -> None:
    torch, thop = learned
    module = torch.nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1, bias=False)
    example = torch.zeros(1, 32, SIDE // 2, SIDE // 2)
    by_hand = (SIDE // 2) ** 2 * 32 * 16 * 16  # each input sample meets every weight once
    assert decoder_cost(module, [example], SIDE, SIDE).kmac_px == pytest.approx(by_hand / SIDE**2 / 1e3)
    assert macs_by_thop(thop, module, example) == pytest.approx(4 * by_hand)


def test_without_torch_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> ModuleType:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(complexity, "import_module", absent)
    with pytest.raises(UserError, match=r"needs torch; .*learned"):
        decoder_cost(builtins.object(), [], SIDE, SIDE)
