# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""docs/settings.md lists every key and every wait as the code has them."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from verl_prpo.settings.prpo import PrmConfig, PrmServers
from verl_prpo.settings.reference import BEGIN, drawn, settings, waits

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_is_what_the_fields_say() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert drawn(page) == page, f"run python -m verl_prpo.settings.reference {PAGE}"


def test_every_key_is_listed_with_a_sentence() -> None:
    rows = {row.key: row for section in settings().values() for row in section}
    assert {f"reward.prm.{field.name}" for field in fields(PrmConfig)} < set(rows)
    assert {f"reward.prm.server.{field.name}" for field in fields(PrmServers)} < set(rows)
    for row in rows.values():
        assert row.meaning.endswith("."), row.key
        assert not {"|", "\n"} & set(row.values + row.meaning + (row.default or "")), row.key


def test_a_row_says_values_default_and_meaning() -> None:
    rows = {row.key: row for section in settings().values() for row in section}
    credit, prior, servers = (
        rows[key] for key in ("algorithm.prpo.credit", "algorithm.prpo.prior_std", "reward.prm.server")
    )
    assert credit.values.startswith("`prpo`, `process`, `outcome`") and credit.default == "prpo"
    assert (prior.values, prior.default) == ("positive number or null", "null")
    assert (servers.values, servers.default) == ("section", None)
    assert ("CHECK_TIMEOUT", "15") in [(name, value) for name, value, _ in waits()]


def test_the_command_draws_anew_what_has_changed_by_hand(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    changed = tmp_path / "page.md"
    changed.write_text(page.replace("| `min_gap` |", "| `least_gap` |"), encoding="utf-8")
    assert changed.read_text(encoding="utf-8") != page
    subprocess.run([sys.executable, "-m", "verl_prpo.settings.reference", str(changed)], check=True, timeout=120)
    assert changed.read_text(encoding="utf-8") == page


def test_a_page_without_the_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the lines"):
        drawn(PAGE.read_text(encoding="utf-8").replace(BEGIN, ""))
