# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The page of `verl-prpo report` for a run under the credit trust, in a headless Chromium."""

import re
from pathlib import Path
from typing import Any

import pytest
import trust_dumps
from browsing import CONTRASTS, NO_CHROMIUM
from trust_dumps import MIXED, RIGHT, WRONG

from verl_prpo.cli.main import main
from verl_prpo.telemetry.rollouts.read import read_rollouts

pytestmark = NO_CHROMIUM


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trust_dumps.write(tmp_path_factory.mktemp("dump"), MIXED + WRONG + RIGHT)


@pytest.fixture(scope="module")
def file(dump: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("page") / "report.html"
    assert main(["report", str(dump), "-o", str(made)]) == 0
    return made


def signed(value: float, digits: int = 2) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def test_the_first_look_says_w_and_what_it_did(opened: Any) -> None:
    page = opened()
    told = page.locator("#sample").inner_text()
    assert told.startswith("Credit trust, w = 0.40. 1 mixed group: GRPO, the PRM has no part. 2 all-equal groups: w ×")
    assert "1 of 2 wrong responses of mixed groups the PRM liked" in page.locator("#overview").inner_text()
    assert not re.search(r"\bz\b|β|above the prior", page.locator("#overview").inner_text())
    agree = page.locator(".agree").all_inner_texts()
    assert sorted(agree) == ["all right: w × score relative to the group", "all wrong: w × score relative to the group"]


def test_a_response_of_each_kind(opened: Any, dump: Path) -> None:
    made = list(read_rollouts(dump))
    mixed, equal = (next(i for i, r in enumerate(made) if r.uid == uid) for uid in ("mixed", "wrong"))
    page = opened(f"#r{mixed + 1}")
    assert page.locator("p.trust").inner_text() == "Mixed group: GRPO, the PRM has no part."
    page = opened(f"#r{equal + 1}")
    assert page.locator("p.trust").inner_text() == (
        "All-equal group: w × score relative to the group, beside GRPO's advantage."
    )
    facts = page.locator("#response dl.facts").inner_text()
    assert re.search(r"Weight w\s+0\.40", facts) and "Relative score" in facts and "Mean z" not in facts
    relative = made[equal].relative_scores[0]
    head = page.locator(".segment h3").first.inner_text()
    assert f"relative {signed(relative)}" in head and f"PRM’s part {signed(0.4 * relative)}" in head
    assert not re.search(r"\bz\b|β", page.locator("#response").inner_text())
    page.locator('#tokens [data-t="0"]').hover()
    page.locator("#tip").wait_for(state="visible")
    names = page.locator("#tip dt").all_inner_texts()
    assert {"relative score", "PRM’s part", "outcome’s part"} <= set(names) and not {"z", "β"} & set(names)
    assert min(contrast for *_, contrast in page.evaluate(CONTRASTS)) >= 4.5


def test_the_help_is_that_of_this_credit(opened: Any) -> None:
    page = opened()
    page.locator("#help-open").click()
    told = page.locator("#help").inner_text()
    assert "This run has the credit trust." in told and "A = z + β" not in told
