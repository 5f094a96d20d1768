"""`aether experiments`: everything that was kept can be read, by a person and by a machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from cli.experiment_page import place
from cli.summary import kept_lines
from cli.watch import Watch
from cli.words import UNPROVEN
from lab.backend import open_backend
from lab.experiment import Attempt, Checkpoint, Experiment, Machine, Outcome
from lab.judging.champion import SEEDS
from lab.local.backend import open_local
from lab.track import load_track

Said = Callable[..., str]


def experiments(purpose: str) -> list[Experiment]:
    return [e for e in open_backend("local:lab").ledger.all_experiments() if e.purpose == purpose]


def test_the_list_shows_each_with_its_objectives(lab: Path, said: Said) -> None:
    told = said("experiments", "list", "--limit", "100")
    for experiment in open_backend("local:lab").ledger.all_experiments():
        assert experiment.id in told
    assert "coefficients" in told
    assert "fit_db" in told
    assert "anchor line" in told


@pytest.mark.parametrize(("words", "kept"), [
    (["--purpose", "anchor"], lambda e: e["purpose"] == "anchor"),
    (["--state", "success"], lambda e: e["outcome"]["verdict"] == "success"),
    (["--designer", "control"], lambda e: e["designer"] == "control"),
])
def test_the_list_can_be_narrowed(words: list[str], kept: Callable[[Any], bool], lab: Path, said: Said) -> None:
    everything = json.loads(said("experiments", "list", "--limit", "100", "--json"))["experiments"]
    narrowed = json.loads(said("experiments", "list", "--limit", "100", "--json", *words))["experiments"]
    assert narrowed == [one for one in everything if kept(one)]


def test_the_newest_are_shown_and_the_list_says_that_there_are_more(lab: Path, said: Said) -> None:
    ids = [e.id for e in open_backend("local:lab").ledger.all_experiments()]
    told = said("experiments", "list", "--limit", "2")
    assert [line.split()[0] for line in told.splitlines() if line.startswith("e0")] == ids[-2:]
    assert f"2 of {len(ids)} shown" in told


def test_an_unknown_state_is_refused_with_those_there_are(lab: Path, said: Said) -> None:
    assert "there is proposed, queued" in said("experiments", "list", "--state", "good", code=2)


def test_show_has_the_specification_the_goals_every_metric_of_each_clip_the_attempts_and_the_files(
        lab: Path, said: Said) -> None:
    experiment = experiments("explore")[0]
    told = said("experiments", "show", experiment.id)
    assert experiment.fingerprint in told
    for name, value in experiment.spec.params.items():
        assert name in told
        assert f"{value}" in told
    assert experiment.outcome is not None
    assert experiment.outcome.scores is not None
    for metric in experiment.outcome.scores.mean:
        assert metric in told
    assert "held_out" in told
    assert "fit_db >= 10" in told
    assert experiment.attempts[0].worker in told
    for left in experiment.checkpoints.values():
        for hash in left.outputs.values():
            assert hash in told
    assert "gain_line_db" in told  # derived from the anchor


def test_the_number_of_an_experiment_names_it(lab: Path, said: Said) -> None:
    first = json.loads(said("experiments", "show", "1", "--json"))
    assert first["experiment"]["id"] == "e00001"
    assert first["cost_usd"] > 0
    assert "no experiment" in said("experiments", "show", "999", code=2)


def test_an_attempt_tells_the_machine_that_was_rented_for_it() -> None:
    machine = Machine(id="i-1", type="g5.xlarge", zone="us-east-1b", spot=True)
    attempt = Attempt(fence=1, worker="i-1-77", device_class="gpu:a10g", claimed_at=0.0)
    assert place(attempt) == "i-1-77 (gpu:a10g)"
    assert place(replace(attempt, machine=machine)) == "i-1-77 (gpu:a10g, g5.xlarge spot in us-east-1b)"


def test_a_failed_one_shows_its_reason_and_its_logs_end_made_harmless(lab: Path, said: Said) -> None:
    backend = open_local(lab / "lab")
    log = backend.store.put_bytes(b"warming up\nTraceback: \x1b[2Jno such codec\n")
    old = experiments("explore")[0]
    failed = replace(old, state="finished", outcome=Outcome(verdict="failed", reason="crash", detail="encode: exit 1"),
                     checkpoints={"encode": Checkpoint(outputs={"log.txt": log}, done=False)})
    _overwrite(lab, failed)
    told = said("experiments", "show", failed.id)
    assert "failed: crash" in told
    assert "encode: exit 1" in told
    assert "no such codec" in told
    assert "\x1b[2J" not in told
    assert "no such codec" in json.loads(said("experiments", "show", failed.id, "--json"))["log_end"]


def test_diff_tells_what_differs_and_which_is_better(lab: Path, said: Said) -> None:
    a, b = experiments("explore")[:2]
    found = json.loads(said("experiments", "diff", a.id, b.id, "--json"))
    params = {pair["name"] for pair in found["spec"]}
    assert {name for name in a.spec.params if a.spec.params[name] != b.spec.params.get(name)} <= params
    assert found["comparable"]
    fit = next(pair for pair in found["metrics"] if pair["metric"] == "fit_db")
    assert fit["change"] == pytest.approx(fit["b"] - fit["a"])
    assert fit["better"] == (b.id if fit["change"] > 0 else a.id if fit["change"] < 0 else "")
    assert a.id in said("experiments", "diff", a.id, b.id)


def test_numbers_of_two_clip_sets_are_not_set_against_each_other(lab: Path, said: Said) -> None:
    explored = experiments("explore")[0]
    other = replace(explored, id="e99999", spec=replace(explored.spec, clips="f" * 64))
    _overwrite(lab, other)
    found = json.loads(said("experiments", "diff", explored.id, other.id, "--json"))
    assert not found["comparable"]
    assert all(pair["change"] is None for pair in found["metrics"])
    assert "no number of one says anything" in said("experiments", "diff", explored.id, other.id)


def test_one_that_its_confirmations_refuted_is_told_everywhere_in_the_same_words(lab: Path, said: Said) -> None:
    best = json.loads(said("status", "--json"))["best"]["id"]
    for confirmation in experiments("confirm"):
        if confirmation.group == best:
            _overwrite(lab, replace(confirmation, outcome=Outcome(verdict="failed", reason="crash")))
    words = "refuted on clips that no designer has seen, so not the best"
    assert f"{words}: {best}" in said("status")
    assert json.loads(said("status", "--json"))["refuted"] == [best]
    assert f"{words}: {best}" in said("experiments", "list", "--limit", "100")
    told = json.loads(said("experiments", "list", "--limit", "100", "--json"))["experiments"]
    assert [one["id"] for one in told if one["refuted"]] == [best]
    assert words in said("experiments", "show", best)
    assert json.loads(said("experiments", "show", best, "--json"))["refuted"]
    other = next(e.id for e in experiments("explore") if e.id != best)
    assert words not in said("experiments", "show", other)


def test_where_all_were_refuted_nobody_says_that_nothing_was_measured(lab: Path, said: Said) -> None:
    recipes = {e.spec.recipe(): e for e in experiments("explore")}
    (some, *_) = experiments("confirm")
    for nth, explored in enumerate(recipes.values()):
        _overwrite(lab, replace(some, id=f"e9{nth:04}", spec=explored.spec, group=explored.id,
                                outcome=Outcome(verdict="failed", reason="crash")))
    told = said("status")
    assert "none that its confirmations bear out" in told
    assert "nothing measured yet" not in told


def test_cancelling_ends_one_that_waits_and_refuses_one_that_has_ended(lab: Path, said: Said) -> None:
    waiting = replace(experiments("explore")[0], id="e99999", state="queued", outcome=None, attempts=())
    _overwrite(lab, waiting)
    assert "e99999 is cancelled" in said("experiments", "cancel", "e99999", "--why", "a better idea")
    assert open_backend("local:lab").ledger.experiment("e99999").state == "cancelled"
    assert "nothing to cancel" in said("experiments", "cancel", "1", code=2)


def _overwrite(lab: Path, experiment: Experiment) -> None:
    """As if it had come to this."""
    open_local(lab / "lab").ledger.table.set("experiment", experiment.id, msgspec.json.encode(experiment),
                                             tag=experiment.state)


def test_what_waits_says_where_it_goes_on(lab: Path, said: Said) -> None:
    backend = open_backend("local:lab")
    ledger, office = backend.ledger, backend.ledger.office
    last = next(iter(ledger.all_experiments("finished")))
    spec = replace(last.spec, seed=last.spec.seed + 100)
    epoch = office.take_lease("teller", host="", pid=0, observed=None, op_id="take")
    ledger.accounts.set_cap("told", 10**9, op_id="cap")
    for id in ("e09001", "e09002"):
        given = Experiment(id=id, spec=spec, fingerprint=id, purpose="explore", designer="control")
        ledger.propose(given, epoch=epoch, op_id=f"propose.{id}")
    ledger.approve("e09001", epoch=epoch, op_id="approve")
    assert "queued: it waits for a worker" in said("experiments", "show", "e09001")
    ledger.reserve("e09001", 10**6, ("told",), price_usd_h=1.0, epoch=epoch, op_id="reserve")
    fence = ledger.claim("e09001", worker="w", device_class="cpu", op_id="claim")
    first, second, *_ = load_track(spec.track).phases(spec)
    ledger.checkpointed("e09001", fence, first.name, Checkpoint(outputs={}, done=True), op_id="left")
    ledger.release("e09001", fence, "interrupted", used_s=1.0, op_id="back")
    assert f"queued: a worker goes on with {second.name}" in said("experiments", "show", "e09001")
    assert kept_lines(Watch(backend)) == [f"e09001 is kept half done: the next run goes on with {second.name}",
                                          "1 experiment waiting for the next run"]


def test_code_from_outside_that_misses_a_goal_stands_as_unproven(lab: Path, said: Said) -> None:
    ledger = open_backend("local:lab").ledger
    epoch = ledger.office.take_lease("teller", host="", pid=0, observed=None, op_id="take")
    ledger.accounts.set_cap("told", 10**9, op_id="cap")
    ours = next(e for e in ledger.all_experiments("finished")
                if e.purpose == "explore" and e.outcome is not None and e.outcome.scores is not None)
    assert ours.outcome is not None
    assert ours.outcome.scores is not None
    scores = replace(ours.outcome.scores, mean={**ours.outcome.scores.mean, "fit_db": 0.0})
    for seed in (ours.spec.seed, *SEEDS):
        id, purpose = f"e09{seed:03}", "confirm" if seed in SEEDS else "explore"
        given = Experiment(id=id, spec=replace(ours.spec, code="c" * 64, seed=seed), fingerprint=id,
                           purpose=purpose, designer="person", group=f"e09{ours.spec.seed:03}")  # type: ignore[arg-type]
        ledger.propose(given, epoch=epoch, op_id=f"propose.{id}")
        ledger.approve(id, epoch=epoch, op_id=f"approve.{id}")
        ledger.reserve(id, 10**6, ("told",), price_usd_h=1.0, epoch=epoch, op_id=f"reserve.{id}")
        fence = ledger.claim(id, worker="w", device_class="cpu", op_id=f"claim.{id}")
        ledger.finish(id, fence, Outcome(verdict="partial", scores=scores), used_s=1.0, phases={}, op_id=f"end.{id}")
    stranger = f"e09{ours.spec.seed:03}"
    assert UNPROVEN in said("experiments", "show", stranger).replace("\n", " ")
    assert f"{UNPROVEN}: {stranger}" in said("experiments", "list", "--limit", "100").replace("\n", " ")
    assert json.loads(said("status", "--json"))["unproven"] == [stranger]
    assert UNPROVEN not in said("experiments", "show", ours.id).replace("\n", " ")
