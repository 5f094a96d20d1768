"""Those who talk to the lab from outside: a person with the command line, and a meddler who repeats what others have
said under names of his own. The person is obeyed; of the meddler every word must be refused."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from simulator.lines import Killed
from simulator.staff import LEASE_S, Process

from lab.control import Beat, Idea, Report
from lab.errors import AetherError, Refused, Unavailable, UserError
from lab.experiment import Checkpoint, Experiment, Outcome
from lab.money import to_micro

if TYPE_CHECKING:
    from simulator.world import World

TRIES = 5
FOUL = Outcome(verdict="failed", reason="crash", detail="the meddler was here")


class Person(Process):
    """Pauses, resumes, stops, cancels, asks, and changes the budget and the settings."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "person")
        self._ledger = self.backend().ledger
        self._ops = count(1)

    def act(self) -> None:
        self.world.rng.choice((self._pause, self._cancel, self._cancel, self._budget, self._settings, self._stop,
                               self._idea, self._idea, self._report))()

    def say(self, what: Callable[..., Any], *given: Any, **named: Any) -> None:
        """With one op_id, again until it is answered, as the command line does."""
        op_id = f"person.{next(self._ops)}"
        for _ in range(TRIES):
            try:
                what(*given, **named, op_id=op_id)
                return
            except Unavailable:
                continue
            except (Killed, Refused, UserError):
                return

    def raise_budget(self) -> None:
        for id in sorted(self.world.checker.budgets):
            self.say(self._ledger.accounts.set_cap, id, to_micro(500.0))

    def resume(self) -> None:
        self.say(self._ledger.office.set_control, paused=False)

    def push(self, text: str) -> None:
        self.say(self._ledger.office.push_settings, text)

    def change_terms(self) -> None:
        """Another lease time from now on; those who work keep theirs."""
        self.push(self.world.settings_text(lease_s=self.world.rng.choice((LEASE_S, 3 * LEASE_S))))

    def _pause(self) -> None:
        self.say(self._ledger.office.set_control, paused=True)
        self.world.later(self.resume, 300.0)

    def _stop(self) -> None:
        self.say(self._ledger.office.set_control, stop=self.world.rng.choice(("drain", "now")))

    def _cancel(self) -> None:
        live = self.world.checker.live()
        if live:
            self.say(self._ledger.cancel, self.world.rng.choice(live), "a person said so")

    def _budget(self) -> None:
        for id in sorted(self.world.checker.budgets):
            self.say(self._ledger.accounts.set_cap, id, to_micro(self.world.rng.uniform(0.1, 20.0)))
        self.world.later(self.raise_budget, 600.0)

    def _settings(self) -> None:
        self.push(self.world.rng.choice((self.world.settings_text(), "[limits]\nworkers = 0\n", "[nonsense]\n")))

    def _idea(self) -> None:
        rng, known = self.world.rng, sorted(self.world.checker.experiments)
        parents = (rng.choice(known),) if known and rng.random() < 0.7 else ("e99999",) if rng.random() < 0.5 else ()
        params = {"degree": rng.randrange(14), "ridge": 0.125}  # 13 is outside
        idea = Idea(key=f"i{next(self._ops)}", family="polynomial", params=params, parents=parents,
                    seed=rng.randrange(1000))
        self.say(self._ledger.office.add_idea, idea)

    def _report(self) -> None:
        """Asks for the report of a period, which may be there already."""
        if self.world.checker.reports:
            key = self.world.rng.choice(sorted(self.world.checker.reports))
            self._refused(self._ledger.office.post_report, Report(key=key, subject="again", text="again"))

    def _refused(self, what: Callable[..., Any], *given: Any) -> None:
        try:
            what(*given, op_id=f"person.{next(self._ops)}")
        except Refused:
            self.world.saw("a report's key was refused")
        except (Unavailable, Killed):
            return


class Meddler(Process):
    """Stale and doubled calls under fresh op_ids, as from processes that lost their memory or their lease."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "meddler")
        self._ledger = self.backend().ledger
        self._ops = count(1)

    def act(self) -> None:
        checker, rng = self.world.checker, self.world.rng
        if not checker.experiments:
            return
        experiment = checker.experiments[rng.choice(sorted(checker.experiments))]
        ways = [self._settle_again, self._finish, self._checkpoint, self._release, self._repeat,
                self._old_epoch]
        if experiment.state != "queued" or experiment.reservation is None:
            ways.append(self._claim)
        rng.choice(ways)(experiment)

    def _say(self, what: Callable[..., Any], *given: Any, **named: Any) -> None:
        try:
            what(*given, **named, op_id=f"meddler.{next(self._ops)}")
            self.world.note(f"the meddler was obeyed: {getattr(what, '__name__', what)}")
        except Refused as refusal:
            kind = "a stale fence" if "fence" in str(refusal) else type(refusal).__name__
            self.world.saw(f"meddling refused: {kind}")
        except (AetherError, Killed):
            return

    def _settle_again(self, experiment: Experiment) -> None:
        """What is settled already, or still runs."""
        key = f"{experiment.id}.{experiment.reservations}"
        running = experiment.state == "running" and experiment.attempts[-1].reservation == key
        if key in self.world.checker.entries or running:
            self._say(self._ledger.accounts.settle, key, 1, epoch=self.world.checker.epoch)

    def _finish(self, experiment: Experiment) -> None:
        self._say(self._ledger.finish, experiment.id, self._fence(experiment), FOUL, used_s=0.0, phases={})

    def _checkpoint(self, experiment: Experiment) -> None:
        self._say(self._ledger.checkpointed, experiment.id, self._fence(experiment), "fit",
                  Checkpoint(outputs={}, done=True))

    def _release(self, experiment: Experiment) -> None:
        self._say(self._ledger.release, experiment.id, self._fence(experiment), "interrupted", used_s=0.0)

    def _claim(self, experiment: Experiment) -> None:
        self._say(self._ledger.claim, experiment.id, worker="meddler", device_class="none")

    def _beat(self, experiment: Experiment) -> None:
        try:
            self._ledger.beat(experiment.id, Beat(fence=self._fence(experiment), n=999))
            self.world.note("the meddler's beat was taken")
        except (AetherError, Killed):
            return

    def _repeat(self, experiment: Experiment) -> None:
        """The same point once more, where that is not allowed."""
        faulted = experiment.outcome is not None and experiment.outcome.reason == "harness_fault"
        if experiment.state != "cancelled" and not faulted:
            twin = replace(experiment, id="e88888", state="proposed", attempts=(), outcome=None)
            self._say(self._ledger.propose, twin, epoch=self.world.checker.epoch)

    def _old_epoch(self, experiment: Experiment) -> None:
        self._say(self._ledger.approve, experiment.id, epoch=self.world.checker.epoch - 1)

    def _fence(self, experiment: Experiment) -> int:
        """Any but the one that holds a running attempt."""
        held = experiment.fence if experiment.state == "running" else -1
        return self.world.rng.choice([n for n in range(4) if n != held])
