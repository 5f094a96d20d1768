"""Where work runs: on an account what learns has a fleet of its own, and no family waits for one without room."""

from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace

from lab.control import Idea
from lab.errors import AetherError
from lab.experiment import Experiment
from lab.local.table import SqliteTable
from lab.settings import Settings, parse
from lab.space import sample
from lab.track import Track, load_track
from orchestrator.designers.protocol import Budget, Problem
from orchestrator.places import HERE, Places
from orchestrator.planner import FRUITLESS, ClipSets, Planner, explored_families
from orchestrator.proposer import Answer, Ask
from orchestrator.view import View
from support.curve.spec import GOALS, TRACK
from support.laboratory import Laboratory, experiment

FIRST = TRACK.families[0]
NET = replace(FIRST, name="net", learned=True, needs=("no_such_package",))
BOTH: Track = replace(TRACK, families=(FIRST, NET))
ON_GPU = parse('[training]\njob_class = "gpu"\n')


class Asked:
    """A proposer that keeps what it is asked, and never answers."""

    busy = False

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def ask(self, ask: Ask) -> None:
        self.problems.append(ask.problem)

    def poll(self) -> None:
        return None

    def close(self) -> None:
        pass


class Empty(Asked):
    """One that answers each time that it has nothing."""

    def poll(self) -> Answer | None:  # type: ignore[override]
        return Answer(id=1, designer="evolution", proposals=()) if self.problems and self.problems.pop() else None


def asked(places: Places, live: list[Experiment], seed: int | None = None) -> list[str] | None:
    """The families of the next ask, with these experiments in flight; None where nobody is asked."""
    lab, view, proposer = Laboratory(SqliteTable(":memory:")), View(BOTH, GOALS), Asked()
    view.live = {one.id: one for one in live}
    planner = Planner(view, lab.ledger, proposer, ClipSets("1" * 64, "2" * 64), Settings(), GOALS, seed, 1, places)
    assert planner.explore(Budget()) is None
    assert not planner.exhausted
    return [family.name for family in proposer.problems[0].families] if proposer.problems else None


def on(job_class: str, number: int) -> list[Experiment]:
    made = [experiment(f"e{job_class}{n}") for n in range(number)]
    return [replace(one, spec=replace(one.spec, job_class=job_class)) for one in made]


def test_what_learns_is_of_the_class_gpu_on_an_account_and_where_its_person_says_elsewhere() -> None:
    rented = Places(rented=True)
    assert [rented.job_class(family, Settings()) for family in BOTH.families] == ["cpu", "gpu"]
    assert [HERE.job_class(family, Settings()) for family in BOTH.families] == ["cpu", "cpu"]
    assert [HERE.job_class(family, ON_GPU) for family in BOTH.families] == ["cpu", "gpu"]
    assert [rented.job_class(FIRST, Settings(), needs=needs) for needs in ((), ("torch",))] == ["cpu", "gpu"]


def test_the_codecs_that_learn_go_to_the_fleet_that_has_what_they_need() -> None:
    track, rented = load_track("codec"), Places(rented=True)
    assert {family.name: rented.job_class(family, Settings()) for family in track.families} == {
        "classic": "cpu", "restore": "gpu", "hyperprior": "gpu", "candidate": "cpu"}


@pytest.mark.parametrize(("places", "named", "explored"), [
    (HERE, None, (FIRST.name,)),  # what it needs is not installed here
    (Places(rented=True), None, (FIRST.name, "net")),  # nobody has told of fleets
    (Places(rented=True, fleets={"cpu": 4, "gpu": 2}), None, (FIRST.name, "net")),
    (Places(rented=True, fleets={"cpu": 4, "gpu": 0}), None, (FIRST.name,)),
    (Places(rented=True, fleets={"cpu": 4, "gpu": 0}), f'["net", "{FIRST.name}"]', (FIRST.name,)),
])
def test_families_are_explored_where_there_are_machines_for_them(
        places: Places, named: str | None, explored: tuple[str, ...]) -> None:
    settings = parse(f"[designers]\nfamilies = {named}\n") if named else Settings()
    assert explored_families(BOTH, settings, places) == explored


@pytest.mark.parametrize(("cpu", "gpu", "families"), [
    (0, 0, [FIRST.name, "net"]),
    (2, 1, [FIRST.name, "net"]),
    (0, 2, [FIRST.name]),  # one for the machine that may come, and one that waits
    (3, 0, ["net"]),
    (3, 2, None),
])
def test_a_designer_is_asked_for_what_a_fleet_has_room_for(cpu: int, gpu: int, families: list[str] | None) -> None:
    places = Places(rented=True, fleets={"cpu": 2, "gpu": 1})
    assert asked(places, on("cpu", cpu) + on("gpu", gpu)) == families


def test_a_persons_wish_for_which_no_machine_may_come_is_refused() -> None:
    lab, view = Laboratory(SqliteTable(":memory:")), View(BOTH, GOALS)
    planner = Planner(view, lab.ledger, Asked(), ClipSets("1" * 64, "2" * 64), Settings(), GOALS, None, 1,
                      Places(rented=True, fleets={"cpu": 1, "gpu": 0}))
    params = sample(FIRST.space, Random(1))
    assert planner.idea(Idea(key="a", family=FIRST.name, params=params)).spec.job_class == "cpu"
    with pytest.raises(AetherError, match="no machine of the class gpu"):
        planner.idea(Idea(key="b", family="net", params=params))


def test_what_designers_do_not_find_among_some_families_says_nothing_of_the_others() -> None:
    lab, view = Laboratory(SqliteTable(":memory:")), View(BOTH, GOALS)
    view.live = {one.id: one for one in on("gpu", 2)}
    planner = Planner(view, lab.ledger, Empty(), ClipSets("1" * 64, "2" * 64), Settings(), GOALS, None, 1,
                      Places(rented=True, fleets={"cpu": 2, "gpu": 1}))
    for _ in range(4 * FRUITLESS):
        assert planner.explore(Budget()) is None
    assert not planner.exhausted
    view.live = {}
    for _ in range(4 * FRUITLESS):
        assert planner.explore(Budget()) is None
    assert planner.exhausted


def test_on_one_machine_and_with_a_seed_no_family_waits_for_room() -> None:
    everything = on("cpu", 9) + on("gpu", 9)
    assert asked(Places(rented=True), everything) == [FIRST.name, "net"]
    assert asked(Places(rented=True, fleets={"cpu": 1, "gpu": 1}), everything, seed=1) == [FIRST.name, "net"]
