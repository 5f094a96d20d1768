"""The rules that keep the laboratory safe, one small function each, so that each can be read, tested and removed alone.

Every one raises a `Refused` and is called inside a transaction, so what it saw still holds at the commit. The
simulator takes them out one at a time and must notice (`tests/simulator/mutants.py`).
"""

from __future__ import annotations

from collections.abc import Iterable

from lab.control import DaemonLease, Guarded
from lab.errors import OverBudget, Refused, Stale, WrongState
from lab.experiment import MOVES, Experiment, Outcome, State
from lab.money import MOST, Budget, Entry, Microusd, Reservation, cost_of, usd


def check_move(experiment: Experiment, to: State) -> None:
    if to not in MOVES[experiment.state]:
        raise WrongState(f"{experiment.id} is {experiment.state}; it cannot become {to}")


def check_proposed(experiment: Experiment) -> None:
    """An approval; the way back from `running` to `queued` is the end of a lease, and not this."""
    if experiment.state != "proposed":
        raise WrongState(f"{experiment.id} is {experiment.state}; only what is proposed can be approved")


def check_unclaimed(experiment: Experiment, claims: int) -> None:
    """Nobody has claimed it since the caller saw that it waited after so many claims."""
    if experiment.state != "queued":
        raise WrongState(f"{experiment.id} is {experiment.state}; only what waits can be given up as unclaimable")
    if experiment.fence != claims:
        raise Stale(f"{experiment.id} was claimed since: {experiment.fence} times, not {claims}")


def check_waiting(experiment: Experiment) -> None:
    if experiment.state == "running":
        raise WrongState(f"{experiment.id} is running; what runs goes on to its end")


def check_fence(experiment: Experiment, fence: int) -> None:
    if experiment.fence != fence:
        raise Stale(f"{experiment.id}: fence {fence} is not the current one ({experiment.fence}); drop this attempt")


def check_running(experiment: Experiment) -> None:
    if experiment.state != "running":
        raise Stale(f"{experiment.id} is {experiment.state}, not running; drop this attempt")


def check_epoch(lease: DaemonLease | None, epoch: int) -> None:
    if lease is None or lease.epoch != epoch:
        current = lease.epoch if lease else 0
        raise Stale(f"epoch {epoch} is not the current one ({current}); another daemon has taken over")


def check_at_rest(lease: DaemonLease | None, epoch: int) -> None:
    """The daemon of that epoch has left with its run, or for epoch 0 there was none, and none has come since: it would
    pay for the same time."""
    if (lease is not None and lease.carried) or (lease.epoch if lease is not None else 0) != epoch:
        raise Stale(f"the lab does not rest after epoch {epoch}; another daemon has come")


def check_guards_turn(before: Guarded, found: Guarded) -> None:
    """What a guard found follows on what it had read; another guard may have written meanwhile."""
    if found.n != before.n + 1:
        raise Stale(f"finding {found.n} of the budget guard does not follow on {before.n}; another guard was quicker")


def check_reserved(experiment: Experiment) -> None:
    if experiment.reservation is None:
        raise Refused(f"{experiment.id} has no reservation; the daemon must reserve its money first")


def check_device(experiment: Experiment, device_class: str) -> None:
    """Training by the clock compares on one device class alone, and so runs nowhere else."""
    limit = experiment.spec.limit
    if limit is not None and limit.device_class is not None and limit.device_class != device_class:
        raise Refused(f"{experiment.id} trains for {limit.seconds:g} s on {limit.device_class}, and this worker is "
                      f"{device_class}; train by steps to run anywhere")


def check_unreserved(experiment: Experiment) -> None:
    if experiment.reservation is not None:
        raise Refused(f"{experiment.id} has a reservation already: {experiment.reservation}")


def check_free(budget: Budget, amount: Microusd) -> None:
    if budget.free < amount:
        raise OverBudget(f"budget {budget.id}: {usd(amount)} asked, {usd(budget.free)} free; "
                         f"raise it with `aether budget set`")


def check_unsettled(settled: bool, key: str) -> None:
    if settled:
        raise WrongState(f"{key} is settled already")


def check_attempt_over(experiment: Experiment | None, key: str) -> None:
    """The money of an attempt that still runs is not settled."""
    if experiment is not None and experiment.state == "running" and experiment.attempts[-1].reservation == key:
        raise WrongState(f"{experiment.id} still runs on the reservation {key}")


def check_billed(experiment: Experiment | None, reservation: Reservation, entry: Entry) -> None:
    """An attempt is billed for what it used at least, by the price that its entry names. Money counts as never taken
    only where none took it: a worker may have claimed it and ended since the caller looked."""
    for attempt in experiment.attempts if experiment is not None else ():
        price = entry.price_usd_h or reservation.price_usd_h
        least = min(cost_of(attempt.used_s, price), reservation.amount)
        if attempt.reservation == entry.key and entry.amount < least:
            raise WrongState(f"{entry.key} paid for an attempt that cost {usd(least)}, not {usd(entry.amount)}")


def check_new_reservation(exists: bool, key: str) -> None:
    if exists:
        raise WrongState(f"money is reserved already under the key {key}")


def check_new_report(exists: bool, key: str) -> None:
    if exists:
        raise WrongState(f"the report for {key} is in the outbox already")


def check_used(seconds: Iterable[float]) -> None:
    """What a record with NaN or infinity in it holds, nobody could read again."""
    if not all(abs(one) <= MOST for one in seconds):
        raise Refused("an attempt has used as many seconds as nobody can have counted")


def check_outcome(outcome: Outcome) -> None:
    """A failure carries a reason and no scores; anything else carries scores and no reason."""
    if (outcome.verdict == "failed") != (outcome.reason is not None):
        raise Refused("an outcome has a reason if it failed, and only then")
    if (outcome.verdict == "failed") != (outcome.scores is None):
        raise Refused("an outcome has scores unless it failed, and only then")
    if outcome.scores is not None:
        values = [*outcome.scores.mean.values(), *(v for clip in outcome.scores.clips.values() for v in clip.values())]
        if any(v is not None and (v != v or v in (float("inf"), float("-inf"))) for v in values):
            raise Refused("a metric is NaN or infinite; a number that is missing must be null with its reason")
