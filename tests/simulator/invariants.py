"""What must hold in every world, whatever fails: the ten invariants of the design, each with its number.

The checker keeps a picture of its own, folded from the changes alone: after each event it takes in those that are
new and judges each; every hundred changes and at the end it compares the whole picture with tables, journal and store.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from lab.canonical import sha256
from lab.control import Change, DaemonLease, Image, Report
from lab.experiment import LOST_LIMIT, MOVES, Experiment
from lab.local.journal import good_lines
from lab.money import Budget, Entry, Reservation, cost_of
from lab.space import Value
from lab.transaction import key

if TYPE_CHECKING:
    from simulator.world import World

FULL_EVERY = 100  # changes
DAEMONS = frozenset({"propose", "approve", "reserve", "settle", "reserve_overhead", "take_idea", "leave_lease"})
ENDS = ("finished", "cancelled")
LOST_ATTEMPTS = 3  # that an experiment may have in all: so few that worlds come to it, and no fewer than LOST_LIMIT,
# or this limit would hide that one
ALLOWED = {state: set(moves) for state, moves in MOVES.items()}  # before any mutant touches the table
ALLOWED["queued"] -= {"finished"}  # by a dead message alone, and no queue in here has any


class Broken(AssertionError):
    """Invariant `number` does not hold."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(f"invariant {number}: {why}")
        self.number = number


class Checker:
    """See the module. Its maps are what the changes add up to."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.seen = self._full_at = self._looks = 0
        self.picture: dict[tuple[str, str], tuple[int, str, bytes]] = {}
        self.experiments: dict[str, Experiment] = {}
        self.points: dict[str, dict[str, Value]] = {}
        self.budgets: dict[str, Budget] = {}
        self.reservations: dict[str, Reservation] = {}
        self.entries: dict[str, Entry] = {}
        self.reports: dict[str, Report] = {}
        self.lease: DaemonLease | None = None
        self._ran: dict[str, str] = {}  # fingerprint → the last experiment with it
        self._paid: dict[str, tuple[str, Any]] = {}  # reservation → the attempt that it paid
        self._acknowledged: dict[tuple[str, int], float] = {}
        self._deliveries: dict[str, str] = {}
        self._delivered = self._left_at = 0
        self._readers: dict[str, Callable[[Change, Image], None]] = {
            "experiment": self._experiment, "budget": self._budget, "reservation": self._reservation,
            "entry": self._entry, "report": self._report, "daemon": self._daemon}

    @property
    def epoch(self) -> int:
        return self.lease.epoch if self.lease else 0

    def live(self) -> list[str]:
        return sorted(id for id, e in self.experiments.items() if e.state not in ENDS)

    # ------------------------------------------------------------------ after each event

    def look(self) -> None:
        if len(self._world.authors) > self.seen:
            for record in self._world.ground.seen.page("change", after=key(self.seen), limit=1000):
                self._take(msgspec.json.decode(record.body, type=Change))
        self._looks += 1
        if self._looks % self._world.plan.phases_every == 0:
            self._phases()
        self._journal_first()
        for report, text in self._world.deliveries[self._delivered:]:
            self._holds(6, self._deliveries.setdefault(report, text) == text, f"report {report} came in two versions")
        self._delivered = len(self._world.deliveries)
        if self.seen - self._full_at >= self._world.plan.full_every:
            self.in_full()

    def told(self, event: dict[str, Any]) -> None:
        """A line of the product's log."""
        why = str(event.get("why", ""))
        name = str(event["event"])
        if name == "attempt dropped":
            name = "a worker stopped itself" if "acknowledged" in why else "a worker learned that its attempt is over"
        self._world.saw(name)

    def _holds(self, number: int, truth: bool, why: str) -> None:
        if not truth:
            raise Broken(number, why)

    def _take(self, change: Change) -> None:
        self._holds(8, change.n == self.seen + 1, f"change {change.n} follows {self.seen}")
        self.seen = change.n
        author = self._world.authors.get(change.n, "nobody")
        self._world.note(f"{author}: {change.n} {change.action} {change.subject} {change.op_id}")
        lost = change.action == "release" and change.op_id.endswith(".lost")
        if (change.action in DAEMONS or lost) and self.lease is not None:
            self._holds(3, author == self.lease.holder, f"{author} wrote {change.action}, {self.lease.holder} leads")
        for image in change.records:
            before = self.picture.get((image.kind, image.id), (0, "", b""))
            self._holds(8, image.version == before[0] + 1, f"{image.kind} {image.id} jumps to {image.version}")
            self.picture[(image.kind, image.id)] = (image.version, image.tag, bytes(image.body))
        for image in change.records:
            if image.kind in self._readers:
                self._readers[image.kind](change, image)

    def _phases(self) -> None:
        """5: a phase runs only while its worker's lease can still hold."""
        for running in self._world.phases:
            since = self._world.awake - self._acknowledged.get(running.attempt, self._world.awake)
            id, fence = running.attempt
            terms = self.experiments[id].attempts[fence - 1].terms
            held = terms is not None and since <= terms.lease_s
            self._holds(5, held, f"a phase of {running.attempt} runs {since:.0f} s after the last beat")

    def beat(self, attempt: tuple[str, int]) -> None:
        self._acknowledged[attempt] = self._world.awake

    def _journal_first(self) -> None:
        """8: nothing is decided on a change that is not in the journal."""
        for process in self._world.crew:
            journal, daemon = getattr(process, "journal", None), getattr(process, "daemon", None)
            if journal is not None and daemon.ready:
                known = daemon.view.change
                self._holds(8, journal.last >= known, f"the daemon knows {known}, the journal ends at {journal.last}")

    # ------------------------------------------------------------------ one record

    def _experiment(self, change: Change, image: Image) -> None:
        new = msgspec.json.decode(image.body, type=Experiment)
        old = self.experiments.get(new.id)
        self.experiments[new.id] = new
        if old is None:
            self._proposed(new)
            return
        if new.state != old.state:
            self._moved(change, old, new)
        elif old.state in ENDS:
            same = (old.attempts, old.outcome, old.checkpoints) == (new.attempts, new.outcome, new.checkpoints)
            self._holds(9 if old.state == "cancelled" else 3, same, f"{new.id} changed after its end")
        if change.action in ("checkpointed", "finish", "release"):
            self._holds(3, old.state == "running", f"{change.action} of {new.id}, which was {old.state}")
            fence = change.op_id.split(".")[1]
            named = int(fence) if change.op_id.startswith(new.id) and fence.isdigit() else -1
            self._holds(3, named == old.fence, f"{change.op_id} wrote while {old.fence} is the fence")

    def _proposed(self, new: Experiment) -> None:
        self.points[new.id] = new.spec.params
        for parent in new.parents:
            self._holds(7, parent in self.experiments and parent != new.id, f"{new.id} names the parent {parent}")
        before = self.experiments.get(self._ran.get(new.fingerprint, ""))
        if before is not None:
            faulted = before.outcome is not None and before.outcome.reason == "harness_fault"
            self._holds(3, before.state == "cancelled" or faulted, f"{new.id} runs what {before.id} has run")
            self._holds(7, new.repeats == before.id, f"{new.id} does not name {before.id}")
            self._world.saw("an experiment was repeated")
        self._ran[new.fingerprint] = new.id

    def _moved(self, change: Change, old: Experiment, new: Experiment) -> None:
        nine = 9 if old.state == "cancelled" else 4
        self._holds(nine, new.state in ALLOWED[old.state], f"{new.id} went from {old.state} to {new.state}")
        if new.state == "running":
            attempt = new.attempts[-1]
            self._holds(2, attempt.reservation in self.reservations, f"{new.id} runs without money")
            self._holds(2, attempt.reservation not in self._paid, f"{attempt.reservation} pays two attempts")
            self._paid[attempt.reservation] = (new.id, new.fence)
            self._holds(3, len(new.attempts) == len(old.attempts) + 1, f"{new.id} has no new attempt")
            self._holds(4, old.silences < LOST_LIMIT, f"{new.id} runs again after {old.silences} silent ends in a row")
            self._holds(4, old.lost <= LOST_ATTEMPTS, f"{new.id} runs again after {old.lost} silent ends in all")
            self.beat((new.id, new.fence))
        if old.state == "running":
            self._left_running(change, new)
        if new.state == "finished":
            self._finished(new)

    def _left_running(self, change: Change, new: Experiment) -> None:
        attempt = new.attempts[-1]
        if attempt.ending == "lost":
            self._world.saw("a lease was lost")
            runs = any(phase.attempt == (new.id, new.fence) for phase in self._world.phases)
            self._holds(5, not runs, f"{new.id}.{new.fence} was given up while its phase runs")
        if new.state == "cancelled":
            self._holds(4, not change.op_id.startswith("refuted."), f"{new.id} was called off while it ran")
            self._world.saw("cancelled while running")
        if attempt.ending == "interrupted":
            self._world.saw("given back at a notice")

    def _finished(self, new: Experiment) -> None:
        self._world.freed()
        outcome = new.outcome
        self._holds(3, outcome is not None, f"{new.id} finished without an outcome")
        assert outcome is not None
        self._holds(3, (outcome.scores is None) == (outcome.verdict == "failed"), f"{new.id}: scores of a failure")
        got_on = max((attempt.fence for attempt in new.attempts if attempt.further), default=0)
        lost = sum(attempt.ending == "lost" for attempt in new.attempts[got_on:])
        in_all = sum(attempt.ending == "lost" for attempt in new.attempts)
        poison = lost >= LOST_LIMIT or in_all > LOST_ATTEMPTS
        self._holds(4, poison == (outcome.reason == "poison"), f"{new.id} was lost {lost} times, {in_all} in all")
        if outcome.reason == "poison":
            self._world.saw("poison" if lost >= LOST_LIMIT else "poison, though it got further each time")
        if outcome.scores is not None:
            from simulator.machine import scores
            true = msgspec.json.decode(scores(new.fingerprint))["mean"]
            self._holds(3, outcome.scores.mean == true, f"{new.id} has numbers that it did not measure")

    def _budget(self, change: Change, image: Image) -> None:
        new = msgspec.json.decode(image.body, type=Budget)
        self.budgets[new.id] = new
        self._holds(1, new.cap == new.free + new.reserved + new.spent, f"budget {new.id} does not add up")
        if change.action in ("reserve", "reserve_overhead"):
            self._holds(1, new.free >= 0, f"{change.op_id} passes the cap of {new.id} by {-new.free}")

    def _reservation(self, change: Change, image: Image) -> None:
        new = msgspec.json.decode(image.body, type=Reservation)
        self._holds(2, new.settled == (new.key in self.reservations), f"{new.key} was reserved twice")
        self.reservations[new.key] = new
        if not new.taken and not new.settled:
            free = min(self.budgets[id].free for id in new.budgets)
            self._holds(1, new.what == "overhead" and free < new.amount, f"{new.key} was not taken, and is free")
            self._world.saw("an hour of the house was not free")

    def _entry(self, change: Change, image: Image) -> None:
        new = msgspec.json.decode(image.body, type=Entry)
        self._holds(2, new.key not in self.entries, f"{new.key} was settled twice")
        self.entries[new.key] = new
        reservation = self.reservations[new.key]
        self._holds(1, new.amount <= reservation.amount, f"{new.key} is settled above its reservation")
        if reservation.what == "attempt":
            self._attempt_entry(new, reservation)

    def _attempt_entry(self, entry: Entry, reservation: Reservation) -> None:
        """2: what the attempt used, or nothing where none took the money."""
        experiment = self.experiments[entry.experiment or ""]
        attempt = next((a for a in experiment.attempts if a.reservation == entry.key), None)
        if attempt is None:
            self._holds(2, entry.amount == 0, f"{entry.key} costs {entry.amount} without an attempt")
            self._world.saw("a reservation was freed unused")
            return
        self._holds(2, attempt.ending is not None, f"{entry.key} is settled while it runs")
        price = entry.price_usd_h or reservation.price_usd_h
        cost = min(cost_of(entry.used_s, price), reservation.amount)
        if self._world.rents and price != reservation.price_usd_h:
            self._world.saw("an attempt was paid by its machine")
        self._holds(2, entry.amount == cost and entry.used_s >= attempt.used_s, f"{entry.key} is settled wrongly")

    def _report(self, change: Change, image: Image) -> None:
        new = msgspec.json.decode(image.body, type=Report)
        old = self.reports.get(new.key)
        self._holds(6, old is None or (old.text == new.text and new.delivered), f"report {new.key} was made twice")
        self.reports[new.key] = new
        self._world.saw("an hourly report" if "T" in new.key else "a last report")

    def _daemon(self, change: Change, image: Image) -> None:
        new = msgspec.json.decode(image.body, type=DaemonLease)
        if self.lease is not None and change.action == "take_lease":
            self._holds(3, new.epoch == self.lease.epoch + 1, f"epoch {new.epoch} follows {self.lease.epoch}")
            self._world.saw("a takeover" if self.lease.holder else "a daemon followed another")
            run = self.lease.run if self.lease.carried else new.epoch
            self._holds(10, new.run == run, f"run {run} was to go on, not {new.run}")
        if new.goes_on:
            self._world.saw("a run was handed over")
            if any(one.state == "running" for one in self.experiments.values()):
                self._world.saw("handed over while work ran")
        self.lease = new
        self._left_at = change.n

    # ------------------------------------------------------------------ in full, and at the end

    def in_full(self) -> None:
        self._full_at = self.seen
        self._sums()
        self._tables()
        self._store()
        self._journal()

    def _sums(self) -> None:
        """1, 2 and 4 over everything."""
        for id, budget in self.budgets.items():
            spent = sum(e.amount for e in self.entries.values() if id in e.budgets)
            held = sum(r.amount for r in self.reservations.values() if id in r.budgets and r.taken and not r.settled)
            self._holds(2, (budget.spent, budget.reserved) == (spent, held), f"budget {id} is not its entries' sum")
        costs: dict[str, int] = {}
        for entry in self.entries.values():
            costs[entry.experiment or ""] = costs.get(entry.experiment or "", 0) + entry.amount
        for id, experiment in self.experiments.items():
            self._holds(2, experiment.cost_microusd == costs.get(id, 0), f"{id} does not cost its entries")

    def _tables(self) -> None:
        """4 and 8: the changes add up to the tables, with nothing lost and nothing beside them."""
        stored = self._world.ground.records()
        if stored != self.picture:
            wrong = sorted(k for k in {*stored, *self.picture} if stored.get(k) != self.picture.get(k))
            raise Broken(8, f"changes and records differ at {wrong[:3]}")

    def _store(self) -> None:
        """What the ledger says was kept is there, byte for byte; nothing stands under a name that is not its hash."""
        held = self._world.ground.held(self._world.disk)
        for hash, data in held.items():
            self._holds(8, sha256(data) == hash, f"{hash[:12]} holds other bytes")
        for experiment in self.experiments.values():
            for checkpoint in experiment.checkpoints.values():
                for hash in checkpoint.outputs.values():
                    self._holds(8, hash in held, f"what {experiment.id} left is not in the store")

    def _journal(self) -> int:
        """8: every whole line of the journal is the change of that number; gives how many there are."""
        from simulator.staff import JOURNAL
        n = 0
        if JOURNAL in self._world.disk.seen:
            for n, line in enumerate(good_lines(self._world.disk.seen[JOURNAL].splitlines(keepends=True)), 1):
                self._holds(8, line.change.n == n, f"line {n} of the journal is change {line.change.n}")
        for process in self._world.crew:
            journal = getattr(process, "journal", None)
            self._holds(8, journal is None or journal.last <= n, f"the journal lost lines after {n}")
        return n

    def all_ended(self) -> bool:
        waiting = any(not r.delivered for r in self.reports.values())
        closed = all(r.settled for r in self.reservations.values())
        left = self.lease is not None and not self.lease.carried
        return self._world.calm and closed and left and not waiting and not self.live() and not self._world.phases

    def what_lives(self) -> str:
        open_ = [k for k, r in self.reservations.items() if not r.settled]
        return f"experiments {self.live()[:3]}, money {open_[:3]}, lease {self.lease}, phases {len(self._world.phases)}"

    def finish(self) -> None:
        self.in_full()
        states = {state: sum(e.state == state for e in self.experiments.values()) for state in MOVES}
        self._holds(4, sum(states[s] for s in ENDS) == len(self.experiments), f"not all have ended: {states}")
        for experiment in self.experiments.values():
            for attempt in experiment.attempts:
                self._holds(2, attempt.reservation in self.entries, f"an attempt of {experiment.id} was never settled")
        if self._world.locks:
            self._holds(8, self._journal() >= self._left_at, "the journal ends before the last daemon left")
