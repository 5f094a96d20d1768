"""The report as a page: one file, complete, readable, and deaf to what a candidate wrote."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from agents.gather import gather
from agents.page import compose_html
from gpu_workers.codec.families.classic_space import as_people_run
from gpu_workers.codec.spec import TRACK
from lab.experiment import Outcome
from support.laboratory import CRASH
from support.reported import ReportedLab, scores

VOID = {"meta", "img", "br", "link", "input", "hr", "rect", "line", "circle", "path"}
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>'\"{{ 7 * 7 }}"


class Page(HTMLParser):
    """The tags with their attributes, and the visible text. Unbalanced tags are an error."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self._open = "", list[str]()
        self.feed(html)
        assert self._open == [], f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.text += " "
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if not {"style", "title"} & set(self._open):
            self.text += data

    @property
    def said(self) -> str:
        return " ".join(self.text.split())

    def attributes(self, tag: str, name: str) -> list[str]:
        return [attrs[name] or "" for found, attrs in self.tags if found == tag and name in attrs]


def page(lab: ReportedLab) -> Page:
    return Page(compose_html(gather(lab.backend, TRACK, lab.clock.now, "hourly")))


@pytest.fixture
def busy(lab: ReportedLab) -> ReportedLab:
    """A lab with everything that a page can show."""
    lab.anchors()
    for number in range(12):
        lab.measured(0.3 + number / 5, 30 + number, designer="control" if number % 4 == 0 else "evolution",
                     params=as_people_run("x265", x265_crf=20.0 + number))
    art = {f"thumbnails/drive-worst-{side}.webp": lab.picture(side_colour)
           for side, side_colour in (("original", "red"), ("decoded", "blue"))}
    best = lab.measured(0.2, 42.0, artefacts=art, hypothesis=EVIL)
    lab.confirm(best)
    lab.run(CRASH)
    return lab


def test_every_goal_is_named_with_its_verdict_and_its_clips(busy: ReportedLab) -> None:
    said = page(busy).said
    for goal in TRACK.goals:
        assert goal.metric in said
    assert "bitrate_mbps 0.2 Mbps met goal ≤ 1 Mbps met on 2 of 2 clips unseen clips: 0.9 Mbps (3 runs)" in said
    assert "decoder_teraops_frame – does not apply goal ≤ 1.33 TOPS/frame the decoder has no network" in said


def test_what_was_not_measured_says_why(busy: ReportedLab) -> None:
    assert "lpips not available: torch is not installed" in page(busy).said


def test_the_page_needs_nothing_beside_it(busy: ReportedLab) -> None:
    html = compose_html(gather(busy.backend, TRACK, busy.clock.now, "hourly"))
    found = Page(html)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in found.tags}
    assert all(address.startswith("data:image/") for address in found.attributes("img", "src"))
    assert not found.attributes("a", "href")
    addresses = set(re.findall(r"https?://[^\"'\s<]+", html)) - {"http://www.w3.org/2000/svg"}
    assert not addresses
    assert "url(" not in html
    assert "@import" not in html


def test_original_stands_beside_decoded(busy: ReportedLab) -> None:
    shown = page(busy)
    assert shown.attributes("img", "alt") == ["drive-worst, original", "drive-worst, decoded"]
    assert len(set(shown.attributes("img", "src"))) == 2


def test_how_networks_trained_is_drawn_also_of_those_that_failed_and_whatever_they_claim(lab: ReportedLab) -> None:
    falling = [{"step": n, "loss": 2.0 / (n + 1), EVIL: n} for n in range(50)]
    good = lab.trained(falling, Outcome(verdict="partial", scores=scores(0.9, 33.0)))
    bad = lab.trained([*falling, {"step": 50, "loss": None}], Outcome(verdict="failed", reason="diverged"))
    silent = lab.trained([{"note": "nothing to draw"}], Outcome(verdict="partial", scores=scores(0.9, 33.0)))
    found = page(lab)
    assert "How networks trained" in found.said
    assert f"{good} loss 0.04" in found.said
    assert f"{bad} loss 0.04" in found.said
    assert f"{silent} loss" not in found.said
    assert "script" not in {tag for tag, _ in found.tags}


def test_without_networks_nothing_is_said_of_training(busy: ReportedLab) -> None:
    assert "How networks trained" not in page(busy).said


def test_a_picture_that_the_store_has_lost_is_left_out(lab: ReportedLab) -> None:
    lost = lab.picture("red")
    lab.measured(0.9, 37.0, artefacts={"a-original.webp": lost, "a-decoded.webp": lab.picture("blue")})
    lab.backend.store.remove(lost)
    assert page(lab).attributes("img", "src") == []


@pytest.mark.parametrize("where", ["hypothesis", "detail", "designer", "parameter", "lab", "artefact"])
def test_what_a_candidate_wrote_is_text_and_nothing_else(lab: ReportedLab, where: str) -> None:
    art = {f"{EVIL}-{side}.webp": lab.picture(side_colour)
           for side, side_colour in (("original", "red"), ("decoded", "blue"))} if where == "artefact" else {}
    params = {**as_people_run("x265", x265_crf=20.0), **({EVIL: EVIL} if where == "parameter" else {})}
    lab.measured(0.9, 37.0, params=params, artefacts=art, hypothesis=EVIL if where == "hypothesis" else "",
                 designer=EVIL if where == "designer" else "evolution")
    lab.measured(1.8, 36.0, designer="control")
    lab.run(Outcome(verdict="failed", reason="crash", detail=EVIL if where == "detail" else ""))
    if where == "lab":
        lab.lab.office.push_settings(f"[lab]\nname = '''{EVIL.replace(chr(39), '')}'''\n", op_id="push")
    found = page(lab)
    assert "script" not in {tag for tag, _ in found.tags}
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]
    assert "49" not in found.said.split("alert(2)")[-1][:10]  # no template of its own is run
    assert "alert(1)" in found.text or where == "artefact"


def test_the_front_is_drawn_with_the_anchors_curves_the_goals_and_the_best(busy: ReportedLab) -> None:
    html = compose_html(gather(busy.backend, TRACK, busy.clock.now, "hourly"))
    assert "goal ≥ 35 dB" in html
    for name in ("x265 medium", "SVT-AV1 preset 6", "front"):
        assert f">{name}</text>" in html
    found = page(busy)
    assert found.said.count("psnr_y_db (dB), more is better") == 2  # the wide picture and the narrow one


def test_designers_and_outcomes_are_told(busy: ReportedLab) -> None:
    said = page(busy).said
    assert "Evolution against control, 3 each" in said
    assert "crash 1 e00028: exit 1" in said
    assert "explore 14" in said
    assert "13 partial 1 failed" in said


def test_an_empty_lab_gives_a_whole_page(lab: ReportedLab) -> None:
    said = page(lab).said
    assert "Nothing is measured yet" in said
    assert "bitrate_mbps <= 1" in said
