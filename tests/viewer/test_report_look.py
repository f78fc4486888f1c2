# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What the page shows at one look: what is wrong, in which colour, with formulas printed, and what stays in view."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import arithmetic_prm
import pytest
from browsing import CONTRASTS, NO_CHROMIUM, PHONE
from report_dumps import FORMULAS, agreeing, mathematical, plain_row, rollout, varied, write

from verl_prpo.cli.main import main
from verl_prpo.telemetry.rollouts.read import read_rollouts

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = NO_CHROMIUM

PHONE_OPTIONS = {"viewport": PHONE, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}


def page_of(folder: Path, rollouts: list[Any], *arguments: str) -> Path:
    made = folder / "report.html"
    assert main(["report", str(write(folder / "dump", rollouts)), "-o", str(made), *arguments]) == 0
    return made


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_of(tmp_path_factory.mktemp("maths"), mathematical())


@pytest.fixture(scope="module")
def varied_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_of(tmp_path_factory.mktemp("varied"), varied())


def colour(element: "Locator", name: str = "backgroundColor") -> tuple[int, ...]:
    found = element.evaluate(f"element => getComputedStyle(element).{name}")
    return tuple(map(int, re.findall(r"\d+", found)[:3]))


def bluish(rgb: tuple[int, ...]) -> bool:
    return rgb[2] - rgb[0] > 15


def reddish(rgb: tuple[int, ...]) -> bool:
    return rgb[0] - rgb[2] > 15


class TestFirstLook:
    def test_it_says_what_contradicts_the_verdicts(self, opened: Any, varied_file: Path) -> None:
        page = opened(page=varied_file)
        alarming = page.locator(".finding.alarming h3").all_inner_texts()
        assert [text.replace("⚠ ", "").split("\n")[0] for text in alarming] == [
            "The PRM ranks right above wrong in 33% of the pairs",
            "1 of 4 wrong responses the PRM liked",
            "1 of 2 right responses the PRM disliked",
            "1 response without scores, 1 longer than the PRM’s context",
        ]
        assert page.locator(".finding:not(.alarming) h3").all_inner_texts() == [
            "18% of the tokens change sign against GRPO"
        ]

    def test_a_line_of_it_opens_the_response_at_its_worst_segment(self, opened: Any, varied_file: Path) -> None:
        page = opened(page=varied_file)
        line = page.locator(".finding", has_text="wrong responses the PRM liked").locator(".telling")
        assert "1: 0.95" in line.inner_text() and "Two and two is five" in line.inner_text()
        line.click()
        assert page.locator("#response h2").inner_text() == "Group 1 · response 2 of 2"
        assert page.locator("#tokens .is-worst h3").is_visible()
        assert page.locator(".worst-note").inner_text().startswith("Segment 1 is what the PRM liked most in this wrong")
        page.keyboard.press("o")
        assert page.locator("#overview").is_visible() and not page.locator("#response").is_visible()

    def test_where_nothing_is_wrong_nothing_alarms(self, opened: Any, tmp_path: Path) -> None:
        page = opened(page=page_of(tmp_path, agreeing()))
        assert page.locator(".finding.alarming").count() == 0 and not page.locator("#would").is_visible()
        assert "100% of the pairs" in page.locator(".finding").first.inner_text()
        page.goto(page.url + "#r1")
        page.locator("#tokens").wait_for()
        assert page.locator(".note, .worst-note, .against, .is-worst").count() == 0

    def test_an_unknown_verdict_is_neither_right_nor_wrong(self, opened: Any, tmp_path: Path) -> None:
        graded = [rollout(verifier_score=score, scores=(0.9,)) for score in (0.1, 0.5, 0.9)]
        page = opened(page=page_of(tmp_path, graded))
        assert "3 responses of unknown verdict" in page.locator("#overview").inner_text()
        assert page.locator(".pill .mark").all_inner_texts() == ["?"] * 3
        page.keyboard.press("j")
        assert page.locator(".badge").all_inner_texts() == ["? Unknown"]

    def test_what_prpo_would_pay_is_marked_as_that(self, opened: Any, tmp_path: Path) -> None:
        lines = [plain_row(made, f"{made.uid}_{i}_0") for i, made in enumerate(agreeing())]
        (tmp_path / "7.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        assert main(["report", str(tmp_path), *arithmetic_prm.overrides(tmp_path / "prm")]) == 0
        page = opened(page=tmp_path / "report.html")
        assert (
            page.locator("#would").inner_text().startswith("What PRPO would pay: this run was not trained with these")
        )
        page.keyboard.press("j")
        assert page.locator("#would").is_visible() and page.locator(".segment").count() == 1

    def test_charts_of_the_step_and_a_point_opens_its_response(self, opened: Any, varied_file: Path) -> None:
        page = opened(page=varied_file)
        assert page.locator(".plot-box h3").all_inner_texts() == ["PRM mean score", "Advantage, PRPO against GRPO"]
        assert page.locator(".dot").count() == 6
        assert page.locator(".bar.right").count() == 2 and page.locator(".prior").count() == 1
        page.locator(".dot").nth(3).click()
        assert page.locator("#response h2").inner_text() == "Group 2 · response 2 of 2"

    def test_curves_over_the_steps_of_the_dump(self, opened: Any, tmp_path: Path) -> None:
        page = opened(page=page_of(tmp_path, [made for step in (1, 2, 3) for made in agreeing(step)]))
        names = page.locator(".curves h3").all_inner_texts()
        assert [name.split()[0] for name in names] == ["accuracy", "PRM", "signs", "segments"]
        assert page.locator(".curves .curve-point.right").count() == 3 + 3
        assert page.locator("h1 span").inner_text() == "step 3"


class TestColours:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_scores_and_advantages_share_one_scale_around_the_prior(
        self, opened: Any, tmp_path: Path, scheme: str
    ) -> None:
        made = rollout("one two three four five six", (1.0, 0.5, 0.0), beta=0.0, grpo=0.1)
        page = opened("#r1", page=page_of(tmp_path, [made]), color_scheme=scheme)
        heads = [colour(page.locator(".segment h3").nth(i)) for i in range(3)]
        tokens = [colour(page.locator(".segment .text").nth(i).locator(".t").first) for i in range(3)]
        assert bluish(heads[0]) and not bluish(heads[1]) and not reddish(heads[1]) and reddish(heads[2])
        assert (tokens[0], tokens[2]) == (heads[0], heads[2])
        assert page.locator(".shade", has_text="prior").inner_text() == "prior 0.50"

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_a_wrong_liked_response_and_its_segment_stand_out(
        self, opened: Any, varied_file: Path, scheme: str
    ) -> None:
        page = opened("#r2", page=varied_file, color_scheme=scheme)
        right, wrong = page.locator(".pill").nth(0), page.locator(".pill").nth(1)
        assert bluish(colour(right)) and bluish(colour(wrong))
        assert colour(wrong, "borderTopColor") != colour(right, "borderTopColor")
        assert wrong.get_attribute("aria-label") == (
            "group 1, response 2, wrong, but the PRM liked it, mean z +1.50, PRM 0.88"
        )
        worst, other = page.locator(".segment").nth(0), page.locator(".segment").nth(1)
        assert worst.evaluate("e => getComputedStyle(e).borderTopWidth") == "3px"
        assert other.evaluate("e => getComputedStyle(e).borderTopWidth") == "1px"
        assert page.locator(".segment .worst").all_inner_texts() == ["⚠ liked most, in a wrong answer"]
        assert page.locator("#map .worst-sign").count() == 1

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("where", ["", "#r1", "#r2", "#r4", "#g1"])
    def test_every_text_has_contrast_formulas_too(self, opened: Any, scheme: str, where: str) -> None:
        page = opened(where, color_scheme=scheme)
        found = page.evaluate(CONTRASTS)
        assert len(found) > 40
        assert [text for text in found if text[2] < 4.5] == []


class TestFormulas:
    def test_they_are_printed_and_money_is_not(self, opened: Any) -> None:
        page = opened("#r1")
        printed = [label for label in page.locator("#tokens .formula").evaluate_all("all => all.map(e => e.ariaLabel)")]
        assert printed == [
            "$x^2 = 4$",
            r"\(y\)",
            r"\[ \frac{x}{y} = \sqrt{2} \]",
            r"$$\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}$$",
            "$50%$",
            r"\boxed{\frac{1}{2}}",
        ]
        assert "A pen costs $5 and a book $12" in page.locator("#tokens").inner_text().replace("\n", " ")
        assert page.locator("#tokens .formula svg").first.evaluate("e => e.getBoundingClientRect().width") > 0
        assert "50%" in page.locator("#tokens .formula").nth(4).inner_text()
        assert page.locator(".prompt .formula").count() == 2 and page.locator(".group .formula").count() >= 1

    def test_they_are_in_katexs_own_fonts(self, opened: Any) -> None:
        page = opened("#r1")
        page.evaluate("document.fonts.ready.then(() => 0)")
        loaded = page.evaluate("[...document.fonts].filter(f => f.status === 'loaded').map(f => f.family)")
        assert {"KaTeX_Main", "KaTeX_Math"} <= {name.strip('"') for name in loaded}

    def test_the_raw_text_is_one_click_away(self, opened: Any) -> None:
        page = opened("#r1")
        page.get_by_role("button", name="Raw text").click()
        assert page.locator(".formula").count() == 0
        shown = page.locator("#tokens .text").all_text_contents()
        assert "".join(shown).replace("▫", "") == FORMULAS
        page.keyboard.press("m")
        assert page.locator("#tokens .formula").count() == 6

    @pytest.mark.parametrize("place", [1, 2, 4])
    def test_every_token_can_be_reached(self, opened: Any, file: Path, place: int) -> None:
        page = opened(f"#r{place}")
        made = list(read_rollouts(file.parent / "dump"))[place - 1]
        covered = page.locator("#tokens [data-t]").evaluate_all(
            "all => all.map(e => [Number(e.dataset.t), Number(e.dataset.end ?? Number(e.dataset.t) + 1)])"
        )
        assert {t for begin, end in covered for t in range(begin, end)} == set(range(len(made.response_mask)))
        page.keyboard.press("e")
        for _ in range(5):
            page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.closest('#tokens [data-t]') !== null")

    def test_one_that_a_cut_goes_through_is_printed_once_and_its_text_stands_on_both_sides(self, opened: Any) -> None:
        page = opened("#r2")
        assert page.locator("#tokens .formula").count() == 1
        first, second = page.locator("#tokens .segment").nth(0), page.locator("#tokens .segment").nth(1)
        assert first.locator(".cut-through").get_attribute("aria-label") == "$a + b = c + d$"
        rests = ["".join(box.locator(".rest").all_text_contents()) for box in (first, second)]
        assert "".join(rests).strip() == "$a + b = c + d$" and all(rests)
        assert first.locator(".cut-mark").inner_text() == "✂ 2"

    def test_hostile_ones_load_link_and_hide_nothing(self, opened: Any) -> None:
        page = opened("#r3")
        box = page.locator("#tokens")
        assert page.evaluate("window.pwned") is None
        assert box.locator("a, img, script, iframe").count() == 0
        for raw in (r"\def\a{\a\a}\a", r"\frac{1}{", "<img src=x onerror=alert(6)>"):
            assert raw in box.text_content() or box.locator(f".formula[aria-label*='{raw[:4]}']").count()
        assert box.locator(".formula").evaluate_all(
            "all => all.every(e => e.offsetHeight < 400 && e.offsetWidth < 1000)"
        )
        inks = box.locator(".katex .mord").evaluate_all("all => [...new Set(all.map(e => getComputedStyle(e).color))]")
        assert "rgb(255, 255, 255)" not in inks


class TestOrder:
    def test_groups_can_be_sorted(self, opened: Any, tmp_path: Path) -> None:
        made = [
            *(rollout(scores=(0.9,), right=True, uid="easy", beta=0.0, grpo=0.0) for _ in range(2)),
            *(
                rollout(scores=(s,), right=r, uid="odd", beta=b, grpo=b)
                for s, r, b in ((0.1, True, 1), (0.8, False, -1))
            ),
            *(rollout(scores=(0.2,), right=False, uid="hard", beta=0.0, grpo=0.0) for _ in range(2)),
        ]
        page = opened(page=page_of(tmp_path, made))
        orders = {
            "against": [2, 1, 3],
            "flips": [2, 1, 3],
            "accuracy-low": [3, 2, 1],
            "accuracy-high": [1, 2, 3],
            "prm-low": [3, 2, 1],
            "prm-high": [1, 2, 3],
            "dump": [1, 2, 3],
        }
        assert page.locator("#sort option").count() == len(orders)
        for key, order in orders.items():
            page.locator("#sort").select_option(key)
            names = page.locator(".group h2 span:first-child").all_inner_texts()
            assert names == [f"Group {number}" for number in order], key
        page.locator("#sort").select_option("prm-low")
        page.locator("#sort").blur()
        page.keyboard.press("j")
        assert page.locator("#response h2").inner_text() == "Group 3 · response 1 of 2"

    def test_responses_of_a_group_stand_side_by_side(self, opened: Any, varied_file: Path) -> None:
        page = opened(page=varied_file)
        page.locator(".compare-open").first.click()
        columns = page.locator(".column")
        assert columns.count() == 2
        boxes = [columns.nth(i).bounding_box() for i in range(2)]
        assert boxes[0]["y"] == boxes[1]["y"] and boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
        assert "Two and two is five" in columns.nth(1).locator(".text").first.inner_text().replace("\n", " ")
        assert columns.nth(1).locator(".worst").count() == 1
        columns.nth(1).get_by_role("button", name="Open").click()
        assert page.locator("#response h2").inner_text() == "Group 1 · response 2 of 2"
        page.keyboard.press("c")
        page.locator("[data-beside]").first.click()
        assert columns.count() == 1

    def test_the_most_telling_two_are_the_liked_wrong_and_the_disliked_right(self, opened: Any) -> None:
        page = opened("#g1")
        assert page.locator(".column").count() == 5
        page.get_by_role("button", name="Most telling two").click()
        # right ones have mean scores 0.85, 0.47 and 0.6, wrong ones 0.625 and 0.2
        assert page.locator(".column header > b").all_inner_texts() == ["2", "4"]


class TestInView:
    def seen(self, page: "Page", name: str) -> bool:
        box = page.locator(name).bounding_box()
        return box is not None and 0 <= box["y"] and box["y"] + box["height"] <= page.viewport_size["height"]

    def scrolled(self, page: "Page") -> int:
        """The segment whose text lies in the middle of the window, deep in the response."""
        page.evaluate(
            "() => document.querySelectorAll('#tokens .segment')[1].querySelector('.t:nth-last-child(20)')"
            ".scrollIntoView({block: 'end'})"
        )
        page.wait_for_timeout(100)
        return 1

    def test_the_map_and_the_head_of_the_segment_stay(self, opened: Any) -> None:
        page = opened("#r4", viewport={"width": 1280, "height": 520})
        place = self.scrolled(page)
        assert page.locator("#tokens .segment").nth(place).bounding_box()["y"] < 0
        assert self.seen(page, "#map svg") and self.seen(page, f"#tokens .segment:nth-child({place + 1}) h3")
        dock, head = page.locator(".dock").bounding_box(), page.locator(".segment h3").nth(place).bounding_box()
        assert head["y"] == pytest.approx(dock["y"] + dock["height"], abs=1.5)

    def test_on_a_phone_too(self, opened: Any) -> None:
        page = opened("#r4", **PHONE_OPTIONS)
        place = self.scrolled(page)
        assert self.seen(page, "#map svg") and self.seen(page, f"#tokens .segment:nth-child({place + 1}) h3")
        top, dock = page.locator("#top").bounding_box(), page.locator(".dock").bounding_box()
        assert dock["y"] == pytest.approx(top["y"] + top["height"], abs=2)
        assert dock["height"] < 0.25 * PHONE["height"]

    @pytest.mark.parametrize("where", ["", "#g1", *(f"#r{place}" for place in range(1, 6))])
    def test_nothing_is_wider_than_a_phone(self, opened: Any, where: str) -> None:
        page = opened(where, **PHONE_OPTIONS)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
