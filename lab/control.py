"""Small nouns that the ledger keeps beside experiments: changes, control, settings revisions, reports, beats."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from lab.money import MOST, Level
from lab.table import Record

Counted = Annotated[float, msgspec.Meta(ge=0, le=MOST)]  # held to it as it is read; what is not finite is not JSON


class Image(msgspec.Struct, frozen=True):
    """A record as a change left it; `body` is the record's own JSON."""

    kind: str
    id: str
    version: int
    tag: str
    body: msgspec.Raw

    def record(self) -> Record:
        return Record(self.kind, self.id, self.version, bytes(self.body), self.tag)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One committed transaction: number `n`, what it did, and the full image of each record that it wrote."""

    n: int
    at: float
    action: str
    subject: str  # the experiment, reservation or key that it was about
    op_id: str
    records: tuple[Image, ...]
    schema: int = 1


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """What a person has said. `stop` drains (no new work) or stops now; until `override_until` (wall clock)
    the levels of the budget stop nothing; its caps still do. `held` is the budget guard's word, and why it stands:
    nothing new begins, as in a pause, until the guard takes it back."""

    held: str = ""
    paused: bool = False
    stop: Literal["", "drain", "now"] = ""
    override_until: float = 0.0
    settings: int = 0


class Guarded(msgspec.Struct, frozen=True, kw_only=True):
    """How the budget guard last found the money, so that it tells each change once. `n` counts the changes; `caps` are
    the budgets in force, and `told` the worst level that was mailed under them; `billed` is the month in which AWS's
    own bill came to the last level; `closed`: the guard keeps the fleets closed, for budgets of the ids `closed_by`."""

    n: int = 0
    level: Level = "ok"
    caps: str = ""
    told: Level = "ok"
    billed: str = ""
    closed: bool = False
    closed_by: tuple[str, ...] = ()


class Idea(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asks the daemon to run: a reproduction, a configuration, or code of their own.

    `code` is the hash of a bundle, for a family whose agents come from outside; `trains` says whether they learn first,
    and `needs` which packages of the learned families they import.
    """

    key: str
    family: str
    params: dict[str, Any]
    hypothesis: str = ""
    parents: tuple[str, ...] = ()
    seed: int | None = None
    clips: str | None = None  # hash of another dataset than the lab's
    repeats: str | None = None
    code: str | None = None
    trains: bool = False
    needs: tuple[str, ...] = ()
    taken: bool = False


class SettingsRevision(msgspec.Struct, frozen=True, kw_only=True):
    revision: int
    text: str  # the file as the person wrote it
    at: float


class DaemonLease(msgspec.Struct, frozen=True, kw_only=True):
    """Who runs the lab. `epoch` grows at each takeover; an empty holder has left by itself. `run` is the epoch in which
    the run began: a daemon that takes over from one that died goes on with its run; 0 says that a person ended it.
    `broke_off`: the daemon before left no run that had ended. Of one that left, `goes_on` says that it handed its run
    over to the next, and `ending` is the last change before its run began to end; who takes over keeps it. 0 of a run
    that had not begun to, or of a lease from before that was written down."""

    epoch: int
    holder: str
    host: str = ""
    pid: int = 0
    since: float = 0.0
    run: int = 0
    broke_off: bool = False
    goes_on: bool = False
    ending: int = 0

    @property
    def carried(self) -> bool:
        """Whether its run has not ended, so that the next daemon goes on with it."""
        return bool(self.holder) or self.goes_on


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What limits of a run are counted from, however many daemons it takes: `key` is the epoch in which it began."""

    key: int
    explored: int  # experiments that had been explored before


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """A heartbeat: the counter `n`, and what the sender wants known. Set, not added, so a repeat changes nothing. Of a
    daemon, `used_s` is how long its run has lasted, and `progress` what it has used of the hour that is paid.
    Of a worker on an account, `requests` are what it has asked of AWS, by kind, since the last heartbeat of its attempt
    before this one: what an attempt leaves untold goes to the next."""

    fence: int
    n: int
    used_s: Counted = 0.0
    at: Counted = 0.0  # wall clock of a daemon, for people
    phase: str = ""
    progress: dict[str, Any] = {}
    requests: dict[str, Counted] = {}


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A report in the outbox. Its key is the period, so there is one for each."""

    key: str
    subject: str
    text: str
    html: str = ""  # hash in the store
    at: float = 0.0
    delivered: bool = False


class LatestPage(msgspec.Struct, frozen=True, kw_only=True):
    """Which report's page is the newest. Their keys do not tell: each sort of report has keys of its own."""

    key: str
    at: float


class Lesson(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the lab learned, with the experiments that show it."""

    text: str
    experiments: tuple[str, ...] = ()
