"""What the daemon knows: its view of the ledger, the settings in force, and the journal, which is written first."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import structlog

from agents.words import moment
from lab.control import Change
from lab.errors import NotFound, SettingsError
from lab.experiment import Experiment
from lab.ledger import Ledger
from lab.settings import Settings, goals_of, require_known
from lab.track import Goal
from orchestrator.given import Surroundings
from orchestrator.view import ENDED, View

ROUND = 200  # changes followed in one round

log = structlog.get_logger("daemon")


class Picture:
    """See the module. `ready` is false until all is loaded, and again once the settings have changed; `ended` is told
    of each experiment that ends."""

    def __init__(self, ledger: Ledger, around: Surroundings, settings: Settings) -> None:
        self._ledger, self._around = ledger, around
        self.settings = settings
        self.ready = False
        self.view: View
        self.goals: tuple[Goal, ...] = ()
        self.ended: Callable[[Experiment], None] = lambda experiment: None
        self._revision = 0
        self._override = 0.0  # until when, as last told
        self._held = ""  # why the budget guard holds the lab, as last told

    def load(self) -> None:
        """The view anew, under the settings in force."""
        self.goals = goals_of(self.settings, self._around.track)
        self.view = View(self._around.track, self.goals, self._around.clips.explore)
        self.view.load(self._ledger)

    def follow(self) -> bool:
        """Take in new changes, the journal first; whether there may be more."""
        changes = self._ledger.changes(self.view.change, ROUND)
        if self._around.journal is not None:
            self._around.journal.append(changes)
        for change in changes:
            self._take_in(change)
        if self.view.control.settings != self._revision:
            self._adopt(self.view.control.settings)
            self.ready = False
        self._hear_override()
        self._hear_guard()
        return len(changes) == ROUND

    def _take_in(self, change: Change) -> None:
        self.view.apply(change)
        for image in change.records:
            if image.kind == "experiment" and image.tag in ENDED:
                self.ended(msgspec.json.decode(image.body, type=Experiment))

    def catch_up(self) -> None:
        """See our own writes at once: the next number and the places in flight depend on them."""
        while self.follow():
            pass

    def catch_up_journal(self) -> None:
        journal = self._around.journal
        while journal is not None and journal.last < self.view.change:
            journal.append(self._ledger.changes(journal.last, ROUND))

    def adopt_latest(self) -> bool:
        """Take the settings in force; whether they were others than ours."""
        revision = self._ledger.office.control().settings
        if revision == self._revision:
            return False
        self._adopt(revision)
        return True

    def _adopt(self, revision: int) -> None:
        """Take the settings of this revision from now on, if there are any and they are sound."""
        pushed = self._ledger.office.settings(revision)
        try:
            if pushed is not None:
                settings = self._around.parse(pushed.text)
                require_known(settings, self._around.track)
                self.settings = settings
                log.info("settings", revision=revision)
        except (SettingsError, NotFound) as error:
            log.warning("pushed settings are not sound; going on with the old ones", why=str(error))
        self._revision = revision

    def _hear_override(self) -> None:
        until = self.view.control.override_until
        if until != self._override:
            log.warning("the budget's levels", why=f"a person has overridden them until {moment(until)}" if until else
                        "a person has taken the override back")
            self._override = until

    def _hear_guard(self) -> None:
        held = self.view.control.held
        if held != self._held:
            log.warning("the budget guard", holds=held or "no longer")
            self._held = held
