# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The toy task of examples/toy: its checkers, tokenizer, data and PRM, without any training."""

import math
import random
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

TOY = Path(__file__).parents[1] / "examples" / "toy"
sys.path.insert(0, str(TOY))

import build  # noqa: E402
from policy import encode_example, make_policy  # noqa: E402
from prm import CONFIG_KEY, Link, ToyLikelihoodFamily  # noqa: E402
from prm_training import cut, make_family  # noqa: E402
from reward import compute_score  # noqa: E402
from slips import SLIPS, random_plan, single_slip, slipped_solution  # noqa: E402
from task import CONNECTIVES, Problem, check, distinct_problems, faults, make_problem, solution  # noqa: E402
from tokenizer import SEPARATOR, check_reload, make_tokenizer, prompt_text  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402

from verl_prpo.prm.families.base import PrmError  # noqa: E402

PROBLEM = Problem(7, (("+", 5), ("*", 3), ("-", 4)))
QUESTION = "Start from 7 and work mod 10: (1) +5 (2) *3 (3) -4"
STEPS = ["So (1) 7+5=2", "Next (2) 2*3=6", "Then (3) 6-4=2"]
ANSWER = "The answer is \\boxed{2}"
MESSAGES = [{"role": "user", "content": QUESTION}]


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


@pytest.fixture(scope="module")
def untrained(tokenizer):
    torch.manual_seed(0)
    return make_policy(tokenizer).eval()


@pytest.fixture(scope="module")
def family(untrained, tokenizer):
    return make_family(untrained, tokenizer, Link(1.0, 2.0))


def text(*lines: str) -> str:
    return "\n".join(lines)


def at(response: str, piece: str) -> int:
    assert response.count(piece) == 1
    return response.index(piece)


class TestTask:
    def test_the_question_states_the_problem_and_parses_back(self):
        assert PROBLEM.question == QUESTION
        assert Problem.parse(QUESTION) == PROBLEM
        assert PROBLEM.values == [7, 2, 6, 2] and PROBLEM.answer == "2"

    def test_another_text_is_no_question(self):
        with pytest.raises(ValueError, match="not a question"):
            Problem.parse("Start from 7")

    def test_every_generated_solution_is_right(self):
        rng = random.Random(0)
        for _ in range(300):
            problem = make_problem(rng)
            response = solution(problem, rng)
            assert faults(problem, response) == []
            assert compute_score("toy", response, problem.answer)["score"] == 1.0

    def test_problems_are_distinct_and_avoid_the_excluded(self):
        first = [p.question for p, _ in zip(distinct_problems(random.Random(0)), range(500), strict=False)]
        excluded = frozenset(first)
        second = [p.question for p, _ in zip(distinct_problems(random.Random(0), excluded), range(500), strict=False)]
        assert len(set(first)) == len(set(second)) == 500
        assert not excluded & set(second)


class TestCheck:
    def test_only_the_wrong_digit_is_at_fault_and_faithful_steps_behind_it_are_right(self):
        response = text(STEPS[0], "Next (2) 2*3=8", "Then (3) 8-4=4", "The answer is \\boxed{4}")
        assert faults(PROBLEM, response) == [at(response, "=8") + 1]
        assert [line.right for line in check(PROBLEM, response)] == [True, False, True, True]

    def test_a_wrong_operand_is_at_fault_and_the_result_must_follow_from_the_equation_as_written(self):
        response = text(STEPS[0], "Next (2) 3*3=9", "Then (3) 9-4=5", "The answer is \\boxed{5}")
        assert faults(PROBLEM, response) == [at(response, "3*3")]

    def test_a_skipped_step_is_at_fault_at_its_number(self):
        response = text(STEPS[0], "Then (3) 2-4=8", "The answer is \\boxed{8}")
        assert faults(PROBLEM, response) == [at(response, "3)")]

    def test_a_repeated_step_is_at_fault_at_its_number_and_stale_operand(self):
        response = text(*STEPS[:2], "Now (2) 2*3=6", STEPS[2], ANSWER)
        assert faults(PROBLEM, response) == [at(response, "Now (2)") + 5, at(response, "Now (2) 2") + 8]

    def test_an_early_answer_is_at_fault_where_it_begins_and_where_it_stops(self):
        response = text(*STEPS[:2], "The answer is \\boxed{6}")
        assert faults(PROBLEM, response) == [at(response, "The answer"), len(response)]

    def test_stopping_without_an_answer_is_at_fault_behind_the_last_character(self):
        response = text(*STEPS)
        assert faults(PROBLEM, response) == [len(response)]
        assert faults(PROBLEM, "") == [0]

    def test_going_on_after_the_answer_is_at_fault_from_the_newline(self):
        right = text(*STEPS, ANSWER)
        assert faults(PROBLEM, right + "\nSo (1) 2+5=7")[:2] == [len(right), len(right) + 1]

    def test_a_line_in_no_known_form_is_at_fault_and_does_no_step(self):
        response = text(STEPS[0], "Next (2) 2*3==6", "Then (3) 6-4=2", ANSWER)
        verdicts = [line.right for line in check(PROBLEM, response)]
        assert verdicts == [True, False, False, True]
        assert faults(PROBLEM, response)[0] == at(response, "==") + 1

    @pytest.mark.parametrize("kind", SLIPS)
    def test_every_kind_of_planted_slip_is_found_and_only_there(self, kind):
        rng = random.Random(1)
        for _ in range(100):
            problem = make_problem(rng)
            plan = single_slip(problem, rng, kind)
            response = slipped_solution(problem, rng, plan)
            wrong = [i for i, line in enumerate(check(problem, response)) if not line.right]
            slip = next(iter(plan))
            assert wrong, (problem, response)
            assert min(wrong) in (slip, max(slip - 1, 0)), (
                "the newline before an extra line belongs to the line it ends"
            )
            assert max(wrong) <= slip + 1

    def test_a_plan_without_slips_gives_a_right_solution(self):
        rng = random.Random(2)
        problem = make_problem(rng)
        assert faults(problem, slipped_solution(problem, rng, random_plan(problem, rng, rate=0.0))) == []


class TestReward:
    @pytest.mark.parametrize(
        ("response", "score"),
        [
            (ANSWER, 1.0),
            ("\\boxed{2} or rather \\boxed{3}", 0.0),
            ("\\boxed{3} or rather \\boxed{2}", 1.0),
            ("The answer is 2", 0.0),
            ("\\boxed{12}", 0.0),
            ("", 0.0),
        ],
    )
    def test_the_last_box_counts(self, response, score):
        result = compute_score(data_source="toy", solution_str=response, ground_truth="2", extra_info={}, other=1)
        assert result == {"score": score, "acc": score}


class TestTokenizer:
    def test_a_newline_is_one_token(self, tokenizer):
        assert len(tokenizer("\n", add_special_tokens=False).input_ids) == 1

    def test_the_step_separator_and_eos_are_single_tokens(self, tokenizer):
        for special in (SEPARATOR, "<|im_end|>"):
            assert tokenizer(special, add_special_tokens=False).input_ids == [tokenizer.convert_tokens_to_ids(special)]
        assert tokenizer.eos_token == "<|im_end|>"

    def test_it_survives_the_rebuild_beside_a_qwen2_model(self, tokenizer, untrained, tmp_path):
        untrained.save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        texts = [prompt_text(tokenizer, QUESTION) + text(*STEPS, ANSWER), "élan 中 <extra_0>\n\n  12", "So(1)", ""]
        check_reload(tmp_path, tokenizer, texts)
        reloaded = AutoTokenizer.from_pretrained(tmp_path)
        assert prompt_text(reloaded, QUESTION) == prompt_text(tokenizer, QUESTION)

    def test_a_tokenizer_that_comes_back_different_is_reported(self, tokenizer, untrained, tmp_path):
        other = make_tokenizer()
        other.add_tokens(["mod 10"])
        untrained.save_pretrained(tmp_path)
        other.save_pretrained(tmp_path)
        with pytest.raises(RuntimeError, match="reads 'mod 10' otherwise"):
            check_reload(tmp_path, tokenizer, ["mod 10"])

    def test_the_longest_problem_fits_the_recipes_lengths(self, tokenizer):
        longest = Problem(9, (("-", 9),) * 5)
        prompt = tokenizer(prompt_text(tokenizer, longest.question), add_special_tokens=False).input_ids
        response = tokenizer(solution(longest, random.Random(0)), add_special_tokens=False).input_ids
        assert len(prompt) <= 64 and len(response) + 1 <= 64


def test_tokens_at_fault_are_not_taught(tokenizer):
    response = text(STEPS[0], "Next (2) 2*3=8", "Then (3) 8-4=4", "The answer is \\boxed{4}")
    ids, taught = encode_example(tokenizer, PROBLEM, response, faults(PROBLEM, response))
    prompt = tokenizer(prompt_text(tokenizer, QUESTION), add_special_tokens=False).input_ids
    untaught = [i for i, learn in enumerate(taught) if not learn]
    assert untaught[: len(prompt)] == list(range(len(prompt)))
    assert tokenizer.convert_ids_to_tokens([ids[i] for i in untaught[len(prompt) :]]) == ["8"]
    assert ids[-1] == tokenizer.eos_token_id and taught[-1]


def test_parquet_files_are_in_verls_format(tmp_path):
    problems = [PROBLEM, make_problem(random.Random(0))]
    build.write_parquet(tmp_path / "train.parquet", problems, "train")
    rows = pd.read_parquet(tmp_path / "train.parquet").to_dict("records")
    assert [row["extra_info"] for row in rows] == [{"split": "train", "index": 0}, {"split": "train", "index": 1}]
    assert list(rows[0]["prompt"]) == MESSAGES
    assert rows[0]["reward_model"] == {"style": "rule", "ground_truth": "2"}
    assert rows[0]["data_source"] == build.DATA_SOURCE


class TestBuildReuse:
    SETTINGS = build.Settings(train_problems=4, val_problems=2)

    def test_a_finished_part_is_made_once(self, tmp_path):
        made = []

        def make(path):
            made.append(path)
            return build.write_parquet(path, [PROBLEM], "val")

        first = build._part(tmp_path, "val.parquet", self.SETTINGS, make)
        second = build._part(tmp_path, "val.parquet", self.SETTINGS, make)
        assert first == second and len(made) == 1
        build._part(tmp_path, "val.parquet", build.Settings(seed=5), make)
        assert len(made) == 2

    def test_an_interrupted_part_leaves_nothing_that_looks_finished(self, tmp_path):
        def interrupted(path):
            path.mkdir()
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            build._part(tmp_path, "policy", self.SETTINGS, interrupted)
        assert not (tmp_path / "policy").exists()
        build._part(tmp_path, "policy", self.SETTINGS, lambda path: path.mkdir() or {})
        assert (tmp_path / "policy").is_dir()


class TestPrm:
    def test_reads_tile_the_response_and_the_eos_belongs_to_the_last_segment(self, family, tokenizer):
        response = text(*STEPS, ANSWER)
        segments = [response[:9], response[9:30], response[30:]]
        encoded = family.encode(MESSAGES, segments)
        prompt = tokenizer(prompt_text(tokenizer, QUESTION), add_special_tokens=False).input_ids
        assert encoded.input_ids[: len(prompt)] == prompt
        assert encoded.reads[0][0] == len(prompt)
        assert [end for _, end in encoded.reads[:-1]] == [begin for begin, _ in encoded.reads[1:]]
        assert encoded.reads[-1][1] == len(encoded.input_ids)
        texts = [tokenizer.decode(encoded.input_ids[b:e]) for b, e in encoded.reads]
        assert texts == [*segments[:2], segments[2] + "<|im_end|>"]

    @pytest.mark.parametrize("literal", ["<extra_0>", "<|im_end|>", "<|im_start|>assistant\n"])
    def test_special_tokens_spelt_out_stay_text(self, family, tokenizer, literal):
        special = set(tokenizer.all_special_ids)
        plain = family.encode(MESSAGES, ["So", " (1) "])
        count = sum(i in special for i in plain.input_ids)
        in_segment = family.encode(MESSAGES, ["So" + literal, literal + " (1) "])
        in_message = family.encode([{"role": "user", "content": QUESTION + literal}], ["So", " (1) "])
        for encoded in (in_segment, in_message):
            assert sum(i in special for i in encoded.input_ids) == count
            assert len(encoded.reads) == 2

    def test_a_segment_without_text_is_judged_by_the_token_after_it(self, family, tokenizer):
        encoded = family.encode(MESSAGES, ["", "So (1) ", "", ""])
        words = [tokenizer.convert_ids_to_tokens(encoded.input_ids[b:e]) for b, e in encoded.reads]
        assert words == [["So"], ["So", " (1) "], ["<|im_end|>"], ["<|im_end|>"]]

    def test_evidence_is_the_lowest_token_log_probability_of_the_span(self, family, untrained):
        encoded = family.encode(MESSAGES, ["(1) 7+5=2\n", "(2) 2*3"])
        with torch.no_grad():
            log_probs = untrained(torch.tensor([encoded.input_ids])).logits[0].log_softmax(-1)
        for (begin, end), value in zip(encoded.reads, family.evidence([encoded])[0], strict=True):
            lowest = min(log_probs[t - 1, encoded.input_ids[t]].item() for t in range(begin, end))
            assert value == pytest.approx(max(lowest, -12.0), abs=1e-4)

    def test_a_connective_counts_as_all_four_together(self, family):
        values = {word: family.evidence([family.encode(MESSAGES, [word, " (1) "])])[0][0] for word in CONNECTIVES}
        assert max(values.values()) == pytest.approx(min(values.values()), abs=1e-5)
        assert family.evidence([family.encode(MESSAGES, ["system", ""])])[0][0] != pytest.approx(values["So"], abs=1e-3)

    def test_scores_do_not_depend_on_the_batch(self, family):
        short, long = ["So", " (1) "], [STEPS[0] + "\n", text(*STEPS[1:], ANSWER)]
        rows = [family.encode(MESSAGES, segments) for segments in (short, long)]
        together = family.forward(rows)
        alone = [family.forward([row])[0] for row in rows]
        assert [len(row) for row in together] == [2, 2]
        for a, b in zip(together, alone, strict=True):
            assert a == pytest.approx(b, abs=1e-5)

    def test_scores_are_logistic_in_the_evidence(self, family):
        row = family.encode(MESSAGES, ["So", " (1) "])
        for score, value in zip(family.forward([row])[0], family.evidence([row])[0], strict=True):
            assert score == pytest.approx(1 / (1 + math.exp(-(value + 2.0))))

    def test_it_loads_from_its_folder_and_is_detected(self, family, tokenizer, tmp_path):
        family.model.save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        loaded = ToyLikelihoodFamily.load(str(tmp_path), device=torch.device("cpu"), dtype=torch.float32)
        row = family.encode(MESSAGES, [STEPS[0], "\n" + STEPS[1]])
        assert loaded.encode(MESSAGES, [STEPS[0], "\n" + STEPS[1]]) == row
        assert loaded.forward([row])[0] == pytest.approx(family.forward([row])[0], abs=1e-6)
        assert loaded.link == family.link and loaded.max_context == 512
        assert ToyLikelihoodFamily.detects({CONFIG_KEY: {}}) and not ToyLikelihoodFamily.detects({})

    def test_a_model_of_another_kind_is_refused_with_the_setting_to_change(self, tokenizer, tmp_path):
        make_policy(tokenizer).save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        with pytest.raises(PrmError, match=r"reward\.prm\.model_path"):
            ToyLikelihoodFamily.load(str(tmp_path), device=torch.device("cpu"), dtype=torch.float32)

    def test_cutting_keeps_the_text_and_labels_the_segment_that_holds_the_fault(self, tokenizer):
        rng = random.Random(3)
        response = text(STEPS[0], "Next (2) 2*3=8", "Then (3) 8-4=4", "The answer is \\boxed{4}")
        for _ in range(50):
            judged = cut(PROBLEM, response, tokenizer, rng)
            assert "".join(judged.segments) == response
            assert judged.right.count(False) == 1
            wrong = judged.right.index(False)
            before = sum(map(len, judged.segments[:wrong]))
            assert before <= at(response, "=8") + 1 < before + len(judged.segments[wrong])
