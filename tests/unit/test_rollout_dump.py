# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Reading a rollout dump: what comes back, which rows are passed over, and what is said of one that cannot be read."""

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from verl_prpo.step.conversation import Interlude
from verl_prpo.telemetry.rollouts.format import FORMAT, record_of
from verl_prpo.telemetry.rollouts.read import Rollout, RolloutError, Segment, read_rollouts

ROLLOUT = Rollout(
    step=1,
    uid="a",
    prompt="user\n1 + 2?\nassistant\n",
    messages=[{"role": "user", "content": "1 + 2?"}],
    response="h\u00e9\u2028 <b>\n3",
    ground_truth="3",
    verifier_score=1.0,
    outcome_reward=2.0,
    outcome_parts={"acc": 1.0, "pred": "3"},
    segments=[Segment(0, 2, "h\u00e9\u2028", 0.25), Segment(2, 5, " <b>\n3", None)],
    token_offsets=[0, 1, 3, 7, 8],
    response_mask=[1, 1, 0, 1, 1],
    entropy=[0.5, 0.25, 0.0, 2.0, 1.5],
    surprisal=None,
    process_advantage=[1.5, 1.5, 0.0, 0.0, 0.0],
    outcome_advantage=[0.5, 0.5, 0.0, 0.5, 0.5],
    advantages=[2.0, 2.0, 0.0, 0.5, 0.5],
    grpo_advantage=0.75,
    prm_latency=0.125,
    failure="timeout",
    failure_detail="no answer",
    overlong=True,
    cached=True,
    truncated=True,
    unfinished=True,
    hidden=(0,),
    thoughts=[(0, 2), (3, 4)],
    windows=2,
    seen_from=[0, None],
    prior_mean=0.5,
    prior_std=0.25,
    interludes=[Interlude(2, 3, [("tool", " <b>"), ("user", "go on")], False)],
    key="a_0_0",
    process_weight=0.25,
    all_equal=True,
    relative_scores=[1.5, None],
    data_source="math",
)


def row(rollout: Rollout = ROLLOUT, **columns: Any) -> dict[str, Any]:
    """A line of verl's dump; keyword arguments take the place of columns."""
    verls = {"input": rollout.prompt, "output": rollout.response, "gts": rollout.ground_truth, "score": 1.0, "step": 1}
    return {**verls, "uid": rollout.key, "prpo": record_of(rollout), **columns}


def write(file: Path, *rows: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return file


def test_a_record_comes_back_as_it_was(tmp_path):
    assert list(read_rollouts(write(tmp_path / "1.jsonl", row()))) == [ROLLOUT]


def test_a_minimal_record_comes_back_as_it_was(tmp_path):
    empty = Rollout(
        *(1, "b", "p", [], "", None, 1.0, 0.0, {}, [], [], [], None, None, [], [], []), grpo_advantage=0.0, key="b_0_0"
    )
    record = record_of(empty)
    optional = {"entropy", "failure", "overlong", "cached", "outcome_parts", "process_weight", "relative_scores"}
    assert not optional & set(record)  # left out at their default
    assert list(read_rollouts(write(tmp_path / "1.jsonl", row(empty)))) == [empty]


def test_a_record_of_before_the_credit_trust_is_read_as_one_without_a_weight(tmp_path):
    line = row()
    for name in ("process_weight", "all_equal", "relative_scores", "data_source"):
        del line["prpo"][name]
    (found,) = read_rollouts(write(tmp_path / "1.jsonl", line))
    assert (found.process_weight, found.all_equal, found.relative_scores, found.data_source) == (None, False, None, "")


def test_a_weight_of_zero_is_no_missing_weight(tmp_path):
    weightless = dataclasses.replace(ROLLOUT, process_weight=0.0)
    (found,) = read_rollouts(write(tmp_path / "1.jsonl", row(weightless)))
    assert found.process_weight == 0.0


@pytest.mark.parametrize("wrong", [[1.0], [1.0, "x"]])
def test_relative_scores_that_contradict_their_row_are_named(tmp_path, wrong):
    line = row()
    line["prpo"]["relative_scores"] = wrong
    with pytest.raises(RolloutError, match="line 1: relative_scores"):
        list(read_rollouts(write(tmp_path / "1.jsonl", line)))


@pytest.mark.parametrize("seed", range(20))
def test_any_float32_comes_back_to_the_last_bit(seed):
    bits = np.random.default_rng(seed).integers(0, 2**32, 500, dtype=np.uint32)
    values = bits.view(np.float32)
    values = values[np.isfinite(values)][:5]
    changed = {name: [float(v) for v in values] for name in ("advantages", "entropy", "process_advantage")}
    again = json.loads(json.dumps(row(Rollout(**{**ROLLOUT.__dict__, **changed}))))
    from verl_prpo.telemetry.rollouts.format import rollout_of

    found = rollout_of(again)
    for name in changed:
        assert np.array_equal(np.array(getattr(found, name), dtype=np.float32), values), name


def test_a_folder_is_read_in_the_order_of_its_steps(tmp_path):
    for step in (10, 2, 1):
        write(tmp_path / f"{step}.jsonl", row(step=step), row(step=step))
    write(tmp_path / "notes.jsonl", {"not": "a step"})
    assert [rollout.step for rollout in read_rollouts(tmp_path)] == [1, 1, 2, 2, 10, 10]
    assert [rollout.step for rollout in read_rollouts(tmp_path, steps=[10, 2])] == [2, 2, 10, 10]


def test_rows_without_a_record_are_passed_over_and_counted(tmp_path):
    without = row()
    del without["prpo"]
    found = read_rollouts(write(tmp_path / "1.jsonl", row(prpo=None), row(), without, row()))
    assert len(list(found)) == 2 and found.skipped == 2


@pytest.mark.parametrize("cut", [1, 100, -20, -2])
def test_a_last_line_still_being_written_is_left_out(tmp_path, cut):
    whole = write(tmp_path / "1.jsonl", row(), row()).read_bytes()
    first = whole.index(b"\n") + 1
    (tmp_path / "1.jsonl").write_bytes(whole[first:] + whole[:first][:cut])
    assert len(list(read_rollouts(tmp_path))) == 1


def test_a_line_cut_within_a_character_is_left_out(tmp_path):
    whole = write(tmp_path / "1.jsonl", row()).read_bytes()
    (tmp_path / "1.jsonl").write_bytes(whole + whole[: whole.index("\u00e9".encode()) + 1])
    assert len(list(read_rollouts(tmp_path))) == 1


def test_a_last_line_that_lacks_its_newline_alone_is_read(tmp_path):
    whole = write(tmp_path / "1.jsonl", row()).read_bytes()
    (tmp_path / "1.jsonl").write_bytes(whole.rstrip(b"\n"))
    assert len(list(read_rollouts(tmp_path))) == 1


class TestErrors:
    """Each names the file, the line and what is wrong."""

    def test_nothing_there(self, tmp_path):
        with pytest.raises(RolloutError, match=r"absent is not there.*trainer\.rollout_data_dir"):
            read_rollouts(tmp_path / "absent")
        with pytest.raises(RolloutError, match=r"holds no step's dump, such as 1\.jsonl"):
            read_rollouts(tmp_path)

    def test_a_step_that_is_not_there(self, tmp_path):
        for step in (3, 5, 9):
            write(tmp_path / f"{step}.jsonl", row())
        with pytest.raises(RolloutError, match=r"holds no step 4\. It has 3, from 3 to 9"):
            read_rollouts(tmp_path, steps=[3, 4])

    def test_a_broken_line_in_the_middle(self, tmp_path):
        file = write(tmp_path / "1.jsonl", row(), row())
        file.write_bytes(b"{oops\n" + file.read_bytes())
        with pytest.raises(RolloutError, match=r"1\.jsonl, line 1: no JSON"):
            list(read_rollouts(tmp_path))

    def test_the_rows_before_a_broken_one_are_there(self, tmp_path):
        found = read_rollouts(write(tmp_path / "1.jsonl", row(), []))
        assert next(found) == ROLLOUT
        with pytest.raises(RolloutError, match=r"1\.jsonl, line 2: not a JSON object"):
            next(found)

    @pytest.mark.parametrize(
        ("path", "value", "reason"),
        [
            (["format"], None, f"format 1, and this version of verl-prpo reads format {FORMAT}"),
            (["format"], 3, f"format 3, and this version of verl-prpo reads format {FORMAT}"),
            (["segments", 1, 0], 4, "reach token 4 and character 9, but the response has 5 tokens and 9 characters"),
            (["segments", 0, 0], 7, "segments end at token 7"),
            (["segments", 0, 1], 10, "segments end at token 2 and character 10"),
            (["token_chars", 0], 3, "the texts of its tokens are 11 characters, but the response has 9"),
            (["response_mask", 0, 1], 3, "response_mask covers 6 tokens, but the response has 5"),
            (["advantages"], [[1.0, 4]], "advantages covers 4 tokens"),
            (["entropy"], "AAAA", "entropy is not the base64 of float32"),
            (["entropy"], "AAAAAA==", "entropy covers 1 tokens"),
            (["entropy"], "&", "entropy is not the base64"),
            (["uid"], None, "'uid' is missing"),
            (["advantages", 0, 0], "much", "advantages holds 'much', which is no such number"),
            (["advantages", 0, 1], 10**10, "advantages covers 1000000000. tokens"),
            (["token_chars", 0], 1.5, "token_chars holds '1.5'"),
            (["segments", 0, 2], "0.9", "segments holds '0.9'"),
            (["segments", 0, 0], 2.0, "segments holds '2.0'"),
            (["messages"], "Hello", "its messages are not chat messages"),
            (["prm_latency"], "soon", "could not convert"),
            (["interludes", 0, "end"], 9, "interludes has one from token 2 to 9 of a response of 5 tokens"),
            (["interludes", 0, "begin"], None, "'begin' is missing"),
            (["grpo_advantage"], 10**400, "too large"),
            (["thoughts", 1, 1], 6, r"thoughts has the spans \[\[0, 2\], \[3, 6\]\] in a response of 5 tokens"),
            (["thoughts", 1, 0], 1, "thoughts has the spans"),
            (["thoughts", 0, 0], 0.5, "thoughts holds '0.5'"),
        ],
        ids=str,
    )
    def test_a_record_that_contradicts_itself(self, tmp_path, path, value, reason):
        broken: Any = copy.deepcopy(row())
        at = broken["prpo"]
        for step in path[:-1]:
            at = at[step]
        if value is None:
            del at[path[-1]]
        else:
            at[path[-1]] = value
        with pytest.raises(RolloutError, match=rf"1\.jsonl, line 2: .*{reason}"):
            list(read_rollouts(write(tmp_path / "1.jsonl", row(), broken)))

    def test_a_record_that_is_none(self, tmp_path):
        with pytest.raises(RolloutError, match="line 1: prpo is not a record but list"):
            list(read_rollouts(write(tmp_path / "1.jsonl", row(prpo=[1]))))

    def test_a_line_nested_too_deeply(self, tmp_path):
        (tmp_path / "1.jsonl").write_text("[" * 100_000 + "\n")
        with pytest.raises(RolloutError, match="line 1: no JSON"):
            list(read_rollouts(tmp_path))
