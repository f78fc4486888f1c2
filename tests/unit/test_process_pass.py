# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The process pass through verl's real reward-loop workers to a real PRM on a local Ray: which rows are asked about,
where their scores land, and what becomes of failures."""

import time
from dataclasses import dataclass

import pytest
import ray
import torch
from plumbing import Parts, local_ray
from verl.experimental.reward_loop.reward_loop import RewardLoopWorker
from verl.utils import hf_tokenizer

from verl_prpo import process_pass
from verl_prpo.config import PrpoConfig
from verl_prpo.prm.family import PrmError
from verl_prpo.prm.replicas import start_replicas
from verl_prpo.prm.results import PrmRequest
from verl_prpo.prm.text import segment_texts
from verl_prpo.process_pass import Rows, ScoredBatch, collect, launch, segment
from verl_prpo.reward_manager import ProcessResult, wire
from verl_prpo.segmentation import segment_bounds

pytestmark = pytest.mark.ray

QUESTION = [{"role": "user", "content": "1 + 1?"}]
UNIFORM = PrpoConfig(segmenter="uniform", num_segments=3)
WHOLE = PrpoConfig(segmenter="single")
HASTY = 5.0
"""`reward.prm.timeout` of the workers that are to run out of time, in seconds."""

TEXTS = [
    "First we add the numbers, then we divide by two.",
    "So the answer is 42.",
    "First <extra_0> then <|im_end|> and <|im_start|>user\n<extra_0><extra_0>, so 3.",
    "The sum is 😀🎉 and 首先我们把两个数相加 é.",
    "Yes",
]


@dataclass
class Cluster:
    parts: Parts
    tokenizer: object
    workers: list  # reward.prm.on_error=raise
    hasty: list  # raise, with a short timeout
    lenient: list  # outcome_only, with a short timeout


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return Parts.build(tmp_path_factory.mktemp("parts"))


@pytest.fixture(scope="module")
def cluster(parts):
    with local_ray("test_process_pass"):
        (replica,) = start_replicas(parts.prm_config(), "cpu")
        remote = ray.remote(RewardLoopWorker)  # as verl's RewardLoopManager wraps it

        def start(count, **settings):
            config = parts.config(**settings)
            wire(config)
            return [remote.remote(config, None) for _ in range(count)]

        workers = start(2)
        hasty = start(1, timeout=HASTY)
        lenient = start(1, timeout=HASTY, on_error="outcome_only")
        yield Cluster(parts, hf_tokenizer(str(parts.policy)), workers, hasty, lenient), replica


@pytest.fixture
def here(cluster):
    cluster[0].parts.forget()
    return cluster[0]


@pytest.fixture(scope="module")
def engine(parts):
    return parts.engine()


def rows_of(texts, tokenizer, *, eos=True, padding=0) -> Rows:
    """Responses in the order given, then padding rows as verl makes them: one EOS outside the mask."""
    ids = [tokenizer.encode(text, add_special_tokens=False) + [tokenizer.eos_token_id] * eos for text in texts]
    lengths = [len(row) for row in ids] + [0] * padding
    ids += [[tokenizer.eos_token_id]] * padding
    width = max(1, *map(len, ids))
    mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
    return Rows(
        keys=[f"u{i}_0_0" for i in range(len(texts))] + [f"pad_{i}_0" for i in range(padding)],
        real=[True] * len(texts) + [False] * padding,
        messages=[QUESTION] * len(ids),
        response_ids=ids,
        response_mask=mask,
        signal=None,
    )


def score(rows: Rows, workers, settings=UNIFORM, timeout=120.0) -> ScoredBatch:
    return collect(launch(rows, segment(rows, settings, seed=1), workers), timeout)


def expected(rows: Rows, starts, row: int, tokenizer, engine) -> tuple[list[str], list[float]]:
    """What the engine makes of one response when it is called in this process."""
    ids = rows.response_ids[row]
    texts = segment_texts(tokenizer, ids, segment_bounds(starts[row], len(ids)))
    (result,) = engine.score([PrmRequest(QUESTION, texts)])
    return texts, result.scores


class TestScores:
    def test_each_token_has_the_score_that_the_engine_gives_its_segment(self, here, engine):
        rows = rows_of(TEXTS, here.tokenizer)
        scored = score(rows, here.workers)
        tokens = scored.token_scores()
        assert scored.scored.tolist() == [True] * len(TEXTS)
        for row, text in enumerate(TEXTS):
            texts, scores = expected(rows, scored.segment_starts, row, here.tokenizer, engine)
            result = scored.results[row]
            decoded = here.tokenizer.decode(rows.response_ids[row], skip_special_tokens=True)
            assert result.texts == texts and "".join(texts) == decoded
            assert decoded.replace("<|im_end|>", "").replace("<|im_start|>", "") == decoded
            assert result.scores == pytest.approx(scores, abs=1e-5)
            bounds = segment_bounds(scored.segment_starts[row], len(rows.response_ids[row]))
            assert len(bounds) == len(scores)
            for (begin, end), wanted in zip(bounds, scores, strict=True):
                assert tokens[row, begin:end].tolist() == pytest.approx([wanted] * (end - begin), abs=1e-5), text
        assert len(set(round(value, 4) for result in scored.results for value in result.scores)) > len(TEXTS)

    def test_the_order_of_rows_changes_nothing(self, here):
        rows = rows_of(TEXTS, here.tokenizer)
        order = [3, 0, 4, 2, 1]
        plain = score(rows, here.workers).token_scores()
        mixed = rows_of([TEXTS[i] for i in order], here.tokenizer)
        torch.testing.assert_close(score(mixed, here.workers).token_scores(), plain[order], atol=1e-5, rtol=0)

    def test_a_literal_separator_shifts_no_score(self, here, engine):
        rows = rows_of(["<extra_0>First<extra_0> we add.<extra_0>", "First we add."], here.tokenizer)
        scored = score(rows, here.workers)
        for row in range(2):
            _, scores = expected(rows, scored.segment_starts, row, here.tokenizer, engine)
            assert len(scores) == 3 and scored.results[row].scores == pytest.approx(scores, abs=1e-5)
        assert "<extra_0>" in scored.results[0].texts[0]

    def test_tool_tokens_are_read_by_the_prm_and_belong_to_the_segment_before_them(self, here, engine):
        rows = rows_of(["We add. tool says 17. So the sum is 17."], here.tokenizer)
        length = len(rows.response_ids[0])
        rows.response_mask[0, length // 3 : 2 * length // 3] = 0
        scored = score(rows, here.workers, PrpoConfig(segmenter="uniform", num_segments=2))
        texts, scores = expected(rows, scored.segment_starts, 0, here.tokenizer, engine)
        assert "".join(texts) == "We add. tool says 17. So the sum is 17."
        assert scored.results[0].scores == pytest.approx(scores, abs=1e-5)

    def test_times_are_those_of_waiting_and_of_working(self, here):
        rows = rows_of(TEXTS[:2], here.tokenizer)
        pending = launch(rows, segment(rows, UNIFORM, seed=1), here.workers)
        ray.wait(pending.answers, num_returns=len(pending.answers), timeout=60)
        scored = collect(pending, 60.0)
        assert scored.wait_seconds < 1  # what was done before collect is not exposed to the step
        assert 0 < scored.busy_seconds < 60


class TestWhoIsAsked:
    def test_padding_and_rows_without_a_valid_token_never_reach_the_prm(self, here):
        rows = rows_of(TEXTS[:3], here.tokenizer, padding=3)
        rows.response_mask[1] = 0
        scored = score(rows, here.workers)
        decoded = [here.tokenizer.decode(rows.response_ids[i], skip_special_tokens=True) for i in (0, 2)]
        assert sorted(here.parts.asked()) == sorted(decoded)
        assert scored.scored.tolist() == [True, False, True, False, False, False]
        assert [result is None for result in scored.results] == [False, True, False, True, True, True]
        assert not scored.token_scores()[[1, 3, 4, 5]].any()

    def test_a_padding_row_is_not_asked_about_even_with_valid_tokens(self, here):
        rows = rows_of(TEXTS[:2], here.tokenizer)
        rows.real[0] = False
        score(rows, here.workers)
        assert here.parts.asked() == [TEXTS[1]]

    @pytest.mark.parametrize("count", [1, 3])
    def test_batches_that_do_not_divide_among_the_workers(self, here, count):
        scored = score(rows_of(TEXTS[:count], here.tokenizer), here.workers)
        assert scored.scored.all() and len(scored.results) == count
        assert len(here.parts.asked()) == count

    def test_a_batch_of_padding_asks_nobody_and_returns(self, here):
        scored = score(rows_of([], here.tokenizer, padding=2), here.workers)
        assert not scored.scored.any() and scored.busy_seconds == 0
        assert not scored.token_scores().any()
        assert here.parts.asked() == []

    @pytest.mark.parametrize("text", ["", "<eos>"])
    def test_an_empty_response_has_neither_scores_nor_a_failure(self, here, text):
        rows = rows_of(["", TEXTS[0]], here.tokenizer, eos=text == "<eos>")
        scored = score(rows, here.workers)
        assert scored.scored.tolist() == [False, True]
        assert scored.results[0] is None or (scored.results[0].scores, scored.results[0].failure) == (None, None)
        assert not scored.token_scores()[0].any()
        assert len(here.parts.asked()) == 1


class TestFailures:
    LONG = "We add the numbers and divide. " * 40

    def test_raise_names_the_row_the_cause_and_the_setting(self, here):
        with pytest.raises(PrmError) as caught:
            score(rows_of([TEXTS[0], self.LONG], here.tokenizer), here.workers)
        message = str(caught.value)
        assert message.startswith("the PRM gave no process scores for response u1_0_0: overlong: the dialogue has")
        assert "data.max_response_length" in message and "reward.prm.on_error=outcome_only" in message
        assert "Traceback" not in message

    def test_outcome_only_leaves_that_row_without_scores_and_the_others_as_they_are(self, here, engine):
        rows = rows_of([TEXTS[0], self.LONG, TEXTS[1]], here.tokenizer)
        scored = score(rows, here.lenient)
        assert scored.scored.tolist() == [True, False, True]
        assert (scored.results[1].scores, scored.results[1].failure) == (None, "overlong")
        assert scored.results[1].tokens > 256 and "reads at most 256" in scored.results[1].detail
        assert not scored.token_scores()[1].any()
        for row in (0, 2):
            _, scores = expected(rows, scored.segment_starts, row, here.tokenizer, engine)
            assert scored.results[row].scores == pytest.approx(scores, abs=1e-5)

    def test_fewer_scores_than_segments_name_the_row(self, here):
        rows = rows_of(TEXTS[:2], here.tokenizer)
        starts = segment(rows, UNIFORM, seed=1)
        results = [ProcessResult(["a", "b", "c"], [0.1, 0.2, 0.3]), ProcessResult(["a", "b", "c"], [0.1, 0.2])]
        with pytest.raises(PrmError, match=r"response u1_0_0 \(row 1\) has 3 segments but the PRM gave 2 scores"):
            ScoredBatch(rows, starts, results, 0.0, 0.0).token_scores()

    def test_a_hanging_prm_stops_the_step_in_time_with_the_setting(self, here):
        began = time.monotonic()
        with pytest.raises(PrmError) as caught:
            score(rows_of([f"wait {HASTY + 3};"], here.tokenizer), here.hasty, WHOLE, timeout=HASTY)
        assert time.monotonic() - began < HASTY + process_pass.COLLECT_GRACE
        assert "response u0_0_0: timeout" in str(caught.value) and "reward.prm.timeout" in str(caught.value)

    def test_a_hanging_prm_under_outcome_only_is_a_failure_of_each_row(self, here):
        scored = score(rows_of([f"wait {HASTY + 3};"], here.tokenizer), here.lenient, WHOLE, timeout=HASTY)
        assert [(result.scores, result.failure) for result in scored.results] == [(None, "timeout")]
        with pytest.raises(PrmError, match=r"the PRM is gone: 1 of 1 responses have no process scores.*timeout"):
            scored.require_a_living_prm()

    def test_one_response_without_scores_does_not_condemn_the_prm(self, here):
        scored = score(rows_of([TEXTS[0], f"wait {HASTY + 3};"], here.tokenizer), here.workers, WHOLE)
        scored.results[0].scores, scored.results[0].failure = None, "timeout"
        scored.require_a_living_prm()

    def test_a_worker_that_hangs_itself_is_bounded_by_the_step(self, here, monkeypatch):
        monkeypatch.setattr(process_pass, "COLLECT_GRACE", 0.0)
        with pytest.raises(PrmError, match=r"no process scores for 1 responses within 0\.5 s.*reward\.prm\.timeout"):
            score(rows_of(["wait 2;"], here.tokenizer), here.workers, WHOLE, timeout=0.5)

    def test_a_worker_that_died_is_told_as_such(self, here):
        worker = ray.remote(RewardLoopWorker).remote(self.wired(here), None)
        ray.kill(worker)
        with pytest.raises(PrmError, match="a reward-loop worker died"):
            score(rows_of(TEXTS[:1], here.tokenizer), [worker])

    def wired(self, here):
        config = here.parts.config()
        wire(config)
        return config

    def test_a_killed_prm_is_named_or_counted_and_nothing_hangs(self, here, cluster):
        """Last in this file: it leaves no PRM behind."""
        ray.kill(cluster[1])
        rows = rows_of(TEXTS[:3], here.tokenizer)
        began = time.monotonic()
        with pytest.raises(PrmError, match=r"response u\d_0_0: replica_died: .*prm_replica_0"):
            score(rows, here.workers)
        scored = score(rows, here.lenient)
        assert {(result.scores, result.failure) for result in scored.results} == {(None, "replica_died")}
        assert not scored.token_scores().any()
        assert time.monotonic() - began < 30


class TestSegment:
    """Which cuts each `algorithm.prpo.segmenter` makes; their rules are tested with `verl_prpo.segmentation`."""

    @pytest.fixture
    def rows(self):
        mask = torch.ones(2, 40, dtype=torch.long)
        mask[1, 30:] = 0
        signal = torch.zeros(2, 40)
        signal[:, 12] = 5.0
        signal[:, 25] = 4.0
        return Rows(["a_0_0", "a_1_0"], [True] * 2, [QUESTION] * 2, [[1] * 40, [1] * 30], mask, signal)

    @pytest.mark.parametrize("segmenter", ["entropy", "surprisal"])
    @pytest.mark.parametrize("rule", ["paper", "greedy"])
    def test_the_signals_spikes(self, rows, segmenter, rule):
        settings = PrpoConfig(segmenter=segmenter, max_anchors=2, min_gap=10, anchor_rule=rule)
        assert [row.nonzero()[:, 0].tolist() for row in segment(rows, settings, 0)] == [[0, 12, 25]] * 2

    def test_uniform_and_single(self, rows):
        assert segment(rows, PrpoConfig(segmenter="uniform", num_segments=4), 0).sum(1).tolist() == [4, 4]
        assert segment(rows, WHOLE, 0).sum(1).tolist() == [1, 1]

    def test_random_is_repeatable_by_its_seed(self, rows):
        settings = PrpoConfig(segmenter="random", num_segments=5)
        first = segment(rows, settings, seed=3)
        assert torch.equal(first, segment(rows, settings, seed=3))
        assert not torch.equal(first, segment(rows, settings, seed=4))
        assert first.sum(1).tolist() == [5, 5]
