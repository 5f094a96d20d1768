"""The supervisor: who is started when, who is started again, and when it gives up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli.supervisor import CRASHES, YOUNG_S, Supervisor


class FakeChild:
    """A process that ends when the test says so."""

    def __init__(self, words: list[str], log: Path, pid: int) -> None:
        self.words, self.log, self.pid = words, log, pid
        self.code: int | None = None
        self.age_s, self.told = 1.0, 0

    def poll(self) -> int | None:
        return self.code

    def lived_s(self) -> float:
        return self.age_s

    def terminate(self) -> None:
        self.told += 1

    def kill(self) -> None:
        self.code = -9

    def wait(self, seconds: float) -> bool:
        self.code = 0 if self.code is None else self.code
        return True

    def said(self) -> str:
        return "the run is complete"

    def last_words(self) -> str:
        return "no room on the disk"


class House:
    """A supervisor over such processes."""

    def __init__(self, workers: int = 1, holds: bool = True) -> None:
        self.children: list[FakeChild] = []
        self.holds = holds
        self.supervisor = Supervisor(self._start, "local:lab", Path("logs"), workers, 7, lambda pid: self.holds)

    def _start(self, words: list[str], log: Path) -> Any:
        self.children.append(FakeChild(words, log, 100 + len(self.children)))
        return self.children[-1]

    def named(self, name: str) -> list[FakeChild]:
        return [child for child in self.children if child.words[0] == name]


def test_workers_wait_until_the_daemon_holds_the_lab() -> None:
    house = House(workers=2, holds=False)
    house.supervisor.poll()
    assert not house.named("work")
    house.holds = True
    house.supervisor.poll()
    assert [child.log.name for child in house.named("work")] == ["worker-1.log", "worker-2.log"]
    assert house.named("orchestrate")[0].words[-2:] == ["--seed", "7"]


def test_the_end_of_the_daemon_is_the_end_of_the_run() -> None:
    house = House()
    house.supervisor.poll()
    house.named("orchestrate")[0].code = 0
    house.supervisor.poll()
    assert house.supervisor.over
    assert (house.supervisor.why, house.supervisor.code) == ("the run is complete", 0)
    house.supervisor.close()
    assert house.named("work")[0].told == 1


@pytest.mark.parametrize("name", ["orchestrate", "work"])
def test_what_crashes_is_started_again(name: str) -> None:
    house = House()
    house.supervisor.poll()
    house.named(name)[0].code = -11
    house.supervisor.poll()
    assert len(house.named(name)) == 2
    assert not house.supervisor.over


@pytest.mark.parametrize("name", ["orchestrate", "work"])
def test_what_keeps_dying_young_ends_the_run_with_one_line_that_says_where_to_look(name: str) -> None:
    house = House()
    house.supervisor.poll()
    for _ in range(CRASHES):
        assert not house.supervisor.failure
        house.named(name)[-1].code = 1
        house.supervisor.poll()
    assert len(house.named(name)) == CRASHES
    house.named("orchestrate")[-1].code = house.named("orchestrate")[-1].code or 0
    house.supervisor.poll()
    assert house.supervisor.over
    assert house.supervisor.code == 1
    assert "no room on the disk" in house.supervisor.failure
    assert ".log" in house.supervisor.failure
    assert "\n" not in house.supervisor.failure


def test_one_that_lived_long_has_its_crashes_forgotten() -> None:
    house = House()
    house.supervisor.poll()
    for _ in range(3 * CRASHES):
        house.named("work")[-1].code, house.named("work")[-1].age_s = -9, YOUNG_S + 1
        house.supervisor.poll()
    assert not house.supervisor.over
    assert len(house.named("work")) == 3 * CRASHES + 1


def test_a_persons_mistake_is_told_as_the_daemon_told_it_and_not_repeated() -> None:
    house = House()
    house.named("orchestrate")[0].code = 2
    house.supervisor.poll()
    assert (house.supervisor.over, house.supervisor.code) == (True, 2)
    assert house.supervisor.failure == "no room on the disk"
    assert len(house.children) == 1


def test_stopping_tells_the_workers_first_and_the_daemon_once_they_are_gone() -> None:
    house = House()
    house.supervisor.poll()
    daemon, worker = house.named("orchestrate")[0], house.named("work")[0]
    house.supervisor.stop()
    house.supervisor.stop()
    house.supervisor.poll()
    assert (worker.told, daemon.told) == (1, 0)
    worker.code = 0
    house.supervisor.poll()
    house.supervisor.poll()
    assert daemon.told == 1
    assert len(house.children) == 2
    daemon.code = 0
    house.supervisor.poll()
    assert house.supervisor.over


def test_a_changed_number_of_workers_is_followed_while_the_run_goes_on() -> None:
    house = House(workers=1)
    house.supervisor.poll()
    house.supervisor.want(3)
    house.supervisor.poll()
    workers = house.named("work")
    assert len(workers) == 3
    house.supervisor.want(2)
    assert [worker.told for worker in workers] == [0, 0, 1]
    workers[2].code = 0
    house.supervisor.want(2)
    house.supervisor.poll()
    assert len(house.named("work")) == 3
    assert not house.supervisor.over
