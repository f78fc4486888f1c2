# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The page of `verl-prpo report` for responses that were interrupted by tools, in a headless Chromium."""

from pathlib import Path
from typing import Any

import pytest
from browsing import NO_CHROMIUM
from report_dumps import with_turns, write
from test_report_in_browser import numbers, token

from verl_prpo.cli.main import main

pytestmark = NO_CHROMIUM


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dump = write(tmp_path_factory.mktemp("dump"), [with_turns()])
    made = tmp_path_factory.mktemp("page") / "report.html"
    assert main(["report", str(dump), "-o", str(made)]) == 0
    return made


def test_what_a_tool_said_stands_under_its_name_and_is_one_stop_of_the_arrows(opened: Any) -> None:
    page = opened("#r1")
    boxes = page.locator("#tokens .heard")
    assert [box.split("\n\n") for box in boxes.all_inner_texts()] == [["tool 12"], ["tool <b>x</b>", "user go on"]]
    assert page.locator("#map .heard-span").count() == 2
    assert page.locator(".segment-turn").all_inner_texts() == ["turn 1", "turns 2 to 3"]
    assert "3" in page.locator("dl.facts div", has_text="Turns").inner_text()
    token(page, 2).focus()
    page.keyboard.press("ArrowRight")
    assert numbers(page) | {"tokens": "4 to 5 of 12", "A (PRPO)": "not trained"} == numbers(page)
    page.keyboard.press("ArrowRight")
    assert numbers(page)["token"] == "6 of 12"
