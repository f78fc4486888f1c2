# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The SmolLM2 example: GSM8K rows as verl's scorer reads them and a tokenizer that stops."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from verl.utils.reward_score import default_compute_score

from verl_prpo.data.problems import Problem

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


data, model, run = map(_load, ("smollm2/data.py", "smollm2/model.py", "smollm2/run.py"))


def _problem(calculations: int, number: str = "7") -> Problem:
    steps = "\n".join("He has 3+4=<<3+4=7>>7." for _ in range(calculations))
    return Problem(f"A question of {calculations}?", number, f"{steps}\n#### {number}")


# GSM8K rows


def test_problems_with_the_fewest_calculations_come_first_and_long_questions_not_at_all() -> None:
    long = Problem("?" * (data.MAX_QUESTION_CHARS + 1), "1", "<<1=1>>\n#### 1")
    unmarked = Problem("No calculation shown?", "1", "#### 1")
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
    (message,) = train.prompt[0]
    assert message["role"] == "user" and message["content"].endswith('after "####".')
    assert default_compute_score(train.data_source[0], "He has\n#### 0", train.reward_model[0]["ground_truth"]) == 1.0


def test_a_row_that_is_no_problem_is_an_error_with_its_reason(tmp_path: Path) -> None:
    source = tmp_path / "problems.jsonl"
    source.write_text('{"question": "a", "answer": "#### 1"}\n{"question": "b"}\n')
    with pytest.raises(ValueError, match="1 rows: no answer"):
        data.read(source)


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
