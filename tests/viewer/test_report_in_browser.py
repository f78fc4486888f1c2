# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The page of `verl-prpo report`, opened from disk in a headless Chromium."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browsing import CONTRASTS, NO_CHROMIUM, PHONE
from report_dumps import empty, rollout, varied, write

from verl_prpo.cli.main import main
from verl_prpo.telemetry.rollouts.read import read_rollouts

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = NO_CHROMIUM


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    masked = rollout("tool said five", (0.9,), uid="tool", response_mask=[1, 0, 0, 1])
    # The name is the page's title.
    return write(tmp_path_factory.mktemp("<img src=x onerror=alert(1)>"), [*varied(), masked, empty()])


@pytest.fixture(scope="module")
def file(dump: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("page") / "report.html"
    assert main(["report", str(dump), "-o", str(made)]) == 0
    return made


def numbers(page: "Page") -> dict[str, str]:
    """What the box with a token's numbers shows."""
    page.locator("#tip").wait_for(state="visible")
    names, values = page.locator("#tip dt").all_inner_texts(), page.locator("#tip dd").all_inner_texts()
    return dict(zip(names, values, strict=True))


def expected(made: Any, token: int) -> dict[str, str]:
    """The same from the dump."""
    place = next(i for i, segment in enumerate(made.segments) if segment.begin <= token < segment.end)

    def signed(value: float) -> str:
        return f"{value:+.3f}".replace("-", "−") if round(value, 3) else "0.000"

    return {
        "token": f"{token + 1} of {len(made.response_mask)}",
        "entropy": f"{made.entropy[token]:.3f} nats",
        "segment": f"{place + 1} of {len(made.segments)}",
        "PRM score": f"{made.segments[place].score:.3f}",
        "z": signed(made.process_advantage[token]),
        "β": signed(made.outcome_advantage[token]),
        "A (PRPO)": signed(made.advantages[token]),
        "A (GRPO)": signed(made.grpo_advantage),
    }


def token(page: "Page", place: int) -> "Locator":
    return page.locator(f'#tokens [data-t="{place}"]')


def heading(page: "Page") -> str:
    return page.locator("#response h2").inner_text()


class TestList:
    def test_groups_with_outcomes_beside_the_first_look(self, opened: Any) -> None:
        page = opened()
        assert page.locator(".group").count() == 5
        group = page.locator(".group").first
        assert group.locator("h2 span").all_inner_texts() == ["Group 1", "1/2 right", "PRM 0.84"]
        assert [re.sub(r"\s+", " ", text) for text in group.locator(".pill").all_inner_texts()] == [
            "✓ +1.20",
            "✗ +1.50",
        ]
        assert page.locator("#overview").is_visible() and not page.locator("#response").is_visible()
        assert "all wrong: only the PRM tells them apart" in page.locator(".group").nth(2).inner_text()

    def test_only_the_open_response_is_drawn(self, opened: Any, dump: Path) -> None:
        page = opened("#r1")
        first = next(iter(read_rollouts(dump)))
        assert page.locator("[data-t]").count() == len(first.response_mask)

    @pytest.mark.parametrize(
        ("name", "left", "first"),
        [
            ("Wrong, PRM liked", 1, "Group 1 · 2"),
            ("Right, PRM disliked", 1, "Group 2 · 1"),
            ("Sign flips", 2, "Group 1 · 2"),
            ("Failures", 1, "Group 3 · 1"),
            ("Longest", 8, "Group 3 · 1"),
        ],
    )
    def test_a_filter_narrows_the_list_and_opens_the_most_telling(
        self, opened: Any, name: str, left: int, first: str
    ) -> None:
        page = opened()
        page.get_by_role("button", name=name).click()
        assert page.locator("[data-open]").count() == left
        assert page.locator(".row-name").first.inner_text().startswith(first)
        assert page.locator("#rule").inner_text()
        page.get_by_role("button", name="All").click()
        assert page.locator("[data-open]").count() == 8

    def test_search_looks_into_responses_and_says_when_there_is_nothing(self, opened: Any) -> None:
        page = opened()
        page.keyboard.press("/")
        page.keyboard.type("and FIVE,")
        page.get_by_text("1 response found").wait_for()
        assert page.locator("[data-open]").count() == 1
        page.locator("#query").fill("<b>nothing of the kind</b>")
        page.get_by_text("Nothing here contains “<b>nothing of the kind</b>”").wait_for()
        page.get_by_role("button", name="Show all responses").click()
        assert page.locator("[data-open]").count() == 8


class TestNumbers:
    def test_hover_shows_what_the_dump_holds(self, opened: Any, dump: Path) -> None:
        page = opened("#r2")
        made = list(read_rollouts(dump))[1]
        for place in (0, 5, 9):
            token(page, place).hover()
            page.locator("#tip dd", has_text=f"{place + 1} of {len(made.response_mask)}").wait_for()
            assert numbers(page) == expected(made, place)
        page.mouse.move(5, 5)
        page.locator("#tip").wait_for(state="hidden")

    def test_focus_shows_them_too_and_arrows_move_it(self, opened: Any, dump: Path) -> None:
        page = opened("#r2")
        made = list(read_rollouts(dump))[1]
        page.keyboard.press("e")
        assert numbers(page) == expected(made, 0)
        page.keyboard.press("ArrowRight")
        assert numbers(page) == expected(made, 1)
        page.keyboard.press("ArrowDown")
        assert numbers(page) == expected(made, made.segments[1].begin)
        page.keyboard.press("End")
        assert numbers(page)["token"] == f"{len(made.response_mask)} of {len(made.response_mask)}"
        assert "no text of its own" in page.locator(".tip-text").inner_text()
        page.keyboard.press("Escape")
        page.locator("#tip").wait_for(state="hidden")

    def test_segments_carry_theirs(self, opened: Any) -> None:
        page = opened("#r2")
        head = page.locator(".segment h3").first.inner_text()
        assert (
            re.sub(r"\s+", " ", head)
            == "1 PRM 0.950 z +1.80 β −1.00 A +0.80 ⇄ flipped ⚠ liked most, in a wrong answer 6 tokens"
        )

    def test_the_map_marks_every_cut(self, opened: Any) -> None:
        page = opened("#r4")
        assert page.locator("#map .cut").count() == 2
        assert page.locator("#map rect.score").count() == 3
        assert page.locator("#map .entropy-line").count() == 1

    def test_tokens_that_are_not_trained_say_so(self, opened: Any) -> None:
        page = opened("#r7")
        token(page, 1).hover()
        assert numbers(page)["A (PRPO)"] == "not trained"

    def test_failures_are_named(self, opened: Any) -> None:
        note = opened("#r5").locator(".note").first.inner_text()
        assert "no scores (timeout)" in note and "no answer within 30 s" in note

    def test_an_empty_response(self, opened: Any) -> None:
        assert "The response is empty." in opened("#r8").locator("#tokens").inner_text()

    def test_grpos_advantage_changes_colours_and_numbers(self, opened: Any) -> None:
        page = opened("#r2")
        look = "element => [getComputedStyle(element).backgroundColor, getComputedStyle(element).textDecorationLine]"
        before = token(page, 0).evaluate(look)
        page.keyboard.press("g")
        after = token(page, 0).evaluate(look)
        # PRPO pushes it up by 0.80, GRPO down by 0.90: another colour, and underlined
        assert (before[1], after[1]) == ("none", "underline")
        assert before[0] != after[0]
        assert "GRPO’s A −0.90" in page.locator(".segment h3").first.inner_text()
        page.locator(".controls").get_by_role("button", name="PRPO").click()
        assert token(page, 0).evaluate(look) == before


class TestKeys:
    def test_next_and_previous_response_and_group(self, opened: Any) -> None:
        page = opened()
        for key, where in (
            ("j", "Group 1 · response 1 of 2"),
            ("j", "Group 1 · response 2 of 2"),
            ("j", "Group 2 · response 1 of 2"),
            ("k", "Group 1 · response 2 of 2"),
            ("]", "Group 2 · response 1 of 2"),
            ("]", "Group 3 · response 1 of 2"),
            ("[", "Group 2 · response 1 of 2"),
        ):
            page.keyboard.press(key)
            assert heading(page) == where
        assert page.locator("[aria-current]").get_attribute("data-open") == "2"

    def test_digits_pick_filters_and_help_opens(self, opened: Any) -> None:
        page = opened()
        page.keyboard.press("1")
        assert page.locator("[data-open]").count() == 1
        page.keyboard.press("0")
        assert page.locator("[data-open]").count() == 8
        page.keyboard.press("?")
        assert page.get_by_role("dialog").is_visible()
        page.keyboard.press("Escape")
        assert not page.get_by_role("dialog").is_visible()


class TestHostileText:
    def test_a_payload_is_shown_and_not_run(self, opened: Any) -> None:
        page = opened("#r4")
        shown = page.locator("#tokens").inner_text().replace("\n", " ")
        for piece in ("<script>window.pwned = 1</script></script><img src=x", "&lt;b&gt;", "é", "数学", "🎉"):
            assert piece in shown
        for name in ("U+2028", "U+D83D", "U+202E", "U+202C", "U+001B", "U+0000"):
            assert page.locator("#tokens .odd", has_text=name).count() >= 1
        assert page.evaluate("window.pwned") is None
        assert page.locator("#tokens img, #tokens script").count() == 0

    def test_a_title_neither(self, opened: Any) -> None:
        page = opened()
        assert "<img src=x onerror=alert(1)>" in page.locator("h1").inner_text()
        assert page.locator("h1 img").count() == 0

    def test_even_markup_that_got_in_could_not_run(self, opened: Any, browser: "Browser", file: Path) -> None:
        page = browser.new_page()
        page.goto(file.as_uri())
        page.evaluate(
            """() => {
              const script = document.createElement("script");
              script.textContent = "window.pwned = 3";
              document.body.append(script);
              document.body.insertAdjacentHTML("beforeend", '<img src="x" onerror="window.pwned = 4">');
            }"""
        )
        assert page.evaluate("fetch('data:,a').then(() => 'sent', () => 'refused')") == "refused"
        assert page.evaluate("window.pwned") is None
        page.close()


class TestLook:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("where", ["#r2", "#r3", "#r4", "#r5", "#r7"])
    def test_every_text_has_contrast(self, opened: Any, scheme: str, where: str) -> None:
        page = opened(where, color_scheme=scheme)
        assert page.evaluate("document.documentElement.dataset.theme") == scheme
        page.locator("#tokens").wait_for()
        found = page.evaluate(CONTRASTS)
        assert len(found) > 50
        assert [text for text in found if text[2] < 4.5] == []

    def test_the_switch_beats_the_system(self, opened: Any) -> None:
        page = opened(color_scheme="dark")
        back = "getComputedStyle(document.documentElement).backgroundColor"
        dark = page.evaluate(back)
        page.keyboard.press("t")
        assert page.evaluate("document.documentElement.dataset.theme") == "light"
        assert page.evaluate(back) != dark

    def test_steps_and_what_was_left_out(self, opened: Any, tmp_path: Path) -> None:
        folder = write(tmp_path, [rollout(uid=str(i // 2), step=1 + i % 2 * 4) for i in range(20)])
        made = tmp_path / "steps.html"
        assert main(["report", str(folder), "--steps", "1", "5", "--limit", "6", "-o", str(made)]) == 0
        page = opened(page=made)
        assert "Shown: 6 of 20 responses" in page.locator("#sample").inner_text()
        page.get_by_text("Step by step").click()
        assert page.locator("#steps tbody tr").count() == 2
        assert page.locator(".pill").count() == 6


class TestPhone:
    def options(self) -> dict[str, Any]:
        return {"viewport": PHONE, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}

    @pytest.mark.parametrize("where", ["", *(f"#r{place}" for place in range(1, 9))])
    def test_nothing_is_wider_than_the_screen(self, opened: Any, where: str) -> None:
        page = opened(where, **self.options())
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]

    def test_list_response_token_and_back(self, opened: Any, dump: Path) -> None:
        page = opened(**self.options())
        assert not page.locator("#response").is_visible()
        page.locator(".pill").nth(1).tap()
        assert heading(page) == "Group 1 · response 2 of 2"
        assert not page.locator("#list").is_visible()
        token(page, 4).tap()
        assert numbers(page) == expected(list(read_rollouts(dump))[1], 4)
        box = page.locator("#tip").bounding_box()
        assert box["y"] + box["height"] == pytest.approx(PHONE["height"], abs=2)
        page.locator("#whose").get_by_role("button", name="GRPO").tap()
        assert "GRPO’s A −0.90" in page.locator(".segment h3").first.inner_text()
        page.get_by_role("button", name="Overview").tap()
        assert page.locator("#list").is_visible()
        page.go_back()
        assert heading(page) == "Group 1 · response 2 of 2"
