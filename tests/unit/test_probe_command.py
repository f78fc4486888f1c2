# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo calibrate --probe`: input, settings, output and exit status, on a PRM that recomputes equations."""

import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import arithmetic_prm
import pytest
from tiny_models import qwen_tokenizer

from verl_prpo.cli.main import main
from verl_prpo.telemetry.rollouts.format import record_of
from verl_prpo.telemetry.rollouts.read import Rollout, Segment


def response(i: int, **known: Any) -> dict[str, Any]:
    """A solution in which every step holds an equation, the last one too."""
    steps = [f"First {i} + 2 = {i + 2}", f"then {i + 2} * 3 = {3 * i + 6}", f"so the answer is {i} + 0 = {i}"]
    return {"prompt": f"problem {i}", "steps": steps, **known}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return jsonl(tmp_path_factory.mktemp("responses"), [response(i) for i in range(8)])


@pytest.fixture(scope="module")
def plain(source: Path) -> tuple[int, dict[str, Any]]:
    return probe(source)


def jsonl(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "in.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def probe(source: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit status and the JSON that is printed, with the findings by name."""
    prm = arithmetic_prm.overrides(source.parent / "prm")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        status = main(["calibrate", str(source), "--probe", "--json", *arguments, *prm])
    printed = json.loads(out.getvalue())
    printed["by_name"] = {finding["perturbation"]: finding for finding in printed["findings"]}
    return status, printed


def test_a_prm_that_only_recomputes_finds_wrong_numbers_and_lets_work_be_left_out(
    plain: tuple[int, dict[str, Any]],
) -> None:
    status, found = plain
    verdicts = {name: finding["verdict"] for name, finding in found["by_name"].items()}
    assert status == 1
    assert verdicts == {
        "drop_step": "FLAG", "jump_to_answer": "FLAG", "skip_to_answer": "FLAG", "answer_early": "ok",
        "stop_early": "FLAG", "repeat_step": "FLAG", "shuffle_steps": "ok", "pad": "ok", "polite_end": "ok",
        "polite_only": "ok", "blank_first_line": "ok", "short_first_line": "ok", "wrong_number": "ok",
    }  # fmt: skip
    change = (0.5 - 0.9) * 12**0.5  # a sentence without an equation in the place of one that holds
    assert found["by_name"]["pad"]["at_change"]["value"] == pytest.approx(change)
    assert found["by_name"]["pad"]["free"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert found["by_name"]["stop_early"]["free"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert found["by_name"]["shuffle_steps"]["free"] is None


def test_z_is_that_of_the_configured_prior(source: Path) -> None:
    _, found = probe(source, "algorithm.prpo.prior_mean=0.8", "algorithm.prpo.prior_std=0.1")
    assert found["prior"] == {"mean": 0.8, "std": 0.1}
    assert found["by_name"]["pad"]["at_change"]["value"] == pytest.approx(-4.0)
    assert found["mean_z"]["value"] == pytest.approx(1.0)


def test_two_runs_agree_and_the_seed_changes_what_is_perturbed(plain: tuple[int, dict[str, Any]], source: Path) -> None:
    assert probe(source, "--seed", "0") == plain
    assert probe(source, "--seed", "1") != plain


def test_right_responses_are_probed_where_outcomes_tell_of_enough(tmp_path: Path) -> None:
    rows = [response(i, outcome=float(i < 6)) for i in range(12)]
    assert {f["prompts"] for f in probe(jsonl(tmp_path, rows))[1]["findings"]} == {6}
    rows = [response(i, outcome=float(i < 2)) for i in range(12)]
    assert {f["prompts"] for f in probe(jsonl(tmp_path, rows))[1]["findings"]} == {12}


def test_a_dump_is_cut_into_steps_by_its_text(tmp_path: Path) -> None:
    """Its own segments are those of the run, by entropy for example."""
    _, found = probe(jsonl(tmp_path, [dumped(i) for i in range(8)]))
    assert found["by_name"]["drop_step"]["responses"] == 8


def dumped(i: int) -> dict[str, Any]:
    """A line of a rollout dump, a token per character, cut into two segments in the middle of a word."""
    text = "\n\n".join(response(i)["steps"])
    zeros = [0.0] * len(text)
    rollout = Rollout(
        step=1,
        uid=str(i),
        prompt=f"user\n{i}?\nassistant\n",
        messages=[],
        response=text,
        ground_truth=str(i),
        verifier_score=1.0,
        outcome_reward=1.0,
        outcome_parts={},
        segments=[Segment(0, 3, text[:3], 0.5), Segment(3, len(text), text[3:], 0.5)],
        token_offsets=list(range(len(text))),
        response_mask=[1] * len(text),
        entropy=None,
        surprisal=None,
        process_advantage=zeros,
        outcome_advantage=zeros,
        advantages=zeros,
        grpo_advantage=0.0,
    )
    verls = {"input": rollout.prompt, "output": text, "gts": str(i), "score": 1.0, "step": 1, "uid": f"{i}_0_0"}
    return {**verls, "prpo": record_of(rollout)}


def test_tokens_are_counted_with_a_tokenizer_if_one_is_named(
    plain: tuple[int, dict[str, Any]], source: Path, tmp_path: Path
) -> None:
    qwen_tokenizer().save_pretrained(tmp_path / "tokenizer")
    exact, estimated = probe(source, "--tokenizer", str(tmp_path / "tokenizer"))[1], plain[1]
    assert exact["by_name"]["repeat_step"]["at_change"] == estimated["by_name"]["repeat_step"]["at_change"]
    assert exact["by_name"]["repeat_step"]["total"] != estimated["by_name"]["repeat_step"]["total"]


def test_the_table_names_what_is_flagged_with_an_example(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", str(source), "--probe", *arithmetic_prm.overrides(tmp_path / "prm")]) == 1
    printed = capsys.readouterr().out
    assert "\x1b" not in printed and "…" not in printed
    assert re.search(r"^stop_early .*│ 1\.00 \[1\.00, 1\.00\] │.* FLAG *$", printed, re.MULTILINE)
    assert re.search(r"^pad .*│ 0\.00 \[0\.00, 0\.00\] │.* ok *$", printed, re.MULTILINE)
    assert "FLAG stop_early (the end comes after some steps): free at the change and for 100% of responses" in printed
    assert "gets z 1.39 where" in printed
    assert "wrong_number: recall on wrong steps 1.00 [1.00, 1.00]" in printed
    assert printed.rstrip().endswith("flagged: drop_step, jump_to_answer, skip_to_answer, stop_early, repeat_step")
    assert "below 0" not in printed
    table, below = printed.split("FLAG drop_step (")
    expected = "stop_early: the flag is expected of a PRM that reads a step's score at the step's end"
    assert expected not in table and expected in below
    assert "algorithm.prpo.credit=prpo" in below and "algorithm.prpo.skip_all_equal_groups=true" in below


def test_without_a_flag_on_stop_early_nothing_is_said_of_step_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All responses but one have a single step, after which a stop is the honest end."""
    rows = [{"prompt": f"problem {i}", "steps": [f"So {i} + 2 = {i + 2}"]} for i in range(8)]
    rows.append({"prompt": "one of two steps", "steps": ["1 + 1 = 2", "2 + 2 = 4"]})
    main(["calibrate", str(jsonl(tmp_path, rows)), "--probe", *arithmetic_prm.overrides(tmp_path / "prm")])
    printed = capsys.readouterr().out
    assert "unclear stop_early" in printed and "is expected of" not in printed


def test_a_mean_z_below_0_is_told(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prm = arithmetic_prm.overrides(tmp_path / "prm")
    main(["calibrate", str(source), "--probe", *prm, "algorithm.prpo.prior_mean=0.95"])
    printed = capsys.readouterr().out
    assert "The mean z is below 0" in printed and "process_norm" not in printed


@pytest.mark.parametrize(
    ("norm", "said"), [("group_mean", "the difference at the change is the same"), ("group", "z is not this one")]
)
def test_what_the_prior_leaves_open_about_scores_centred_on_their_group_is_told(
    norm: str, said: str, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The mean of z over a group is 0 then, so that no prior mean needs to be set."""
    settings = [f"algorithm.prpo.process_norm={norm}", "algorithm.prpo.prior_mean=0.95"]
    main(["calibrate", str(source), "--probe", *arithmetic_prm.overrides(tmp_path / "prm"), *settings])
    printed = capsys.readouterr().out
    assert f"algorithm.prpo.process_norm={norm}" in printed and said in printed
    assert "The mean z is below 0" not in printed


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (["--recorded"], 2, "leave out --recorded"),
        (["--margin=-1"], 2, "--margin -1.0 must be a number of at least 0"),
        (["--margin=nan"], 2, "--margin nan must be a number of at least 0"),
        (["--seed=-1"], 2, "--seed -1 must be at least 0"),
        (["--limit", "0"], 2, "--limit 0"),
        (["--tokenizer", "/no/such/folder"], 2, "--tokenizer /no/such/folder cannot be loaded"),
        (["algorithm.prpo.prior_std=0"], 2, "algorithm.prpo.prior_std"),
        (["reward.prm.overlong=raise"], 1, "not one response has scores: for example overlong"),
    ],
)
def test_what_is_wrong_is_said(
    arguments: list[str], status: int, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["word " * arithmetic_prm.CONTEXT + str(i) for i in range(5)]
    rows = [{"prompt": prompt, "steps": ["1 + 1 = 2", "2 + 2 = 4"]} for prompt in asked]
    prm = arithmetic_prm.overrides(tmp_path / "prm")
    assert main(["calibrate", str(jsonl(tmp_path, rows)), "--probe", *prm, *arguments]) == status
    assert reason in capsys.readouterr().err


def test_responses_of_one_step_need_another_delimiter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = jsonl(tmp_path, [{"prompt": "?", "response": "1 + 1 = 2\n2 + 2 = 4"}])
    prm = arithmetic_prm.overrides(tmp_path / "prm")
    assert main(["calibrate", str(source), "--probe", *prm]) == 2
    assert "--delimiter" in capsys.readouterr().err


def test_a_few_prompts_decide_nothing_and_pass_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"prompt": str(i), "steps": ["1 + 1 = 2", "2 + 2 = 4"]} for i in range(4)]
    prm = arithmetic_prm.overrides(tmp_path / "prm")
    assert main(["calibrate", str(jsonl(tmp_path, rows)), "--probe", *prm]) == 2
    assert "to 4 prompts; no verdict comes from fewer than 5" in capsys.readouterr().err
