# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo report DUMP --prm MODEL` on the dump of a run with PRPO: the same segments and roles as in training."""

import base64
import gzip
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import arithmetic_prm
import numpy as np
import pytest
import torch
from arithmetic_prm import ArithmeticPrm
from tiny_models import qwen_tokenizer
from transformers import AddedToken

from verl_prpo.cli.main import main
from verl_prpo.method.segmentation import segment_bounds, uniform_segments
from verl_prpo.prm.encoding.shown import shown_steps
from verl_prpo.prm.in_process.engine import InProcessEngine
from verl_prpo.prm.results import PrmRequest
from verl_prpo.settings.prpo import PrpoConfig
from verl_prpo.step.conversation import interludes_of, own_words
from verl_prpo.step.credit import ProcessRewards, advantages_of
from verl_prpo.step.cutting import cut, hidden_segments, thought_mask
from verl_prpo.step.messages import Scores
from verl_prpo.step.scored_batch import Rollouts, ScoredBatch
from verl_prpo.telemetry.rollouts.write import PendingRecord
from verl_prpo.telemetry.step_report import StepReport
from verl_prpo.text.decoding import segment_texts, token_texts
from verl_prpo.text.turns import TurnReader
from verl_prpo.trainer.checks.config_check import READ_BY
from verl_prpo.viewer.report.cuts import CUTTING, names_cuts

QUESTION = [{"role": "user", "content": "What is 7 * 2?"}]
TOOL = "<|im_start|>tool\n1 + 1 = 3<|im_end|>\n<|im_start|>assistant\n"
WITH_TOOL = [
    ("2 + 3 = 6\n\nno, 4 + 3 = 8</think>2 + 3 = 5\n\n5 * 2 = 11\n\nI ask.<|im_end|>", 1),
    (TOOL, 0),
    ("<think>3 + 3 = 7\n\nor not</think>so 1 + 1 = 2\n\n7 * 2 = 14<|im_end|>", 1),
]
PLAIN = [("thus</think>2 * 7 = 14\n\nso 14 + 0 = 15\n\nThe end", 1)]


class Run:
    """A step of training as the trainer and its reward-loop workers do it, and its dump."""

    def __init__(self, settings: PrpoConfig, hides: bool, special: bool = True, asks: bool = True):
        tokenizer = qwen_tokenizer()
        tags = [AddedToken(tag, special=special, normalized=False) for tag in ("<think>", "</think>")]
        tokenizer.add_tokens(tags, special_tokens=special)
        self.tokenizer = tokenizer
        parts = [[(self.ids(text), mine) for text, mine in said] for said in (WITH_TOOL, PLAIN)]
        ids = [[token for part, _ in one for token in part] for one in parts]
        width = max(map(len, ids))
        mask = torch.zeros(2, width, dtype=torch.long)
        for row, one in enumerate(parts):
            mine = [mine for part, mine in one for _ in part]
            mask[row, : len(mine)] = torch.tensor(mine)
        prompt = self.ids(tokenizer.apply_chat_template(QUESTION, tokenize=False, add_generation_prompt=True))
        prompt += self.ids("<think>\n")
        keys = ["a_0_0", "a_1_0"]
        rows = Rollouts(
            keys, [0, 1], 2, [QUESTION] * 2, ids, mask, torch.rand(2, width), [False, True], prompt_ids=[prompt] * 2
        )
        thoughts = thought_mask(tokenizer, ids, mask, [prompt] * 2, [QUESTION] * 2) if hides else None
        if asks:
            starts = cut(
                settings, keys=keys, response_ids=ids, response_mask=mask, signal=rows.signal, tokenizer=tokenizer,
                thoughts=thoughts,
            )  # fmt: skip
        else:
            starts = uniform_segments(mask, 1)
        scores = [
            self.scores(ids[i], mask[i], starts[i], None if thoughts is None else thoughts[i], i == 1) for i in (0, 1)
        ]
        scored = ScoredBatch(rows, starts, scores if asks else [None, None], 0.0, 0.0)
        given = ProcessRewards(scored.token_scores(), starts, scored.read_tokens(), 0.5, 12**-0.5)
        outcome, index = torch.tensor([1.0, 0.0]), np.array(["a", "a"], dtype=object)
        advantages = advantages_of(given, settings, outcome, mask, index)
        self.report = StepReport(scored, given, settings, outcome, advantages, mask, index)
        self.prompt, self.entropy = prompt, rows.signal

    def ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False)

    def scores(
        self, ids: list[int], mask: torch.Tensor, starts: torch.Tensor, thoughts: torch.Tensor | None, truncated: bool
    ) -> Scores:
        """As `PrmRewardManager` gives them."""
        own, bounds = mask[: len(ids)].tolist(), segment_bounds(starts, len(ids))
        texts = said = segment_texts(self.tokenizer, ids, bounds)
        hidden, heard = hidden_segments(starts, thoughts), []
        interludes = interludes_of(ids, own, TurnReader(self.tokenizer), frozenset([self.tokenizer.eos_token_id]))
        if interludes:
            said, heard = own_words(token_texts(self.tokenizer, ids), own, bounds, interludes)
        request = PrmRequest(QUESTION, said, truncated, heard=heard, hidden=hidden)
        if not shown_steps(said, truncated, heard=heard, hidden=hidden).steps:
            return Scores(texts=texts, interludes=interludes, unfinished=truncated, hidden=hidden)
        (result,) = InProcessEngine(ArithmeticPrm(), 16384).score([request])
        return Scores.of(
            result, texts=texts, interludes=interludes, unfinished=truncated, hidden=hidden, asked=1.0, answered=2.0
        )

    def dump(self, folder: Path, **without: Any) -> Path:
        """Its dump; `without` are changes to the rollouts, to write what an earlier version wrote."""
        folder.mkdir(parents=True)
        lines = []
        for row, key in enumerate(self.report.scored.rollouts.keys):
            ids = self.report.scored.rollouts.response_ids[row]
            columns = {
                "step": 1,
                "input": self.tokenizer.decode(self.prompt, skip_special_tokens=True),
                "output": self.tokenizer.decode(ids, skip_special_tokens=True),
                "gts": "14",
                "score": [1.0, 0.0][row],
                "uid": key,
            }
            record = PendingRecord(
                self.report, row, self.tokenizer, entropy=self.entropy[row], columns=columns, prompt_ids=self.prompt
            ).tolist()
            lines.append(json.dumps(columns | {"prpo": {k: v for k, v in record.items() if k not in without}}) + "\n")
        (folder / "1.jsonl").write_text("".join(lines))
        return folder

    def segments(self, row: int) -> list[tuple[int, int, float | None]]:
        scored = self.report.scored
        bounds = segment_bounds(scored.segment_starts[row], len(scored.rollouts.response_ids[row]))
        scores = scored.scores[row].scores or [None] * len(bounds)
        return [(*span, score) for span, score in zip(bounds, scores, strict=True)]


@pytest.fixture
def prm(tmp_path: Path) -> list[str]:
    return arithmetic_prm.overrides(tmp_path / "prm")


def page(folder: Path, *arguments: str) -> dict[str, Any]:
    assert main(["report", str(folder), *arguments]) == 0
    found = re.search(r'id="data">([A-Za-z0-9+/=]*)</script>', (folder / "report.html").read_text("utf-8"))
    assert found is not None
    return json.loads(gzip.decompress(base64.b64decode(found[1])))


def spread(values: list[Any]) -> list[float]:
    return [v for value, count in values for v in [value] * count] if isinstance(values[0], list) else values


def as_segments(response: dict[str, Any]) -> list[tuple[int, int, float | None]]:
    return [tuple(segment[:3]) for segment in response["segments"]]


HIDE = "++reward.prm.thinking=hide"


class TestTheSameAsInTraining:
    @pytest.mark.parametrize(
        ("segmenter", "hides", "special"),
        [
            ("turns+text", True, True),
            ("turns+text", True, False),
            ("turns+text", False, True),
            ("turns", True, True),
            ("turns+entropy", True, True),
            ("turns+random", False, True),
        ],
    )
    def test_segments_scores_and_advantages(
        self, segmenter: str, hides: bool, special: bool, tmp_path: Path, prm: list[str]
    ) -> None:
        run = Run(PrpoConfig(segmenter=segmenter, num_segments=2, max_anchors=2, min_gap=2), hides, special)
        folder = run.dump(tmp_path / "dump")
        cuts = [f"algorithm.prpo.segmenter={segmenter}", "algorithm.prpo.num_segments=2"]
        cuts += ["algorithm.prpo.max_anchors=2", "algorithm.prpo.min_gap=2"]
        for more in ([], cuts):  # as recorded, and cut anew by what the record holds
            found = page(folder, *prm, *more, *([HIDE] if hides else []))
            for row, response in enumerate(found["responses"]):
                assert as_segments(response) == run.segments(row), more
                hidden = run.report.scored.scores[row].hidden
                assert response["hidden"] == [number for number, thought in enumerate(hidden) if thought]
                length = len(run.report.scored.rollouts.response_ids[row])
                trained = run.report.advantages[row, :length].tolist()
                assert spread(response["A"]) == pytest.approx(trained, rel=1e-4, abs=1e-6)
            said = " ".join(found["would"])
            assert ("2 of 2 responses keep the segments that the dump records" in said) is (not more)

    def test_what_is_hidden_now_is_one_segment_for_each_thought_and_turn(self, tmp_path: Path, prm: list[str]) -> None:
        """The run judged thoughts; now they are hidden, and the rest keeps its cuts."""
        run = Run(PrpoConfig(segmenter="turns+text"), hides=False)
        hiding = Run(PrpoConfig(segmenter="turns+text"), hides=True)
        found = page(run.dump(tmp_path / "dump"), *prm, HIDE)
        for row, response in enumerate(found["responses"]):
            assert as_segments(response) == hiding.segments(row)

    def test_thoughts_that_were_hidden_are_judged_where_the_settings_say_so(
        self, tmp_path: Path, prm: list[str]
    ) -> None:
        run = Run(PrpoConfig(segmenter="turns+text"), hides=True)
        found = page(run.dump(tmp_path / "dump"), *prm)
        first = found["responses"][0]
        assert [s[:2] for s in first["segments"]] == [list(s[:2]) for s in run.segments(0)]
        assert first["hidden"] == [] and first["segments"][0][2] == 0.1
        assert "The run hid thoughts from its PRM. Here they are judged" in " ".join(found["would"])


class TestDumpsThatSayLess:
    def test_a_run_that_hid_thoughts_and_recorded_no_spans_says_which_they_are(
        self, tmp_path: Path, prm: list[str]
    ) -> None:
        run = Run(PrpoConfig(segmenter="turns+text"), hides=True)
        found = page(run.dump(tmp_path / "dump", thoughts=None), *prm, HIDE)
        assert [as_segments(one) for one in found["responses"]] == [run.segments(0), run.segments(1)]

    def test_lost_tags_are_a_warning_and_with_the_policys_tokenizer_an_error(
        self, tmp_path: Path, prm: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        run = Run(PrpoConfig(segmenter="turns+text"), hides=False)
        folder = run.dump(tmp_path / "dump", prpo=None, thoughts=None)
        found = page(folder, *prm, HIDE)
        assert "none of 2 responses shows a tag of a thought" in capsys.readouterr().err
        assert "Warning: reward.prm.thinking=hide hides nothing" in " ".join(found["would"])
        run.tokenizer.save_pretrained(tmp_path / "policy")
        assert main(["report", str(folder), *prm, HIDE, "--tokenizer", str(tmp_path / "policy")]) == 2
        assert "(<think>, </think>) are special tokens" in capsys.readouterr().err
        shown = page(run.dump(tmp_path / "new"), *prm, HIDE)  # recorded: nothing to warn of
        assert capsys.readouterr().err == "" or "hides nothing" not in " ".join(shown["would"])

    def test_a_run_that_asked_no_prm_is_cut_by_the_settings_around_what_its_tools_said(
        self, tmp_path: Path, prm: list[str]
    ) -> None:
        settings = PrpoConfig(segmenter="turns+text")
        run = Run(replace(settings, credit="outcome"), hides=True, asks=False)
        judged = Run(settings, hides=True)
        found = page(run.dump(tmp_path / "dump"), *prm, HIDE, "algorithm.prpo.segmenter=turns+text")
        for row, response in enumerate(found["responses"]):
            assert [s[:2] for s in response["segments"]] == [list(s[:2]) for s in judged.segments(row)]
        by_default = page(run.dump(tmp_path / "again"), *prm)  # by the entropy that the record holds
        assert "Responses are cut by algorithm.prpo.segmenter=entropy." in by_default["would"]

    def test_rows_without_a_record_are_said_to_have_no_turns(self, tmp_path: Path, prm: list[str]) -> None:
        folder = Run(PrpoConfig(segmenter="turns+text"), hides=False).dump(tmp_path / "dump")
        lines = [json.loads(line) for line in (folder / "1.jsonl").read_text().splitlines()]
        bare = [{name: value for name, value in line.items() if name != "prpo"} for line in lines]
        (folder / "1.jsonl").write_text("".join(json.dumps(line) + "\n" for line in bare))
        said = " ".join(page(folder, *prm, "algorithm.prpo.segmenter=turns+text")["would"])
        assert "without a record nobody knows who speaks in a response. So 2 of 2 are one turn each" in said

    def test_token_ids_are_found_again_or_refused(
        self, tmp_path: Path, prm: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        run = Run(PrpoConfig(segmenter="text"), hides=False, special=False)
        folder, policy = run.dump(tmp_path / "dump"), tmp_path / "policy"
        run.tokenizer.save_pretrained(policy)
        tokens = ["algorithm.prpo.segmenter=tokens", "algorithm.prpo.delimiter_token_ids=[1]"]
        assert main(["report", str(folder), *prm, *tokens]) == 2
        assert "give the policy's tokenizer with --tokenizer" in capsys.readouterr().err
        assert main(["report", str(folder), *prm, *tokens, "--tokenizer", str(policy)]) == 2
        assert "does not give the text of response a_0_0 back" in capsys.readouterr().err


def test_settings_that_cut_are_those_that_segmenters_read() -> None:
    assert set(CUTTING) == {"segmenter", "min_gap", *READ_BY}
    assert names_cuts(["++algorithm.prpo.min_gap=3"]) and names_cuts(["+algorithm.prpo.segmenter=text"])
    others: Sequence[str] = ["algorithm.prpo.prior_mean=0.6", "reward.prm.thinking=hide", "algorithm.prpo=x"]
    assert not names_cuts(others)
