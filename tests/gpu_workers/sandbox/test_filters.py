"""The filters as they are shipped, for both machines: each system call gets the answer that the lists say."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from gpu_workers.sandbox import rules
from support.bpf import ALLOW, ERRNO, KILL, answer

seccomp: Any = pytest.importorskip("pyseccomp", exc_type=(ImportError, RuntimeError))  # type: ignore[arg-type]
CALLS = 600  # more than any machine has
X32 = 0x40000000
NAMES = {errno.EPERM: rules.REFUSED, 0: rules.IGNORED, errno.EOPNOTSUPP: rules.NO_SUCH_FLAG}


def number(machine: str, name: str) -> int:
    arch = {"x86_64": seccomp.Arch.X86_64, "aarch64": seccomp.Arch.AARCH64}[machine]
    found: int = seccomp.resolve_syscall(arch, name)
    return found


def shipped(name: str, machine: str) -> bytes:
    return rules.path(name, machine).read_bytes()


@pytest.mark.parametrize("machine", rules.MACHINES)
def test_every_call_gets_the_answer_of_the_lists_and_an_unknown_one_none(machine: str) -> None:
    expected = {number(machine, name): ALLOW for name in rules.ALLOWED}
    expected |= {number(machine, name): ERRNO | code for code, names in NAMES.items() for name in names}
    program = shipped("names", machine)
    for call in range(CALLS):
        assert answer(program, machine, call) == expected.get(call, ERRNO | errno.ENOSYS), call
    assert sum(value == ALLOW for call, value in expected.items() if call >= 0) > 150


def test_the_lists_overlap_nowhere() -> None:
    names = [*rules.ALLOWED, *rules.REFUSED, *rules.IGNORED, *rules.NO_SUCH_FLAG]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("program", rules.PROGRAMS)
def test_a_call_of_the_other_kind_of_program_ends_who_makes_it(program: str) -> None:
    assert answer(shipped(program, "x86_64"), "x86_64", X32 | 39) == KILL
    assert answer(shipped(program, "x86_64"), "aarch64", 39) == KILL


@pytest.mark.parametrize("machine", rules.MACHINES)
def test_arguments_are_looked_at_as_the_kernel_will_read_them(machine: str) -> None:
    program, refused = shipped("arguments", machine), ERRNO | errno.EPERM
    ioctl, clone, socket = (number(machine, name) for name in ("ioctl", "clone", "socket"))
    assert answer(program, machine, ioctl, 0, 0x5401) == ALLOW
    for high in (0, 1 << 32, 0xFFFFFFFF << 32):
        assert answer(program, machine, ioctl, 0, high | rules.TIOCSTI) == refused
        assert answer(program, machine, ioctl, 0, high | rules.TIOCLINUX) == refused
    assert answer(program, machine, clone, 0x3D0F00) == ALLOW, "a thread"
    assert all(answer(program, machine, clone, flag | 17) == refused for flag in rules.NEW_NAMESPACES)
    assert answer(program, machine, socket, rules.AF_UNIX) == ALLOW
    fcntl, madvise = number(machine, "fcntl"), number(machine, "madvise")
    for command in range(1100):
        expected = ERRNO if command in rules.SET_LOCK else refused if command in rules.ASK_LOCK + rules.TELL else ALLOW
        assert answer(program, machine, fcntl, 3, 1 << 32 | command) == expected, command
    for advice in range(110):
        assert answer(program, machine, madvise, 0, 0, advice) == (ERRNO | errno.EINVAL if advice in rules.EVICT
                                                                   else ALLOW), advice
    assert all(answer(program, machine, socket, family) == ERRNO | errno.EAFNOSUPPORT
               for family in (0, 2, 10, 16, 17, 38, 40, 1 << 32 | rules.AF_UNIX))


@pytest.mark.parametrize("machine", rules.MACHINES)
def test_anonymous_files_are_taken_away_where_no_graphics_driver_needs_them(machine: str) -> None:
    program, memory_file = shipped("cpu", machine), number(machine, "memfd_create")
    assert [call for call in range(CALLS) if answer(program, machine, call) != ALLOW] == [memory_file]
    assert answer(program, machine, memory_file) == ERRNO | errno.ENOSYS


@pytest.mark.ci
@pytest.mark.parametrize("machine", rules.MACHINES)
@pytest.mark.parametrize("program", rules.PROGRAMS)
def test_the_shipped_bytes_are_what_the_lists_make(machine: str, program: str) -> None:
    """With libseccomp 2.5; another release may write the same rules differently."""
    assert rules.program(program, machine) == shipped(program, machine)
