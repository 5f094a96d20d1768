"""The report as mail carries it: short, plain, and told by its first three lines."""

from __future__ import annotations

from msgspec.structs import replace

from agents.gather import gather
from agents.report import COLUMNS, MOST_LINES, compose
from gpu_workers.codec.spec import TRACK
from lab.experiment import Outcome
from lab.track import Track
from support.laboratory import CRASH
from support.reported import SCORE, ReportedLab, scores

GOAL_ON_CLAIM = '[[goals]]\nmetric = "decoder_teraops_frame"\nrelation = "<="\nvalue = 1.33\n'


def composed(lab: ReportedLab, why: str = "hourly", final: bool = False) -> tuple[str, str]:
    return compose(gather(lab.backend, TRACK, lab.clock.now, why, final=final))


def test_the_first_three_lines_say_it_all(lab: ReportedLab) -> None:
    id = lab.measured(0.836, 37.07)
    lab.confirm(id)
    _, text = composed(lab)
    assert text.splitlines()[:3] == [
        f"lab: {id} meets all 3 goals (confirmed on three seeds and unseen clips)",
        "bitrate_mbps 0.836 met; psnr_y_db 37.07 met; ssim 0.97 met",
        "4 experiments; $2.00 of $100.00 spent; running",
    ]


def test_the_subject_says_lab_best_and_spent(lab: ReportedLab) -> None:
    lab.lab.office.push_settings('[lab]\nname = "tree"\n', op_id="push")
    lab.measured(1.5, 37.0)
    assert composed(lab)[0] == "tree: e00001 meets 2 of 3 goals (not confirmed yet); $0.5000 spent"


def test_a_long_reason_is_told_to_its_end(lab: ReportedLab) -> None:
    why = "hourly; no daemon ran from 2026-11-30 12:30 UTC to 2026-11-30 15:30 UTC"
    _, text = composed(lab, why)
    assert why in " ".join(text.split())
    assert max(len(line) for line in text.splitlines()) <= COLUMNS


def test_an_empty_lab_says_so_instead_of_numbers(lab: ReportedLab) -> None:
    _, text = composed(lab)
    assert "nothing is measured yet" in text
    assert "None" not in text


def test_it_fits_a_terminal_however_much_there_is_to_tell(lab: ReportedLab) -> None:
    lab.anchors()
    for number in range(30):
        lab.measured(0.2 + number / 10, 30 + number / 4, designer=f"designer{number % 7}", hypothesis="long " * 300)
    for reason in ("crash", "timeout", "memory", "disk", "diverged", "bad_output"):
        lab.run(Outcome(verdict="failed", reason=reason, detail="x" * 5000))  # type: ignore[arg-type]
    _, text = composed(lab, why="a very long reason " * 20)
    assert len(text.splitlines()) <= MOST_LINES
    assert max(len(line) for line in text.splitlines()) <= COLUMNS


def test_what_is_missing_says_why_and_is_never_zero(lab: ReportedLab) -> None:
    lab.measured(0.9, 37.0)
    _, text = composed(lab)
    assert "decoder_teraops_frame: does not apply, the decoder has no network" in text
    assert "saving_x265_pct pending: 0 of 5 points of x265_medium are measured" in text


def test_a_goal_on_a_claimed_figure_is_unknown_and_shows_the_claim(lab: ReportedLab) -> None:
    lab.lab.office.push_settings(GOAL_ON_CLAIM, op_id="push")
    claimed = scores(0.9, 37.0, provenance={"decoder_teraops_frame": "claimed"})
    claimed.mean["decoder_teraops_frame"] = 0.75
    lab.run(Outcome(verdict="partial", scores=claimed))
    _, text = compose(gather(lab.backend, _with_networks(), lab.clock.now, "asked"))
    assert "decoder_teraops_frame: unknown, decoder_teraops_frame is only claimed" in " ".join(text.split())
    assert "(the claim: 0.75)" in " ".join(text.split())


def test_failures_are_told_with_their_reason_and_cannot_speak_to_the_terminal(lab: ReportedLab) -> None:
    lab.run(CRASH)
    lab.run(Outcome(verdict="failed", reason="timeout", detail="\x1b[2Jgone\r\n\x07\u202e"))
    _, text = composed(lab)
    assert "failed by crash: 1, last e00001: exit 1" in text
    assert "failed by timeout: 1, last e00002: [2Jgone" in text
    assert all(c.isprintable() or c == "\n" for c in text)


def test_the_last_report_of_a_run_says_that_it_has_ended_and_why(lab: ReportedLab) -> None:
    _, text = composed(lab, "5 minutes are over", final=True)
    assert text.splitlines()[2].endswith("; ended")
    assert "5 minutes are over" in text
    assert "the run has ended; `aether run` carries on from here" in text


def test_outcomes_are_counted_by_purpose(lab: ReportedLab) -> None:
    lab.anchors()
    lab.measured(0.9, 37.0)
    lab.run(CRASH)
    lab.lab.propose(lab.proposal(clips=SCORE))
    _, text = composed(lab)
    assert "explore: 1 partial, 1 failed, 1 proposed" in text
    assert "anchor: 11 partial" in text


def _with_networks() -> Track:
    """The track as it is for families whose decoder has a network."""
    return replace(TRACK, not_applicable=lambda spec: frozenset())
