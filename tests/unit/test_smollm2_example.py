# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The SmolLM2 example: GSM8K rows as verl's scorer reads them, a tokenizer that stops, rollouts a reader can follow."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from verl.utils.reward_score import default_compute_score

from verl_prpo.config import PrpoConfig
from verl_prpo.estimator import ProcessRewards, advantages_of
from verl_prpo.process_pass import Rows, ScoredBatch
from verl_prpo.reward_manager import ProcessResult
from verl_prpo.step_report import StepReport

EXAMPLES = Path(__file__).parents[2] / "examples"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _load(path: str) -> ModuleType:
    """A script under examples/, which is no package, under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"example_{Path(path).stem}", EXAMPLES / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


data, model, run, show_rollouts = map(
    _load, ("smollm2/data.py", "smollm2/model.py", "smollm2/run.py", "show_rollouts.py")
)


def _problem(calculations: int, number: str = "7") -> dict[str, str]:
    steps = "\n".join("He has 3+4=<<3+4=7>>7." for _ in range(calculations))
    return {"question": f"A question of {calculations}?", "answer": f"{steps}\n#### {number}"}


# GSM8K rows


def test_verls_gsm8k_scorer_accepts_the_ground_truth_of_a_row_and_nothing_else() -> None:
    row = data.row("How many?", "He has 1,234.\n#### 1,234", 0, "train")
    truth = row["reward_model"]["ground_truth"]

    assert default_compute_score(row["data_source"], "He has\n#### 1,234", truth) == 1.0
    assert default_compute_score(row["data_source"], "He has\n#### 1,235", truth) == 0.0
    assert default_compute_score(row["data_source"], "He has 1,234", truth) == 0.0


def test_the_prompt_asks_for_the_mark_that_the_scorer_looks_for() -> None:
    (message,) = data.row("How many?", "#### 3", 0, "train")["prompt"]
    assert message["role"] == "user"
    assert message["content"].startswith("How many? ") and "####" in message["content"]


def test_an_answer_without_a_number_is_an_error() -> None:
    with pytest.raises(ValueError, match="####"):
        data.ground_truth("He has many.")


def test_problems_with_the_fewest_calculations_come_first_and_long_questions_not_at_all() -> None:
    long = {"question": "?" * (data.MAX_QUESTION_CHARS + 1), "answer": "<<1=1>>\n#### 1"}
    unmarked = {"question": "No calculation shown?", "answer": "#### 1"}
    ordered = data.shortest_first([_problem(3), long, unmarked, _problem(1), _problem(2)])
    assert ordered == [_problem(1), _problem(2), _problem(3), unmarked]


def test_a_source_file_becomes_two_parquet_files_without_overlap(tmp_path: Path) -> None:
    source = tmp_path / "problems.jsonl"
    # A line separator of Unicode inside a string is no end of line in JSON lines.
    lines = [{"question": f"Question\u2028{i}?", "answer": f"<<{i}={i}>>\n#### {i}"} for i in range(5)]
    source.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + "\n\n", encoding="utf-8")

    done = _run_data(tmp_path, "--source", str(source), "--train", "3", "--val", "2")

    assert done.returncode == 0, done.stderr
    train, val = (pd.read_parquet(tmp_path / "out" / f"{split}.parquet") for split in ("train", "val"))
    assert [r["ground_truth"] for r in train.reward_model] == ["0", "1", "2"]
    assert [r["ground_truth"] for r in val.reward_model] == ["3", "4"]


def test_a_line_that_is_no_problem_is_named(tmp_path: Path) -> None:
    source = tmp_path / "problems.jsonl"
    source.write_text('{"question": "a", "answer": "#### 1"}\n{"question": "b"}\n')
    with pytest.raises(ValueError, match="line 2"):
        data.read_jsonl(source)


@pytest.mark.parametrize("source", [[], ["--source", "nowhere.jsonl"]], ids=["offline", "missing file"])
def test_without_problems_it_stops_with_status_2_and_one_line_that_names_the_option(
    tmp_path: Path, source: list[str]
) -> None:
    done = _run_data(tmp_path, *source)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "--source" in done.stderr


def _run_data(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / "smollm2/data.py"), "--out", str(tmp_path / "out"), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")},
    )


# The tokenizer


def _tokenizer(template: str | None = CHAT_TEMPLATE) -> PreTrainedTokenizerFast:
    vocabulary = {"<|endoftext|>": 0, "<|im_start|>": 1, "<|im_end|>": 2}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<|endoftext|>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|endoftext|>", bos_token="<|im_start|>")
    tokenizer.chat_template = template
    return tokenizer


def test_the_end_of_a_turn_becomes_end_of_sequence_and_padding() -> None:
    fixed = model.fix_tokenizer(_tokenizer())
    assert (fixed.eos_token_id, fixed.pad_token_id) == (2, 2)


@pytest.mark.parametrize("template", [None, CHAT_TEMPLATE.replace("<|im_end|>", "")], ids=["missing", "open-ended"])
def test_a_chat_template_that_does_not_close_the_answer_is_refused(template: str | None) -> None:
    with pytest.raises(ValueError, match="chat template"):
        model.fix_tokenizer(_tokenizer(template))


# The figures of a step


def test_only_finished_training_steps_are_reported(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    rows = [
        {"step": 0, "data": {"val-core/openai/gsm8k/acc/mean@1": 0.0}},
        {"step": 1, "data": {"timing_s/step": 90.0, "critic/score/mean": 0.25}},
    ]
    log.write_text("\n".join(map(json.dumps, rows)) + '\n{"step": 2, "da')

    ((step, metrics),) = run.finished_steps(log)

    assert step == 1
    assert "0.25" in run.figures(step, metrics) and "90" in run.figures(step, metrics)


# Rollouts in the terminal


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    """A rollout dump with records of a real step report: two prompts, two responses each, the last without scores."""
    mask = torch.ones(4, 6, dtype=torch.long)
    starts = torch.zeros(4, 6, dtype=torch.bool)
    starts[:, 0] = starts[:3, 2] = True
    index = np.array(["p", "p", "q", "q"], dtype=object)
    texts, scores = ["[bold]First", " step\u2713"], [[0.9, 0.1], [0.5, 0.6], [0.2, 0.3]]
    results = [ProcessResult(texts, s, tokens=20) for s in scores] + [ProcessResult(["long"], None, "overlong")]
    keys = [f"{uid}_{i % 2}_0" for i, uid in enumerate(index)]
    rows = Rows(keys, [True] * 4, [[]] * 4, [[1] * 6] * 4, mask, torch.full((4, 6), 1.25))
    scored = ScoredBatch(rows, starts, results, 0.0, 0.0)
    rewards = ProcessRewards(scored.token_scores(), starts, scored.scored, 0.5, 12**-0.5)
    settings = PrpoConfig(outcome_weight=2.0)
    outcome = torch.tensor([2.0, 0.0, 0.0, 0.0])
    advantages = advantages_of(rewards, settings, outcome, mask, index)
    records = StepReport(scored, rewards, settings, outcome, advantages, mask, index).records()
    path = tmp_path / "1.jsonl"
    lines = [
        {"input": "user\nHow many?", "output": "", "gts": "7", "score": 1.0, "step": 1, "uid": key, "prpo": record}
        for key, record in records.items()
    ]
    path.write_text("\n".join(map(json.dumps, [*lines, {**lines[0], "prpo": None}])) + "\n")
    return path


def test_each_segment_shows_its_tokens_score_parts_and_advantage(dump: Path) -> None:
    record = show_rollouts.read_rollouts(dump)[0]["prpo"]
    z = [(0.9 - 0.5) * 12**0.5, (0.1 - 0.5) * 12**0.5]

    assert show_rollouts.segment_rows(record) == [
        ("0-2", "0.900", "1.25", f"{z[0]:+.3g}", "+1", f"{z[0] + 1:+.3g}", "[bold]First"),
        ("2-6", "0.100", "1.25", f"{z[1]:+.3g}", "+1", f"{z[1] + 1:+.3g}", " step\u2713"),
    ]
    assert [tokens for _, tokens in show_rollouts.runs(record["advantages"])] == [2, 4]


def test_a_response_the_prm_failed_on_says_so(dump: Path) -> None:
    row = show_rollouts.read_rollouts(dump)[3]
    assert "overlong" in show_rollouts.title(row)
    assert show_rollouts.segment_rows(row["prpo"])[0][1] == "-"


def test_tokens_of_the_environment_have_no_advantage_to_show(dump: Path) -> None:
    record = show_rollouts.read_rollouts(dump)[0]["prpo"]
    record["response_mask"][2:] = [0] * 4
    assert [cells[5] for cells in show_rollouts.segment_rows(record)][1] == "-"


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "rich"])
def test_a_dump_is_printed_one_response_per_prompt_first(dump: Path, plain: bool) -> None:
    done = _show(dump, "--limit", "2", *(["--plain"] if plain else []))

    assert done.returncode == 0, done.stderr
    assert "response p_0_0" in done.stdout and "response q_0_0" in done.stdout
    assert "response p_1_0" not in done.stdout
    assert "[bold]First" in done.stdout, "text is shown as it is, not read as markup"
    assert "expected 7" in done.stdout and "+2.39 x 2" in done.stdout


def test_without_rich_it_prints_plainly(dump: Path, tmp_path: Path) -> None:
    (tmp_path / "rich.py").write_text("raise ImportError")
    done = _show(dump, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert "token advantages: +2.39 x 2" in done.stdout


def test_a_dump_of_another_estimator_is_refused_with_the_setting(tmp_path: Path) -> None:
    path = tmp_path / "1.jsonl"
    path.write_text('{"input": "", "output": "", "uid": "p_0_0"}\n')
    done = _show(path)
    assert done.returncode != 0
    assert "algorithm.adv_estimator=prpo" in done.stderr


def _show(path: Path, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    command = [sys.executable, str(EXAMPLES / "show_rollouts.py"), str(path), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=env or {**os.environ, "COLUMNS": "140"}
    )
