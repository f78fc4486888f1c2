# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The lines that README gives a new user with a node of 8 GPUs, through doctor; and how keys are written everywhere."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import tiny_models
from eight_gpus import GRPO
from fault_server import FaultServer
from transformers import Qwen2Config

from verl_prpo.cli.main import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OWN = r"(?:algorithm\.prpo|reward\.prm|reward\.math_verifier)\."
PRM = "Qwen/Qwen2.5-Math-PRM-7B"
SEPARATOR_ID = tiny_models.qwen_tokenizer().convert_tokens_to_ids(tiny_models.SEPARATOR)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder with what the command names: a policy, a PRM, problems."""
    folder = tmp_path_factory.mktemp("switch")
    tiny_models.qwen_tokenizer().save_pretrained(folder / "policy")
    Qwen2Config().save_pretrained(folder / "policy")
    tiny_models.qwen_math_prm(folder / "prm", context=2048)
    pyarrow.parquet.write_table(pyarrow.table({"data_source": ["openai/gsm8k"] * 7473}), folder / "gsm8k.parquet")
    return folder


@pytest.fixture
def doctor(here: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*overrides: str) -> tuple[int, dict[str, Any]]:
        own = [
            *GRPO,
            f"actor_rollout_ref.model.path={here}/policy",
            f"data.train_files={here}/gsm8k.parquet",
            f"data.val_files={here}/gsm8k.parquet",
        ]
        given = [override.replace(PRM, f"{here}/prm") for override in overrides]
        status = main(["doctor", *own, *given, "--gpus", "8", "--json"])
        return status, {check["check"]: check for check in json.loads(capsys.readouterr().out)["checks"]}

    return run


def _switch_lines(page: str) -> list[str]:
    """The overrides of the first training command of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    (block,) = re.findall(
        r"```bash\n(python -m verl\.trainer\.main_ppo  \.\.\.your GRPO overrides.*?)```", text, re.DOTALL
    )
    return [word for word in shlex.split(block.replace("\\\n", " ")) if "=" in word]


def _choices(page: str) -> dict[str, list[str]]:
    """The rows of the table of places for the PRM."""
    text = (ROOT / page).read_text(encoding="utf-8")
    table = text.split("| on a node of 8 GPUs | in place of the last line |\n|---|---|\n")[1].split("\n\n")[0]
    rows = (row.strip("| ").split(" | ") for row in table.splitlines())
    return {name: shlex.split(lines.strip("`")) for name, lines in rows}


@pytest.mark.parametrize("page", ["README.md", "docs/switching.md"])
def test_the_lines_pass_doctor_on_8_gpus(page: str, doctor: Any) -> None:
    status, checks = doctor(*_switch_lines(page))
    assert [name for name, check in checks.items() if check["state"] == "FAILED"] == []
    assert status == 0
    assert checks["GPUs"]["details"]["asked"] == {"the trainer": 4, "the PRM": 4}


@pytest.mark.parametrize("choice", range(3))
def test_each_place_for_the_prm_passes_doctor_on_8_gpus(choice: int, doctor: Any) -> None:
    lines = _switch_lines("README.md")[:3]
    name, added = list(_choices("README.md").items())[choice]
    with FaultServer(SEPARATOR_ID) as server:
        status, checks = doctor(*lines, *(line.replace("http://PRM_HOST:8000", server.url) for line in added))
    assert [check for check in checks.values() if check["state"] == "FAILED"] == [], name
    assert status == 0


def test_both_pages_offer_the_same() -> None:
    assert _choices("README.md") == _choices("docs/switching.md")
    assert _switch_lines("README.md") == _switch_lines("docs/switching.md")


def test_without_room_doctor_fails_and_its_choices_pass(doctor: Any) -> None:
    lines = _switch_lines("README.md")[:3]
    status, checks = doctor(*lines)
    assert (status, checks["GPUs"]["state"]) == (1, "FAILED")
    assert "9 GPUs asked for, 8 there (1 node of 8): 1 too few" in checks["GPUs"]["found"]
    offered = checks["GPUs"]["details"]["layouts"]
    assert len(offered) == 4
    for layout in (offered[1], offered[2]):  # the others are README's, above
        status, checks = doctor(*lines, *(shlex.split(line)[0] for line in layout["overrides"]))
        assert (status, checks["GPUs"]["state"], checks["sizes"]["state"]) == (0, "ok", "ok"), layout


def test_a_grpo_command_is_checked_and_named(doctor: Any) -> None:
    status, checks = doctor()
    assert status == 0
    assert "trains with GRPO (algorithm.adv_estimator=grpo), not with PRPO" in checks["settings"]["found"]
    assert checks["GPUs"]["details"]["asked"] == {"the trainer": 8}
    assert checks["PRM"] | {"details": {}} == {
        "check": "PRM", "state": "skipped", "found": "only PRPO asks one", "advice": "", "details": {},
    }  # fmt: skip
    assert "PRM files" not in checks and checks["hub"]["state"] == "skipped"


def test_the_other_arm_of_a_switched_command_is_a_warning(doctor: Any) -> None:
    status, checks = doctor(*_switch_lines("README.md"), "algorithm.adv_estimator=grpo")
    assert (status, checks["settings"]["state"]) == (0, "warning")
    assert "algorithm.prpo are set" in checks["settings"]["found"]


def test_a_grpo_command_that_would_fail_fails(doctor: Any) -> None:
    status, checks = doctor(
        "actor_rollout_ref.rollout.tensor_model_parallel_size=3", "reward.reward_manager.name=dappo"
    )
    assert status == 1
    assert (checks["names"]["state"], checks["sizes"]["state"]) == ("FAILED", "FAILED")


def _overrides(page: Path) -> Iterator[tuple[int, str]]:
    """Every override of a key of this package on a page: in a block, or alone in a code span of a table."""
    fenced = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        fenced ^= line.strip().startswith("```")
        if fenced or line.startswith("    "):
            yield from ((number, word) for word in re.findall(rf"(?<![\w.])\+*{OWN}[\w.]+=\S*", line))
        elif line.lstrip().startswith("|"):
            for span in re.findall(r"`([^`]+)`", line):
                if all("=" in word for word in span.split()):
                    yield from ((number, word) for word in span.split() if re.match(rf"\+*{OWN}", word))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_keys_of_this_package_have_two_plusses_on_every_page(page: Path) -> None:
    code = ("raise ", 'f"', "f'")
    lines = page.read_text(encoding="utf-8").splitlines()
    wrong = [(at, word) for at, word in _overrides(page) if not word.startswith("++")]
    assert [(at, word) for at, word in wrong if not any(mark in lines[at - 1] for mark in code)] == []


def test_no_message_or_recipe_writes_one_plus() -> None:
    files = [
        *(ROOT / "verl_prpo").rglob("*.py"),
        *(ROOT / "recipes").rglob("*.yaml"),
        *(ROOT / "examples").rglob("*.sh"),
    ]
    single = re.compile(rf"(?<!\+)\+{OWN}")
    assert [str(file.relative_to(ROOT)) for file in [*files, *PAGES] if single.search(file.read_text("utf-8"))] == []
