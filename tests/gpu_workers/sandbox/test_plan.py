"""From a plan to bubblewrap's words: what a graphics processor needs is shown, and only where there is one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gpu_workers.sandbox.box import SandboxFault, _sources
from gpu_workers.sandbox.bubblewrap import Descriptors, arguments
from gpu_workers.sandbox.devices import probe
from gpu_workers.sandbox.limits import Limits
from gpu_workers.sandbox.plan import Bind, Devices, Plan
from gpu_workers.sandbox.runtime import interpreter, packages, python

OURS = Descriptors(info=3, status=4, block=5, filters=(6, 7), files={"/in/request.json": 8})


def words(plan: Plan) -> list[str]:
    return arguments(plan, [str(bind.source) for bind in plan.binds], OURS)


def test_a_machine_without_a_card_shows_none(tmp_path: Path) -> None:
    assert probe(tmp_path) == Devices()
    assert not any("nvidia" in word or word == "/sys" for word in words(Plan(command=("true",))))


@pytest.mark.parametrize(("there", "nodes"), [
    (("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"), ("/dev/nvidia0", "/dev/nvidiactl", "/dev/nvidia-uvm")),
    (("nvidia0",), ()),  # a card without its driver
    (("kfd", "dri/renderD128", "dri/card0"), ("/dev/kfd", "/dev/dri/renderD128")),
    (("dri/renderD128",), ()),  # a display's card, which computes nothing
])
def test_one_card_is_found_by_what_its_driver_shows(tmp_path: Path, there: tuple[str, ...],
                                                    nodes: tuple[str, ...]) -> None:
    for name in there:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = probe(tmp_path)
    assert found.nodes == nodes
    told = words(Plan(command=("true",), devices=found))
    assert [told[at + 1] for at, word in enumerate(told) if word == "--dev-bind"] == list(nodes)
    assert ("/sys" in told) == bool(nodes)


def test_with_a_card_private_memory_has_no_limit_of_its_own() -> None:
    assert any(word.startswith("--data=") for word in Limits().prlimit())
    assert not any(word.startswith("--data=") for word in Limits(private_memory=False).prlimit())


def test_every_mount_stands_before_all_of_them_become_read_only() -> None:
    told = words(Plan(command=("true",), binds=(Bind(Path("/srv/x"), "/in/x"),), hidden=((Path("/a"), "/in/a"),)))
    last = max(at for at, word in enumerate(told) if word in ("--ro-bind", "--tmpfs", "--ro-bind-data", "--dir"))
    assert told.index("--remount-ro", told.index("/in/a") + 2) > 0
    assert last < len(told) - told[::-1].index("--remount-ro")
    sized = [told[at - 2] for at, word in enumerate(told) if word == "--tmpfs"]
    assert set(sized) == {"--size"}, "without a size each would be half of the memory"


def test_python_and_our_packages_are_all_that_is_bound() -> None:
    targets = [bind.target for bind in (*python(), *packages())]
    assert {"/code/gpu_workers", "/code/lab", "/code/aether_kit"} <= set(targets)
    assert not any(bind.source == Path(__file__).parents[3] for bind in (*python(), *packages()))
    assert "-I" in interpreter("pass")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's boxes belong to somebody else")
def test_what_the_box_could_not_read_is_told_with_the_fix(tmp_path: Path) -> None:
    secret = tmp_path / "weights"
    secret.write_bytes(b"x")
    secret.chmod(0o600)
    with pytest.raises(SandboxFault, match="chmod -R o"):
        _sources(Plan(command=("true",), binds=(Bind(secret, "/in/x"),)))
