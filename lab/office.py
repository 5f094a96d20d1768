"""What the ledger keeps beside experiments and money: the daemon's lease, control, settings revisions, the outbox."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from lab import guards
from lab.beats import Beats
from lab.clock import Clock
from lab.control import Beat, Control, DaemonLease, Guarded, Idea, LatestPage, Report, Run, SettingsRevision
from lab.errors import LabHeld
from lab.table import Table
from lab.transaction import Transaction, Transactor

DAEMON = ("daemon", "lease")
CONTROL = ("control", "lab")
GUARD = ("guard", "budget")
PAGE = ("page", "latest")


class Office:
    def __init__(self, transactor: Transactor, table: Table, clock: Clock, beats: Beats) -> None:
        self._transactor, self._table, self._clock, self._beats = transactor, table, clock, beats

    # ------------------------------------------------------------------ one daemon

    def take_lease(self, holder: str, *, host: str, pid: int, observed: tuple[int, int] | None, op_id: str) -> int:
        """Become the lab's daemon; gives the epoch. If another holds it, only a caller that watched its heartbeat
        stand still for a whole lease time may take over: `observed` is the (epoch, beat) that it saw throughout.
        Raises LabHeld, saying who holds it."""
        def decide(t: Transaction) -> int:
            lease = t.read(*DAEMON, DaemonLease)
            if lease is not None and lease.holder and observed != (lease.epoch, self.daemon_beat(lease.epoch)):
                raise LabHeld(f"daemon {lease.holder} (pid {lease.pid} on {lease.host}) holds this lab; stop it with "
                              f"`aether stop`, or wait for its lease to run out")
            epoch = lease.epoch + 1 if lease else 1
            carried = lease is not None and lease.carried
            run = lease.run if lease and carried else epoch
            t.put(*DAEMON, DaemonLease(epoch=epoch, holder=holder, host=host, pid=pid, since=self._clock.wall(),
                                       run=run or epoch, broke_off=carried,
                                       ending=lease.ending if lease and carried and run else 0))
            return epoch
        return self._transactor.run("take_lease", holder, op_id, decide, int)

    def close_run(self, *, op_id: str) -> int:
        """A person begins a run of their own: the next daemon does not go on with one that has not ended."""
        def decide(t: Transaction) -> int:
            lease = t.read(*DAEMON, DaemonLease)
            if lease is not None and lease.carried:
                t.put(*DAEMON, replace(lease, run=0))
            return lease.epoch if lease else 0
        return self._transactor.run("close_run", "", op_id, decide, int)

    def begin_run(self, explored: int, *, epoch: int, op_id: str) -> Run:
        """The run that this daemon carries on, or begins now after so many explored experiments."""
        def decide(t: Transaction) -> Run:
            require_epoch(t, epoch)
            lease = t.read(*DAEMON, DaemonLease)
            key = lease.run if lease and lease.run else epoch
            known = t.read("run", f"{key:06d}", Run)
            if known is None:
                known = Run(key=key, explored=explored)
                t.put("run", f"{key:06d}", known)
            return known
        return self._transactor.run("begin_run", str(epoch), op_id, decide, Run)

    def leave_lease(self, epoch: int, *, ending: int = 0, goes_on: bool = False, op_id: str) -> int:
        """The daemon goes by itself; the next one need not wait. After the change `ending` its run began to end, also
        one that `goes_on` with the next daemon; 0 of one that had not."""
        def decide(t: Transaction) -> int:
            require_epoch(t, epoch)
            lease = t.read(*DAEMON, DaemonLease)
            t.put(*DAEMON, DaemonLease(epoch=epoch, holder="", run=lease.run if lease else epoch, ending=ending,
                                       goes_on=goes_on))
            return epoch
        return self._transactor.run("leave_lease", str(epoch), op_id, decide, int)

    def beat_daemon(self, epoch: int, n: int, ran_s: float = 0.0, paid: dict[str, Any] | None = None) -> None:
        """The daemon's heartbeat. Raises Stale when another daemon has taken over."""
        guards.check_epoch(self.lease(), epoch)
        self._beats.set(f"daemon.{epoch}", Beat(fence=epoch, n=n, used_s=ran_s, at=self._clock.wall(),
                                                progress=paid or {}))

    def daemon_beat(self, epoch: int) -> int:
        sign = self.daemon_sign(epoch)
        return sign.n if sign else 0

    def daemon_sign(self, epoch: int) -> Beat | None:
        """The last heartbeat of the daemon of that epoch; none also where it cannot be read."""
        return self._beats.last(f"daemon.{epoch}")

    def last_sign(self, run: int, epoch: int) -> Beat | None:
        """The last heartbeat of those who carried that run before this epoch: one may have died before its first."""
        signs = (self.daemon_sign(before) for before in range(epoch - 1, run - 1, -1))
        return next((sign for sign in signs if sign is not None), None)

    def lease(self) -> DaemonLease | None:
        record = self._table.get(*DAEMON)
        return msgspec.json.decode(record.body, type=DaemonLease) if record else None

    def require_epoch(self, t: Transaction, epoch: int) -> None:
        require_epoch(t, epoch)

    # ------------------------------------------------------------------ what a person said

    def control(self) -> Control:
        record = self._table.get(*CONTROL)
        return msgspec.json.decode(record.body, type=Control) if record else Control()

    def set_control(self, *, op_id: str, **said: Any) -> Control:
        """Change some fields of `Control`."""
        def decide(t: Transaction) -> Control:
            control = replace(t.read(*CONTROL, Control) or Control(), **said)
            t.put(*CONTROL, control)
            return control
        return self._transactor.run("control", ", ".join(said), op_id, decide, Control)

    def add_idea(self, idea: Idea, *, op_id: str) -> str:
        """Ask the daemon to propose this."""
        def decide(t: Transaction) -> str:
            if t.read("idea", idea.key, Idea) is None:
                t.put("idea", idea.key, idea, tag="waiting")
            return idea.key
        return self._transactor.run("idea", idea.key, op_id, decide, str)

    def ideas(self) -> Sequence[Idea]:
        return [msgspec.json.decode(r.body, type=Idea) for r in self._table.page("idea", tag="waiting")]

    def take_idea(self, key: str, *, epoch: int, op_id: str) -> str:
        """The daemon has proposed it, or cannot."""
        def decide(t: Transaction) -> str:
            require_epoch(t, epoch)
            idea = t.read("idea", key, Idea)
            if idea is not None:
                t.put("idea", key, replace(idea, taken=True), tag="taken")
            return key
        return self._transactor.run("take_idea", key, op_id, decide, str)

    def push_settings(self, text: str, *, op_id: str) -> int:
        """A new revision of the settings, if the text differs from the last; gives the revision in force."""
        def decide(t: Transaction) -> int:
            control = t.read(*CONTROL, Control) or Control()
            last = t.read("settings", f"{control.settings:06d}", SettingsRevision)
            if last is not None and last.text == text:
                return last.revision
            new = SettingsRevision(revision=control.settings + 1, text=text, at=self._clock.wall())
            t.put("settings", f"{new.revision:06d}", new)
            t.put(*CONTROL, replace(control, settings=new.revision))
            return new.revision
        return self._transactor.run("settings", "", op_id, decide, int)

    def settings(self, revision: int) -> SettingsRevision | None:
        record = self._table.get("settings", f"{revision:06d}")
        return msgspec.json.decode(record.body, type=SettingsRevision) if record else None

    # ------------------------------------------------------------------ the budget guard

    def guarded(self) -> Guarded:
        record = self._table.get(*GUARD)
        return msgspec.json.decode(record.body, type=Guarded) if record else Guarded()

    def guard(self, found: Guarded, held: str, told: Report | None, *, op_id: str) -> int:
        """What the guard found that is new, whether it holds the lab, and the word of it for the outbox, in one; gives
        its number. Of two guards at once one writes; the other is refused as Stale and has to look again."""
        def decide(t: Transaction) -> int:
            guards.check_guards_turn(t.read(*GUARD, Guarded) or Guarded(), found)
            t.put(*GUARD, found)
            control = t.read(*CONTROL, Control) or Control()
            if control.held != held:
                t.put(*CONTROL, replace(control, held=held))
            if told is not None:
                guards.check_new_report(t.read("report", told.key, Report) is not None, told.key)
                t.put("report", told.key, told, tag="waiting")
            return found.n
        return self._transactor.run("guard", found.level, op_id, decide, int)

    # ------------------------------------------------------------------ the outbox

    def post_report(self, report: Report, *, op_id: str) -> str:
        """Put a report into the outbox. There is one for each key, whoever asks and however often."""
        def decide(t: Transaction) -> str:
            guards.check_new_report(t.read("report", report.key, Report) is not None, report.key)
            t.put("report", report.key, report, tag="waiting")
            latest = t.read(*PAGE, LatestPage) if report.html else None
            if report.html and (latest is None or report.at >= latest.at):
                t.put(*PAGE, LatestPage(key=report.key, at=report.at))
            return report.key
        return self._transactor.run("report", report.key, op_id, decide, str)

    def delivered(self, key: str, *, op_id: str) -> str:
        def decide(t: Transaction) -> str:
            report = t.read("report", key, Report)
            if report is not None and not report.delivered:
                t.put("report", key, replace(report, delivered=True), tag="delivered")
            return key
        return self._transactor.run("delivered", key, op_id, decide, str)

    def report(self, key: str) -> Report | None:
        record = self._table.get("report", key)
        return msgspec.json.decode(record.body, type=Report) if record else None

    def latest_page(self) -> Report | None:
        """The newest report that has a page, as the budget guard's words have none."""
        record = self._table.get(*PAGE)
        if record is not None:
            return self.report(msgspec.json.decode(record.body, type=LatestPage).key)
        pages = (one for one in self.reports() if one.html)  # a lab in which none was posted since this is written down
        return max(pages, key=lambda one: one.at, default=None)

    def reports(self, *, waiting: bool = False, limit: int = 100) -> Sequence[Report]:
        """One page of them, by key; without `waiting` the last keys first."""
        page = self._table.page("report", tag="waiting" if waiting else None, limit=limit, newest_first=not waiting)
        return [msgspec.json.decode(record.body, type=Report) for record in page]


def require_epoch(t: Transaction, epoch: int) -> None:
    """A write of the daemon counts only while its epoch is the current one."""
    guards.check_epoch(t.read(*DAEMON, DaemonLease), epoch)
