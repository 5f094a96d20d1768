"""The machine lock: a timed section is alone, is not starved, and frees the machine however its holder ends."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from gpu_workers.device import device_class
from gpu_workers.machine import MachineLock, default_path


def in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_sharers_work_side_by_side_and_a_timed_section_waits_for_them(tmp_path: Path) -> None:
    lock, entered = MachineLock(tmp_path / "machine"), threading.Event()

    def timed() -> None:
        with lock.exclusive():
            entered.set()

    with lock.shared(), lock.shared():
        thread = in_thread(timed)
        assert not entered.wait(0.1)
    thread.join(10)
    assert entered.is_set()


def test_a_sharer_that_comes_later_queues_behind_a_waiting_timed_section(tmp_path: Path) -> None:
    lock, order, waiting = MachineLock(tmp_path / "machine"), list[str](), threading.Event()

    def timed() -> None:
        waiting.set()
        with lock.exclusive():
            order.append("timed")

    def late() -> None:
        with lock.shared():
            order.append("late")

    with lock.shared():
        first = in_thread(timed)
        waiting.wait(10)
        while not _is_locked(lock.path.with_name("machine.gate")):
            pass
        second = in_thread(late)
        second.join(0.2)
        assert order == []
    first.join(10)
    second.join(10)
    assert order == ["timed", "late"]


def test_a_holder_that_is_killed_frees_the_machine(tmp_path: Path) -> None:
    code = ("import sys, time; from pathlib import Path; from gpu_workers.machine import MachineLock\n"
            "with MachineLock(Path(sys.argv[1])).exclusive():\n    print('held', flush=True); time.sleep(600)")
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "machine")], stdout=subprocess.PIPE,
                              cwd=Path(__file__).parents[2])
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    holder.kill()
    holder.wait()
    holder.stdout.close()
    with MachineLock(tmp_path / "machine").exclusive():
        pass


def test_the_default_lock_is_one_a_user() -> None:
    assert default_path() == default_path()
    assert default_path().parent.is_dir()


def test_the_device_class_names_processor_and_cores_and_is_stable(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("model name\t: Intel(R) Xeon(R) Platinum 8488C @ 2.40GHz\ncpu family\t: 6\nmodel\t: 143\n\n")
    assert device_class(cpuinfo).startswith("cpu:intel-xeon-platinum-8488c-fam6m143:")
    assert device_class() == device_class()
    assert device_class(tmp_path / "missing").startswith("cpu:")


def test_a_machine_with_a_graphics_processor_is_another_class_by_the_card_that_its_driver_names(tmp_path: Path) -> None:
    assert "+" not in device_class(cards=tmp_path)
    for slot, model in (("0000:01", "NVIDIA L4"), ("0000:02", "Tesla T4")):
        (tmp_path / slot).mkdir()
        (tmp_path / slot / "information").write_text(f"Model: \t\t {model}\nIRQ:   \t\t 35\n")
    assert device_class(cards=tmp_path).endswith("+nvidia-l4")


def _is_locked(path: Path) -> bool:
    import fcntl
    with open(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
