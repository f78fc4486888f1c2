# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`reward.prm.score_function`: what a function may return, and what becomes of each way in which it fails."""

import asyncio
import contextlib
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from verl_prpo.prm.conversation import Heard
from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.open_prm import open_function
from verl_prpo.prm.results import PrmFailure, PrmRequest
from verl_prpo.prm.score_function.engine import open_score_function
from verl_prpo.prm.score_function.outputs import plain_batch, plain_scores
from verl_prpo.settings.prpo import ConfigError, prm_config

FILE = Path(__file__).parent / "score_functions.py"
QUESTION = [{"role": "user", "content": "What is 1 + 1?"}]
TWO = ["1 + 1 = 2.\n\n", "So 2."]


def config(name, path=FILE, kwargs=None, prm=None, **settings):
    function = {"path": str(path), "name": name, "kwargs": kwargs or {}, **settings}
    return prm_config({"prm": {"score_function": function, **(prm or {})}})


@contextlib.contextmanager
def opened(name, **settings):
    prm = open_function(config(name, **settings))
    try:
        yield prm
    finally:
        prm.close()


def scored(name, *texts, row=None, **settings):
    """The results of responses, each a list of segments."""
    with opened(name, **settings) as prm:
        return prm.score([PrmRequest(QUESTION, segments, row=row or {}) for segments in texts or (TWO,)])


class TestWhatItIsAndReturns:
    def test_each_segment_gets_its_score_and_a_wordless_one_that_of_its_step(self):
        (result,) = scored("lengths", ["abc", "\n\n", "defgh"])
        assert result.scores == pytest.approx([0.5, 0.5, 0.5])  # "abc\n\n" and "defgh" have five characters
        assert result.failure is None and not result.cached

    def test_an_unfinished_last_segment_is_not_shown(self):
        with opened("lengths") as prm:
            (result,) = prm.score([PrmRequest(QUESTION, ["abcd", "ef"], truncated=True)])
        assert result.scores == [pytest.approx(0.4), None]

    def test_a_hidden_thought_is_not_shown(self):
        with opened("lengths") as prm:
            (result,) = prm.score([PrmRequest(QUESTION, ["a thought", "abcd"], hidden=[True, False])])
        assert result.scores == [None, pytest.approx(0.4)]

    def test_settings_give_further_arguments(self):
        assert scored("lengths", ["ab"], kwargs={"scale": 0.25})[0].scores == [0.5]

    def test_the_row_arrives_under_the_names_of_verl(self):
        row = {"data_source": "toy", "ground_truth": "2", "extra_info": {"other": 0.25}}
        assert scored("of_the_row", ["is 2", "is 3"], row=row)[0].scores == [1.0, 0.25]

    def test_arguments_go_by_name(self):
        assert scored("swapped")[0].scores == [1.0, 1.0]

    def test_a_coroutine_waits_for_many_at_once(self):
        with opened("later") as prm:
            assert prm.family.score_range == (0.0, 1.0) and prm.family.prior_mean == 0.5
            results = prm.score([PrmRequest(QUESTION, [f"step {i}"]) for i in range(20)])
        assert [result.scores for result in results] == [[1.0]] * 20

    def test_an_object_can_be_called_and_declares_its_range(self):
        with opened("judge") as prm:
            assert (prm.family.prior_mean, prm.family.prior_std) == (5.0, pytest.approx(10 / math.sqrt(12)))
            assert prm.score([PrmRequest(QUESTION, TWO)])[0].scores == [10.0, 10.0]

    def test_the_range_moves_the_prior_and_the_check(self):
        with opened("signed") as prm:
            assert (prm.family.score_range, prm.family.prior_mean) == ((-2.0, 3.0), 0.5)
            assert prm.score([PrmRequest(QUESTION, TWO)])[0].scores == [-2.0, 3.0]

    def test_a_batched_function_gets_lists_and_one_at_fault_is_found(self):
        texts = [[f"step {i}"] for i in range(4)]
        assert [r.scores for r in scored("batch", *texts, batch_size=4)] == [[0.5]] * 4
        texts[2] = ["poison"]
        results = scored("batch", *texts, batch_size=4, retries=0)
        assert [r.scores for r in results] == [[0.25], [0.25], None, [0.125]]
        assert results[2].failure is PrmFailure.ENGINE_ERROR and "ValueError: poison" in results[2].detail

    def test_tensors_and_arrays_of_one_dimension_are_scores(self):
        tensor = torch.tensor([0.25, 1.0])
        for returned in (tensor, tensor.numpy(), [tensor[0], np.float64(1.0)], tensor.bfloat16().requires_grad_()):
            assert plain_scores(returned) == [0.25, 1.0]
        assert (
            plain_scores(tensor[None]) == "list [0.25, 1.0] as the score of segment 1, where a number or None belongs"
        )
        assert "Tensor tensor(0.2500) where a list of scores belongs" in plain_scores(tensor[0])
        assert plain_batch(tensor[None], 1) == [[0.25, 1.0]]

    def test_truth_values_are_scores_and_none_is_no_score(self):
        assert scored("returns", kwargs={"what": "truths"})[0].scores == [1.0, 0.0]
        assert scored("returns", kwargs={"what": "none"})[0].scores == [None, 0.5]

    def test_equal_responses_are_scored_once_and_another_row_is_another_response(self):
        with opened("lengths") as prm:
            asked = [PrmRequest(QUESTION, TWO, row={"ground_truth": truth}) for truth in ("2", "2", "3")]
            first, again = prm.score(asked), prm.score(asked[:1])
        assert [result.cached for result in (*first, *again)] == [False, True, False, True]
        with opened("lengths", prm={"cache_size": 0}) as prm:
            assert [prm.score(asked[:1])[0].cached for _ in range(2)] == [False, False]


FAULTS = {
    "nothing": (PrmFailure.BAD_OUTPUT, "returned None where a list of scores belongs"),
    "nan": (PrmFailure.NON_FINITE, r"returned \[0.5, nan\]"),
    "infinite": (PrmFailure.NON_FINITE, r"returned \[inf, 0.5\]"),
    "few": (PrmFailure.WRONG_COUNT, "returned 1 scores for 2 segments"),
    "many": (PrmFailure.WRONG_COUNT, "returned 3 scores for 2 segments"),
    "text": (PrmFailure.BAD_OUTPUT, "returned str '0.5, 0.5' where a list of scores belongs"),
    "texts": (PrmFailure.BAD_OUTPUT, "returned str '0.5' as the score of segment 1"),
    "high": (PrmFailure.OUT_OF_RANGE, r"returned \[0.5, 1.5\], outside its range \[0, 1\]\. Declare .*score_range"),
    "number": (PrmFailure.BAD_OUTPUT, "returned float 0.5 where a list of scores belongs"),
    "dict": (PrmFailure.BAD_OUTPUT, "returned dict .* where a list of scores belongs"),
}


class TestWhatToolsSaid:
    TURNS = ("I ask.", "So a quarter.", "And a half.")

    @classmethod
    def said(cls, first, second, **more):
        heard = [Heard(1, 0, "tool", first), Heard(2, 0, "tool", second), Heard(2, 0, "user", "Go on.")]
        return PrmRequest(QUESTION, cls.TURNS, heard=heard, **more)

    @pytest.mark.parametrize("name", ["of_tools", "of_tools_later", "of_tools_at_once"])
    def test_each_segment_comes_with_what_was_heard_before_it_and_equal_words_are_told_apart_by_it(self, name):
        asked = [self.said("0.25", "0.5"), self.said("0.25", "0.75"), PrmRequest(QUESTION, self.TURNS)]
        with opened(name, batch_size=4) as prm:
            first, again = prm.score(asked), prm.score(asked)
        wanted = [[None, 0.25, 0.5], [None, 0.25, 0.75], [None, None, None]]
        assert [result.scores for result in first] == [result.scores for result in again] == wanted
        assert [result.cached for result in (*first, *again)] == [False] * 3 + [True] * 3

    def test_messages_stand_with_the_step_that_they_were_heard_before_or_in(self):
        segments = ["I ask.", "a thought", "---", "So 1, 2.", "I ask again.", "Done."]
        heard = [
            Heard(1, 0, "tool", "before a hidden thought"),
            Heard(2, 0, "tool", "before a segment without words"),
            Heard(3, 4, "tool", "within"),
            Heard(4, 12, "tool", "at the end"),
            Heard(5, 5, "tool", "after the last words"),
        ]
        hidden = [number == 1 for number in range(6)]
        wanted = [
            [],
            [{"role": "tool", "content": one.content} for one in heard[:3]],
            [],
            [{"role": "tool", "content": "at the end"}],
        ]
        with opened("heard_as", kwargs={"wanted": wanted}, retries=0, prm={"cache_size": 0}) as prm:
            for _ in range(2):  # the function has changed a copy of its own
                (result,) = prm.score([PrmRequest(QUESTION, segments, heard=heard, hidden=hidden)])
                assert (result.scores, result.detail) == ([1.0, None, 1.0, 1.0, 1.0, 1.0], "")

    def test_a_function_that_does_not_name_it_is_called_as_without_tools(self):
        with opened("row_names") as prm:
            first, other = prm.score([self.said("0.25", "0.5"), self.said("0.25", "0.75")])
        assert first.scores == other.scores == [1.0] * 3
        assert other.cached  # what it sees is the same

    def test_a_segment_without_words_joins_no_step_from_before_a_tool_spoke(self):
        with opened("lengths") as prm:
            (result,) = prm.score([PrmRequest(QUESTION, ["ask", "---", "so"], heard=[Heard(1, 0, "tool", "12")])])
        assert result.scores == pytest.approx([0.3, 0.5, 0.5])  # "ask" and "---so"

    def test_a_row_with_an_entry_of_that_name_takes_nothing_from_it(self):
        row = {"extra_info": {"heard": "of the data"}, "heard": "of the data"}
        with opened("of_tools") as prm:
            assert prm.score([self.said("0.25", "0.5", row=row)])[0].scores == [None, 0.25, 0.5]

    def test_the_pages_example_compares_a_step_with_what_a_tool_said(self, tmp_path):
        page = (Path(__file__).parents[2] / "docs" / "step_rewards.md").read_text()
        (code,) = re.findall(r"^## Tools\n.*?^```py\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
        (tmp_path / "steps.py").write_text(code)
        heard = [Heard(1, 0, "tool", "12"), Heard(2, 0, "tool", "36")]
        with opened("score", path=tmp_path / "steps.py") as prm:
            (result,) = prm.score([PrmRequest(QUESTION, ["I ask: 7+5.", "It is 12, so 12*3.", "So 35."], heard=heard)])
        assert result.scores == [None, 1.0, 0.0]


class TestBadInput:
    @pytest.mark.parametrize("what", FAULTS)
    def test_a_result_that_is_no_list_of_scores_is_a_failure_of_its_kind(self, what):
        (result,) = scored("returns", kwargs={"what": what})
        kind, said = FAULTS[what]
        assert (result.scores, result.failure) == (None, kind)
        assert f"reward.prm.score_function (path={FILE}, name=returns)" in result.detail
        assert re.search(said, result.detail)

    def test_a_batch_with_too_few_responses_fails_whole(self):
        results = scored("too_few_rows", ["a"], ["b"])
        assert [r.failure for r in results] == [PrmFailure.BAD_OUTPUT] * 2
        assert "scores of 1 responses for a batch of 2" in results[0].detail

    def test_an_error_is_a_failure_with_its_place_after_so_many_tries(self):
        (result,) = scored("raises", retries=1)
        assert result.failure is PrmFailure.ENGINE_ERROR
        assert re.search(
            r"it raised KeyError: 'apples' \(score_functions.py, line \d+\) \(tried 2 times\)", result.detail
        )

    def test_a_fault_that_passes_costs_nothing(self, tmp_path):
        assert scored("raises_once", kwargs={"marker": str(tmp_path / "seen")})[0].scores == [1.0, 1.0]

    def test_a_function_that_hangs_is_ended_and_the_others_are_scored(self):
        hung, well = scored("hangs", ["hang"], ["well"], timeout=0.5, retries=0)
        assert hung.failure is PrmFailure.TIMEOUT and well.scores == [1.0]
        assert hung.detail.endswith("no scores within reward.prm.score_function.timeout=0.5 s")

    def test_a_coroutine_that_never_yields_is_ended_and_only_it_fails(self):
        texts = [["well 1"], ["hang"], ["well 2"]]
        first, hung, last = scored("never_yields", *texts, timeout=0.5, retries=0)
        assert hung.failure is PrmFailure.TIMEOUT and "it must await what takes time" in hung.detail
        assert first.scores == last.scores == [1.0]

    def test_a_coroutine_that_ignores_its_end_is_ended_with_its_process(self):
        (result,) = scored("cannot_be_cancelled", timeout=0.2, retries=0)
        assert result.failure is PrmFailure.TIMEOUT and "did not end when it was cancelled" in result.detail

    def test_a_call_ends_in_time_for_the_step(self):
        (result,) = scored("hangs", ["hang"], prm={"timeout": 0.5})
        assert result.failure is PrmFailure.TIMEOUT
        assert "left of reward.prm.timeout=0.5" in result.detail or "before reward.prm.timeout=0.5 s" in result.detail

    def test_a_process_that_dies_is_a_failure_with_its_status(self):
        (result,) = scored("dies", retries=0)
        assert result.failure is PrmFailure.ENGINE_ERROR and "died (exit status 3)" in result.detail

    def test_sys_exit_is_an_error_like_others(self):
        assert "it raised SystemExit: 0" in scored("leaves", retries=0)[0].detail

    def test_prints_go_to_the_log_and_changed_arguments_change_nothing(self, capfd):
        row = {"extra_info": {"index": 3}}
        messages = [dict(message) for message in QUESTION]
        with opened("prints_and_mutates", prm={"cache_size": 0}) as prm:
            results = [prm.score([PrmRequest(messages, TWO, row=row)])[0] for _ in range(2)]
        assert [result.scores for result in results] == [[0.1, 0.1]] * 2
        assert (messages, row) == (QUESTION, {"extra_info": {"index": 3}})
        said = capfd.readouterr()
        assert said.out == "" and said.err.count("printed by the function") == 2

    def test_a_row_that_cannot_be_sent_is_a_failure_of_its_response(self):
        with opened("lengths") as prm:
            bad, good = prm.score([PrmRequest(QUESTION, TWO, row={"extra_info": lambda: 1}), PrmRequest(QUESTION, TWO)])
        assert bad.failure is PrmFailure.BAD_INPUT and "the row cannot be handed" in bad.detail
        assert good.scores is not None

    def test_closing_ends_the_processes_with_what_is_asked(self):
        async def closed() -> tuple[list, int]:
            engine = await open_score_function(config("hangs", retries=0))
            (worker,) = engine.pool._workers
            asked = asyncio.create_task(engine.score([PrmRequest(QUESTION, ["hang"])]))
            await asyncio.sleep(0.2)
            await engine.close()
            return await asked, worker._process.wait(timeout=10)

        (result,), status = asyncio.run(closed())
        assert (result.failure, status) == (PrmFailure.ENGINE_ERROR, -9)


LOADING = {
    "missing file": ({"name": "score", "path": "/nowhere/steps.py"}, "there is no such file"),
    "no such name": ({"name": "score"}, "the file defines no score, but .*lengths"),
    "not callable": ({"name": "NO_FUNCTION"}, "NO_FUNCTION is int 5 and cannot be called"),
    "a class": ({"name": "Judge"}, "Judge is a class. Name a function"),
    "other names": ({"name": "other_names"}, r"other_names\(prompt, steps\) cannot be called by keyword with messages"),
    "needs more": ({"name": "needs_more"}, "missing a required argument: 'temperature'.*score_function.kwargs"),
    "unknown argument": ({"name": "later", "kwargs": {"scale": 1}}, "unexpected keyword argument 'scale'"),
    "taken argument": ({"name": "lengths", "kwargs": {"messages": 1}}, "kwargs.messages is not yours to set"),
    "taken for tools": ({"name": "of_tools", "kwargs": {"heard": []}}, "kwargs.heard is not yours to set"),
    "range": ({"name": "bad_range"}, r"bad_range.score_range must be two finite numbers.*\(1, 0\)"),
    "batched": ({"name": "bad_batched"}, "bad_batched.batched must be True or False, and is 'yes'"),
    "module": ({"name": "score", "path": "pkg://no.such.module"}, "importing it fails with ModuleNotFoundError"),
}


class TestLoading:
    @pytest.mark.parametrize("case", LOADING)
    def test_a_function_that_cannot_be_used_is_refused_with_its_setting(self, case):
        given, said = LOADING[case]
        with pytest.raises(PrmError, match=rf"reward\.prm\.score_function \(path=.*{said}"):
            open_function(config(**given))

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("import no_such_package", "importing it fails with ModuleNotFoundError: No module named"),
            ("def score(:", "importing it fails with SyntaxError"),
            ("import sys; sys.exit(0)", "importing it fails with SystemExit"),
            ("import os; os._exit(7)", r"while it was imported, the process that ran it died \(exit status 7\)"),
        ],
    )
    def test_a_file_that_cannot_be_imported_is_named_with_the_reason(self, tmp_path, text, said):
        file = tmp_path / "steps.py"
        file.write_text(text)
        with pytest.raises(PrmError, match=rf"path={file}, name=score\): {said}"):
            open_function(config("score", path=file))

    def test_an_import_that_hangs_is_ended(self, tmp_path):
        file = tmp_path / "steps.py"
        file.write_text("import time; time.sleep(60)")
        with pytest.raises(PrmError, match=r"importing it takes longer than 0.5 s.*reward\.prm\.startup_timeout"):
            open_function(config("score", path=file, prm={"startup_timeout": 0.5}))

    def test_a_module_can_be_named_as_in_verl(self):
        with pytest.raises(PrmError, match="the file defines no score"):  # it was imported
            open_function(config("score", path="pkg://json"))


class TestSettings:
    @pytest.mark.parametrize(
        ("section", "said"),
        [
            ({"score_function": {"name": "score"}}, r"score_function needs path"),
            ({"score_function": {"path": "a.py"}}, r"score_function needs both path .* and name"),
            ({"score_function": {"path": "a.py", "nam": "f"}}, r"score_function\.nam is not a setting.*name"),
            ({"score_function": {"path": "a.py", "name": "f", "timeout": 0}}, r"score_function\.timeout"),
            (
                {"score_function": {"path": "a.py", "name": "f"}, "model_path": "m"},
                r"prm\.model_path=m: either",
            ),
            ({"score_function": {"path": "a.py", "name": "f"}, "family": "m"}, r"reward\.prm\.family=m: either"),
            ({"score_function": {"path": "a.py", "name": "f"}, "engine": "in_process"}, r"reward\.prm\.engine="),
        ],
    )
    def test_what_contradicts_itself_is_refused(self, section, said):
        with pytest.raises(ConfigError, match=said):
            prm_config({"prm": section})

    def test_calls_at_once_follow_the_cpus_or_the_setting(self):
        for given, calls in (({}, 1), ({"concurrency": 3}, 3), ({"prm": {"num_cpus_per_replica": 2.5}}, 2)):
            with opened("lengths", **given) as prm:
                assert f"at most {calls} at once" in prm.where
        with opened("later") as prm:
            assert "a coroutine" in prm.where and "at most 32 at once" in prm.where


def test_a_worker_imports_nothing_heavy():
    """A worker per call at once is cheap only as long as that holds."""
    code = (
        "import sys, verl_prpo.prm.score_function.worker; "
        "print([name for name in ('torch', 'ray', 'pydantic') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert said.stdout.strip() == "[]", said.stderr
