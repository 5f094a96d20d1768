"""The ledger: every rule about experiments, written once over `lab.table.Table`.

Each mutating call takes an `op_id` made by the caller; called again with it, also after a reply was lost, it changes
nothing and gives the same answer. Refusals (`lab.errors.Refused`) write nothing. Calls of the daemon carry its epoch,
calls of a worker its fence; stale ones are refused. Money, the daemon's lease and reports are in `lab/accounts.py`
and `lab/office.py`, over the same transactions; `Ledger` is all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from time import sleep

import msgspec
from msgspec.structs import replace

from lab import guards
from lab.accounts import Accounts
from lab.beats import Beats
from lab.clock import Clock
from lab.control import Beat, Change
from lab.errors import Duplicate, NotFound, Refused
from lab.experiment import LOST_LIMIT, Attempt, Checkpoint, Ending, Experiment, Machine, Outcome, State, Terms
from lab.office import DAEMON, Office
from lab.table import Key, Table
from lab.transaction import Transaction, Transactor, key

PAGE = 500
AT_ONCE = 100  # records read by their ids


class Ledger:
    """See the module. `accounts` keeps the money; `office` keeps the daemon's lease, control, settings and reports."""

    def __init__(self, table: Table, clock: Clock, rng: Random | None = None,
                 pause: Callable[[float], None] = sleep) -> None:
        self.table, self._clock, self._beats = table, clock, Beats(table)
        self._transactor = Transactor(table, clock.wall, rng, pause)
        self.accounts = Accounts(self._transactor, table, clock)
        self.office = Office(self._transactor, table, clock, self._beats)

    # ------------------------------------------------------------------ the daemon's calls

    def propose(self, experiment: Experiment, *, epoch: int, op_id: str) -> str:
        """A new experiment in the state `proposed`; gives its id. Raises Duplicate if its fingerprint has run, unless
        that run was cancelled or failed by our fault: then the new one names it in `repeats`."""
        def decide(t: Transaction) -> str:
            self.office.require_epoch(t, epoch)
            if t.read("experiment", experiment.id, Experiment) is not None:
                raise Refused(f"an experiment {experiment.id} exists already")
            self._require_parents(t, experiment)
            original = t.read("fingerprint", experiment.fingerprint, str)
            fresh = replace(experiment, repeats=self._repeatable(t, original), created_at=self._clock.wall())
            t.put("fingerprint", experiment.fingerprint, experiment.id)
            _save(t, fresh)
            return fresh.id
        return self._transactor.run("propose", experiment.id, op_id, decide, str, reads=[
            DAEMON, *map(_key, (experiment.id, *experiment.parents)), ("fingerprint", experiment.fingerprint)])

    def approve(self, id: str, *, epoch: int, op_id: str) -> str:
        """`proposed` becomes `queued`. It can be claimed once money is reserved for it."""
        def decide(t: Transaction) -> str:
            self.office.require_epoch(t, epoch)
            experiment = _experiment(t, id)
            guards.check_proposed(experiment)
            _save(t, replace(experiment, state="queued"))
            return id
        return self._transactor.run("approve", id, op_id, decide, str, reads=[DAEMON, _key(id)])

    def reserve(self, id: str, amount: int, budgets: tuple[str, ...], *, price_usd_h: float,
                terms: Terms | None = None, epoch: int, op_id: str) -> str:
        """Take the upper bound of the next attempt from every budget named, and write down the terms that it pays for;
        gives the reservation's key. Raises OverBudget if it does not fit."""
        def decide(t: Transaction) -> str:
            self.office.require_epoch(t, epoch)
            experiment = _experiment(t, id)
            guards.check_move(experiment, "running")
            guards.check_unreserved(experiment)
            nth = experiment.reservations + 1
            pays = f"{id}.{nth}"
            self.accounts.take(t, pays, amount, budgets, "attempt", id, price_usd_h)
            _save(t, replace(experiment, reservation=pays, reservations=nth, terms=terms))
            return pays
        return self._transactor.run("reserve", id, op_id, decide, str, reads=[
            DAEMON, _key(id), *(("budget", budget) for budget in budgets)])

    # ------------------------------------------------------------------ the worker's calls

    def claim(self, id: str, *, worker: str, device_class: str, machine: Machine | None = None, op_id: str) -> int:
        """`queued` becomes `running` under a new attempt; gives its fence."""
        def decide(t: Transaction) -> int:
            experiment = _experiment(t, id)
            guards.check_move(experiment, "running")
            guards.check_reserved(experiment)
            guards.check_device(experiment, device_class)
            attempt = Attempt(fence=experiment.fence + 1, worker=worker, device_class=device_class,
                              claimed_at=self._clock.wall(), reservation=experiment.reservation or "",
                              terms=experiment.terms, machine=machine)
            _save(t, replace(experiment, state="running", attempts=(*experiment.attempts, attempt)))
            return attempt.fence
        return self._transactor.run("claim", id, op_id, decide, int, reads=[_key(id)])

    def beat(self, id: str, beat: Beat) -> None:
        """Set the attempt's heartbeat. Raises Stale when the attempt is not the current one: stop at once; Refused for
        numbers that cannot be."""
        experiment = self.experiment(id)
        guards.check_running(experiment)
        guards.check_fence(experiment, beat.fence)
        self._beats.set(f"{id}.{beat.fence}", beat)

    def checkpointed(self, id: str, fence: int, phase: str, checkpoint: Checkpoint, *, op_id: str) -> str:
        """Remember what a phase has left, so that no one runs it again, and whether that is anything new."""
        def decide(t: Transaction) -> str:
            experiment = _owned(t, id, fence)
            before, (*earlier, last) = experiment.checkpoints.get(phase), experiment.attempts
            new = before is None or before.outputs != checkpoint.outputs
            attempts = (*earlier, replace(last, further=last.further or new))
            checkpoints = {**experiment.checkpoints, phase: checkpoint}
            _save(t, replace(experiment, attempts=attempts, checkpoints=checkpoints))
            return phase
        return self._transactor.run("checkpointed", id, op_id, decide, str, reads=[_key(id)])

    def finish(self, id: str, fence: int, outcome: Outcome, *, used_s: float, phases: dict[str, float],
               op_id: str) -> str:
        """`running` becomes `finished` with its one outcome."""
        def decide(t: Transaction) -> str:
            experiment = _owned(t, id, fence)
            guards.check_move(experiment, "finished")
            guards.check_outcome(outcome)
            ended = _end_attempt(experiment, "finished", used_s, outcome.detail, phases)
            _save(t, replace(ended, state="finished", outcome=outcome))
            return outcome.verdict
        return self._transactor.run("finish", id, op_id, decide, str, reads=[_key(id)])

    # ------------------------------------------------------------------ ends of a lease

    def release(self, id: str, fence: int, ending: Ending, *, used_s: float, detail: str = "",
                epoch: int | None = None, op_id: str) -> State:
        """`running` becomes `queued`, or `failed: poison` after three silent ends that left nothing new, and after more
        in all than the attempt's terms allow. A lease that ends for silence (`lost`) is ended by the daemon alone,
        under its epoch."""
        def decide(t: Transaction) -> State:
            if ending == "lost" or epoch is not None:
                self.office.require_epoch(t, epoch or 0)
            experiment = _owned(t, id, fence)
            ended = _end_attempt(experiment, ending, used_s, detail, {})
            why = _poisonous(ended) if ending == "lost" else ""
            if why:
                ended = replace(ended, state="finished",
                                outcome=Outcome(verdict="failed", reason="poison", detail=why))
            else:
                ended = replace(ended, state="queued")
            _save(t, ended)
            return ended.state
        return self._transactor.run("release", id, op_id, decide, State,  # type: ignore[arg-type]
                                    reads=[DAEMON, _key(id)] if epoch is not None else [_key(id)])

    def bury(self, id: str, why: str, *, claims: int, op_id: str) -> State:
        """`queued` becomes `failed: poison`: its messages take down whoever receives them, before any claim. `claims`
        is how often it had been claimed when the caller saw it wait; one more proves the caller wrong. Needs no epoch,
        since the dead message is a fact. What was reserved for it is free again at the daemon's next look."""
        def decide(t: Transaction) -> State:
            experiment = _experiment(t, id)
            guards.check_unclaimed(experiment, claims)
            guards.check_move(experiment, "finished")
            _save(t, replace(experiment, state="finished",
                             outcome=Outcome(verdict="failed", reason="poison", detail=why)))
            return "finished"
        return self._transactor.run("bury", id, op_id, decide, State,  # type: ignore[arg-type]
                                    reads=[_key(id)])

    def cancel(self, id: str, why: str, *, used_s: float = 0.0, epoch: int | None = None, op_id: str) -> str:
        """Any state but `finished` becomes `cancelled`, for ever. A running worker learns it at its next beat. The
        daemon, under its epoch, cancels only what nobody runs."""
        def decide(t: Transaction) -> str:
            experiment = _experiment(t, id)
            guards.check_move(experiment, "cancelled")
            if epoch is not None:
                self.office.require_epoch(t, epoch)
                guards.check_waiting(experiment)
            if experiment.state == "running":
                experiment = _end_attempt(experiment, "released", used_s, why, {})
            _save(t, replace(experiment, state="cancelled"))
            return id
        return self._transactor.run("cancel", id, op_id, decide, str, reads=[_key(id)])

    # ------------------------------------------------------------------ reading

    def experiment(self, id: str) -> Experiment:
        record = self.table.get("experiment", id)
        if record is None:
            raise NotFound(f"no experiment {id!r}; `aether experiments list` shows them")
        return msgspec.json.decode(record.body, type=Experiment)

    def some(self, ids: Sequence[str]) -> Iterator[Experiment]:
        """Those of the ids that exist, in the order given, a few at a time: there may be many, and they are large."""
        for at in range(0, len(ids), AT_ONCE):
            for record in self.table.get_many([("experiment", id) for id in ids[at:at + AT_ONCE]]):
                yield msgspec.json.decode(record.body, type=Experiment)

    def with_fingerprint(self, fingerprint: str) -> str | None:
        """The id of the last experiment that was proposed with this fingerprint."""
        record = self.table.get("fingerprint", fingerprint)
        return msgspec.json.decode(record.body, type=str) if record else None

    def experiments(self, state: State | None = None, *, after: str = "", limit: int = PAGE,
                    newest_first: bool = False) -> Sequence[Experiment]:
        """One page, by id. Give the last id as `after` for the next."""
        page = self.table.page("experiment", tag=state, after=after, limit=limit, newest_first=newest_first)
        return [msgspec.json.decode(record.body, type=Experiment) for record in page]

    def all_experiments(self, state: State | None = None) -> Iterator[Experiment]:
        after = ""
        while page := self.experiments(state, after=after):
            yield from page
            after = page[-1].id

    def beat_of(self, id: str, fence: int) -> Beat | None:
        """The last; none also where it cannot be read."""
        return self._beats.last(f"{id}.{fence}")

    def beats(self, fences: Mapping[str, int]) -> dict[str, Beat]:
        """The last heartbeat of each experiment's attempt with that fence, where there was one."""
        asked = {f"{id}.{fence}": id for id, fence in fences.items()}
        return {asked[name]: beat for name, beat in self._beats.some(asked).items()}

    def changes(self, since: int, limit: int = PAGE) -> Sequence[Change]:
        """Those after number `since`, in order, without gaps."""
        page = self.table.page("change", after=key(since), limit=limit)
        return [msgspec.json.decode(record.body, type=Change) for record in page]

    def last_change(self) -> int:
        head = self.table.get("head", "changes")
        return head.version if head else 0

    # ------------------------------------------------------------------ rules that need to read more

    def _require_parents(self, t: Transaction, experiment: Experiment) -> None:
        for parent in experiment.parents:
            if parent == experiment.id or t.read("experiment", parent, Experiment) is None:
                raise Refused(f"{experiment.id} names a parent that does not exist: {parent}")

    def _repeatable(self, t: Transaction, original: str | None) -> str | None:
        if original is None:
            return None
        before = _experiment(t, original)
        faulted = before.outcome is not None and before.outcome.reason == "harness_fault"
        if before.state == "cancelled" or faulted:
            return original
        raise Duplicate(original)


def _key(id: str) -> Key:
    return "experiment", id


def _experiment(t: Transaction, id: str) -> Experiment:
    experiment = t.read("experiment", id, Experiment)
    if experiment is None:
        raise NotFound(f"no experiment {id!r}; `aether experiments list` shows them")
    return experiment


def _owned(t: Transaction, id: str, fence: int) -> Experiment:
    experiment = _experiment(t, id)
    guards.check_running(experiment)
    guards.check_fence(experiment, fence)
    return experiment


def _save(t: Transaction, experiment: Experiment) -> None:
    t.put("experiment", experiment.id, experiment, tag=experiment.state)


def _poisonous(experiment: Experiment) -> str:
    """Why no more workers are given to it after this silent end; empty if they are."""
    most = (experiment.attempts[-1].terms or Terms()).lost_attempts
    if experiment.silences >= LOST_LIMIT:
        return f"its worker fell silent {experiment.silences} times and left nothing new"
    if experiment.lost > most:
        return f"its workers fell silent {experiment.lost} times in all, and {most} are allowed (limits.lost_attempts)"
    return ""


def _end_attempt(experiment: Experiment, ending: Ending, used_s: float, detail: str,
                 phases: dict[str, float]) -> Experiment:
    """The current attempt ends; its reservation stays open in the accounts until the daemon settles it."""
    guards.check_used((used_s, *phases.values()))
    *earlier, last = experiment.attempts
    ended = replace(last, ending=ending, used_s=used_s, detail=detail, phases=phases)
    return replace(experiment, attempts=(*earlier, ended), reservation=None)

