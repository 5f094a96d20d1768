"""What runs next: confirmations of the leader, a person's ideas, anchors, and what the designers propose.

Each answer is a whole Experiment that the daemon only has to put into the ledger. The proposer works beside us; this
never waits for it. In seeded mode proposal k sees exactly the first k - window outcomes in the order of the proposals,
so the same seed gives the same proposals however many workers there are and however often they were killed.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

import msgspec
import structlog
from msgspec.structs import replace

from lab import clipset
from lab.backend import Store
from lab.canonical import canonical_json
from lab.control import Idea
from lab.errors import AetherError, NotFound
from lab.experiment import JOB_CLASSES, Clip, Dataset, Experiment, Purpose, Spec
from lab.ledger import Ledger
from lab.settings import Settings
from lab.space import pinned, problems
from lab.track import Goal, Track
from orchestrator.champion import missing_seeds
from orchestrator.designers.history import Memory
from orchestrator.designers.protocol import Budget, Problem, Proposal, problem
from orchestrator.mix import CONTROL, pick_designer
from orchestrator.places import HERE, Places
from orchestrator.proposer import Ask, Proposer
from orchestrator.view import View

CLIPS = clipset.POINTER
EXPLORE_SEED, ANCHOR_SEED = 1, 0
ANCHOR_FAULTS = 3  # of ours, before an anchor is left out, so that the others and their savings are not held up
FRUITLESS = 10  # asks in a row without a new point before the space counts as exhausted

log = structlog.get_logger("planner")


class ClipSets(msgspec.Struct, frozen=True):
    """Hashes of the two clip sets: what designers see results of, and what only confirmations use."""

    explore: str
    confirm: str


class Planner:
    """See the module."""

    def __init__(self, view: View, ledger: Ledger, proposer: Proposer, clips: ClipSets, settings: Settings,
                 goals: tuple[Goal, ...], seed: int | None, study_seed: int, places: Places = HERE) -> None:
        self._places = places
        self._view, self._ledger, self._proposer, self._clips = view, ledger, proposer, clips
        self._settings, self._seeded = settings, seed is not None
        self._study_seed = seed if seed is not None else study_seed
        self._problem = narrowed(problem(view.track, goals, explored_families(view.track, settings, self._places)),
                                 settings)
        self._memory = Memory(view.track, self._problem, clips.explore)
        self._told = 0  # explored experiments whose end the memory has been told, in seeded mode
        self._shown: set[str] = set()
        self._asked = 0
        self._fruitless = 0
        self._whole = True  # whether the last ask was for all families; others tell nothing of the space
        self._failing = False  # the last ask ended in an error
        self._candidate: Experiment | None = None  # the last whose confirmations were asked for
        for experiment in ledger.some(view.explored):
            self._show(experiment)

    @property
    def exhausted(self) -> bool:
        """No designer finds a point that has not run, or none is asked for any."""
        return self._fruitless >= FRUITLESS or not self._problem.families

    def _open(self) -> Problem:
        """The problem of the next ask: of the families whose machines could take one more. With a seed, of all."""
        if self._seeded:
            return self._problem
        live, workers = self._view.live.values(), self._settings.limits.workers
        room = {one: self._places.room(one, live, workers) for one in JOB_CLASSES}
        return replace(self._problem, families=tuple(
            family for family in self._problem.families if room[self._places.job_class(family, self._settings)]))

    # ------------------------------------------------------------------ what is wanted besides exploring

    def confirmation(self, candidate: str) -> Experiment | None:
        """The next missing confirmation of this candidate."""
        if self._candidate is None or self._candidate.id != candidate:
            self._candidate = self._ledger.experiment(candidate)
        of = self._candidate
        for seed in missing_seeds(self._view, of.spec.recipe())[:1]:
            spec = replace(of.spec, clips=self._clips.confirm, seed=seed)
            return self._new(spec, "confirm", of.designer, parents=(candidate,), group=candidate,
                             hypothesis=f"{candidate} does as well on clips that it has not seen")
        return None

    def idea(self, idea: Idea) -> Experiment:
        """A person's wish as an experiment. Raises NotFound or AetherError where it is none."""
        spec = wished(self._view.track, self._settings, self._clips.explore, idea, self._places)
        if not self._places.fleets.get(spec.job_class, 1):
            raise AetherError(f"no machine of the class {spec.job_class} may come")
        return self._new(spec, "explore", "person", parents=idea.parents, hypothesis=idea.hypothesis,
                         repeats=idea.repeats)

    def anchor(self) -> Experiment | None:
        """The first anchor that has not been started on these clips."""
        for anchor in self._view.track.anchors:
            spec = self._spec(anchor.family, anchor.params, self._clips.explore, ANCHOR_SEED)
            given_up = self._view.anchor_faults[spec.fingerprint()] >= ANCHOR_FAULTS
            if spec.fingerprint() not in self._view.anchor_ids and not given_up:
                return self._new(spec, "anchor", "anchor", group=anchor.name, hypothesis=f"reference: {anchor.name}")
        return None

    # ------------------------------------------------------------------ exploring

    def explore(self, budget: Budget) -> Experiment | None:
        """A designer's next proposal once there is one; asks for it if nobody has."""
        answer = self._proposer.poll()
        if answer is None:
            if not self._proposer.busy and not self.exhausted and self._may_ask():
                self._ask(budget)
            return None
        fault = answer.error or self._nonsense(answer.proposals)
        if fault:
            self._failed(answer.designer, fault)
            return None
        if not answer.proposals:
            self._fruitless += self._whole
            return None
        self._fruitless, self._failing = 0, False
        return self._proposed(answer.designer, answer.proposals[0])

    def duplicate(self, original: str) -> None:
        """The ledger refused the last proposal: `original` has run it. The designers learn that the point is taken."""
        self._fruitless += self._whole
        self._memory.see(self._ledger.experiment(original))

    def ended(self, experiment: Experiment) -> None:
        """An experiment has ended. Without a seed the designers learn of it now; with one, when its turn comes."""
        if not self._seeded and experiment.id in self._shown:
            self._memory.see(experiment)

    def started(self, experiment: Experiment) -> None:
        self._show(experiment)

    def _show(self, experiment: Experiment) -> None:
        """The memory learns that it was proposed, and its end only where it may."""
        if experiment.purpose != "explore" or experiment.id in self._shown:
            return
        self._shown.add(experiment.id)
        self._memory.see(replace(experiment, state="proposed", outcome=None))
        if not self._seeded and experiment.state in ("finished", "cancelled"):
            self._memory.see(experiment)

    def _nonsense(self, proposals: tuple[Proposal, ...]) -> str:
        """Why a proposal is none, in one line: it is a stranger's data. Such a number would not even be read back."""
        for proposal in proposals[:1]:
            family = next((f for f in self._view.track.families if f.name == proposal.family), None)
            if family is None:
                return f"the track has no family {proposal.family!r}"
            if any(not isfinite(value) for value in proposal.prediction.values()):
                return "a prediction is no finite number"
            return "; ".join(problems(family.space, proposal.params))
        return ""

    def _failed(self, designer: str, error: str) -> None:
        """A designer that fails gives its turn to control, which cannot; the space is not exhausted by that."""
        log.warning("a designer failed; control takes its turn", designer=designer, error=error)
        self._failing = True
        self._fruitless += designer == CONTROL and self._whole

    def _may_ask(self) -> bool:
        """With a seed: only once every outcome that the next proposal must see is there."""
        if not self._seeded:
            return True
        due = self._view.explored[: max(len(self._view.explored) - self._settings.designers.window + 1, 0)]
        if any(id not in self._view.ended for id in due[self._told:]):
            return False
        for id in due[self._told:]:
            self._memory.see(self._ledger.experiment(id))
        self._told = max(self._told, len(due))
        return True

    def _ask(self, budget: Budget) -> None:
        problem = self._open()
        if not problem.families:
            return
        self._asked += 1
        self._whole = len(problem.families) == len(self._problem.families)
        designers = self._settings.designers
        name = CONTROL if self._failing else pick_designer(designers.mix(), self._designer_counts(), self._study_seed,
                                                           designers.control_share)
        history = self._memory.history(0 if self._seeded else self._view.change)
        self._proposer.ask(Ask(id=self._asked, designer=name, problem=problem, history=history,
                               budget=Budget() if self._seeded else budget, seed=self._study_seed))

    def _designer_counts(self) -> dict[str, int]:
        return {name: count for name, count in self._view.by_designer.items() if name != "person"}

    def _proposed(self, designer: str, proposal: Proposal) -> Experiment:
        spec = self._spec(proposal.family, proposal.params, self._clips.explore, EXPLORE_SEED)
        return self._new(spec, "explore", designer, parents=proposal.parents, hypothesis=proposal.hypothesis,
                         prediction=proposal.prediction, seen=0 if self._seeded else self._view.change)

    def _spec(self, family: str, params: dict[str, Any], clips: str, seed: int) -> Spec:
        return specified(self._view.track, self._settings, family, params, clips, seed, places=self._places)

    def _new(self, spec: Spec, purpose: Purpose, designer: str, **more: Any) -> Experiment:
        return Experiment(id=f"e{self._view.count + 1:05d}", spec=spec, fingerprint=spec.fingerprint(), purpose=purpose,
                          designer=designer, settings=self._view.control.settings, **more)


def wished(track: Track, settings: Settings, clips: str, idea: Idea, places: Places = HERE) -> Spec:
    """What a person's idea comes to; `clips` where it names none. Raises NotFound or AetherError where it is none."""
    family = track.family(idea.family)
    faults = [] if family.agents else problems(family.space, idea.params)
    if bool(family.agents) != bool(idea.code):
        faults.append(f"{family.name} {'needs' if family.agents else 'takes no'} code from outside")
    if faults:
        raise AetherError("; ".join(faults))
    return specified(track, settings, family.name, idea.params, idea.clips or clips,
                     EXPLORE_SEED if idea.seed is None else idea.seed, idea.code, idea.trains, idea.needs, places)


def specified(track: Track, settings: Settings, family: str, params: dict[str, Any], clips: str, seed: int,
              code: str | None = None, trains: bool = False, needs: tuple[str, ...] = (),
              places: Places = HERE) -> Spec:
    """A whole specification. It is trained under the settings' limit where its family says so, or code `trains`."""
    chosen = track.family(family)
    limit = settings.training.limit() if trains or chosen.trains(params) else None
    return Spec(track=track.name, family=family, params=params, clips=clips, seed=seed, protocol=track.protocol,
                job_class=places.job_class(chosen, settings, needs=needs), code=code, limit=limit)


def narrowed(whole: Problem, settings: Settings) -> Problem:
    """Without the other values of what the person has pinned."""
    pins = settings.designers.pinned or {}
    return replace(whole, families=tuple(replace(family, space=pinned(family.space, pins.get(family.name, {})))
                                         for family in whole.families))


def explored_families(track: Track, settings: Settings, places: Places = HERE) -> tuple[str, ...]:
    """Those that the settings name, or all that can run. Raises NotFound for one that the track has not."""
    named = settings.designers.families
    if named is not None and not places.rented:
        return tuple(track.family(name).name for name in named if track.family(name).space)
    families = track.families if named is None else tuple(map(track.family, named))
    found = tuple(family.name for family in families if family.space and places.may_run(family, settings))
    if left_out := [family.name for family in families if family.space and family.name not in found]:
        log.info("not explored: no machine for them", families=left_out)
    return found


def clip_sets(store: Store) -> ClipSets:
    """The lab's clips as two sets. Where no clip is kept for confirming, the score clips serve again, which says less.

    Raises NotFound, with the fix, where there is nothing to score on.
    """
    clips = clipset.load(store)
    train = tuple(clip for clip in clips.clips if clip.role == "train")
    score = clipset.scored(clips)
    if not score:
        raise NotFound(clipset.NO_FOOTAGE)
    confirm = tuple(replace(clip, role="score") for clip in clips.clips if clip.role == "confirm") or score
    return ClipSets(_stored(store, train + score), _stored(store, train + confirm))


def _stored(store: Store, clips: tuple[Clip, ...]) -> str:
    return store.put_bytes(canonical_json(Dataset(clips=clips)))
