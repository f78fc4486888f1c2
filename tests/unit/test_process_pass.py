# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The process pass through verl's real reward-loop workers to a real PRM on a local Ray: which rows are asked about,
where their scores land, and what becomes of failures."""

import json
import time
from dataclasses import dataclass, replace

import pytest
import ray
import torch
from plumbing import Parts, local_ray
from verl.experimental.reward_loop.reward_loop import RewardLoopWorker
from verl.utils import hf_tokenizer

from verl_prpo.method.segmentation import segment_bounds
from verl_prpo.prm.conversation import Heard
from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.replicas.start import start_replicas
from verl_prpo.prm.results import PrmRequest
from verl_prpo.settings.advice import for_past_window
from verl_prpo.settings.prpo import PrmConfig, PrpoConfig
from verl_prpo.step.messages import Scores
from verl_prpo.step.scored_batch import Rollouts, ScoredBatch
from verl_prpo.telemetry.announcements import Announcements
from verl_prpo.text.decoding import segment_texts, token_texts
from verl_prpo.trainer import process_pass
from verl_prpo.trainer.process_pass import PendingScores, collect, launch, segment, take_streamed
from verl_prpo.trainer.reward_manager import wire

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
    workers: list
    hasty: list  # with a short timeout


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
        yield Cluster(parts, hf_tokenizer(str(parts.policy)), workers, hasty), replica


@pytest.fixture
def here(cluster):
    cluster[0].parts.forget()
    return cluster[0]


@pytest.fixture(scope="module")
def engine(parts):
    return parts.engine()


def rows_of(texts, tokenizer, *, eos=True) -> Rollouts:
    """Responses in the order given."""
    ids = [tokenizer.encode(text, add_special_tokens=False) + [tokenizer.eos_token_id] * eos for text in texts]
    lengths = [len(row) for row in ids]
    width = max([1, *lengths])
    mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
    return Rollouts(
        keys=[f"u{i}_0_0" for i in range(len(texts))],
        places=list(range(len(texts))),
        batch_size=len(texts),
        messages=[QUESTION] * len(ids),
        response_ids=ids,
        response_mask=mask,
        signal=None,
        truncated=[False] * len(ids),
    )


def score(rows: Rollouts, workers, settings=UNIFORM, timeout=120.0) -> ScoredBatch:
    return collect(launch(rows, segment(rows, settings), workers), timeout)


def expected(rows: Rollouts, starts, row: int, tokenizer, engine) -> tuple[list[str], list[float]]:
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
            result = scored.scores[row]
            decoded = here.tokenizer.decode(rows.response_ids[row], skip_special_tokens=True)
            assert result.texts == texts and "".join(texts) == decoded
            assert decoded.replace("<|im_end|>", "").replace("<|im_start|>", "") == decoded
            assert result.scores == pytest.approx(scores, abs=1e-5)
            bounds = segment_bounds(scored.segment_starts[row], len(rows.response_ids[row]))
            assert len(bounds) == len(scores)
            for (begin, end), wanted in zip(bounds, scores, strict=True):
                assert tokens[row, begin:end].tolist() == pytest.approx([wanted] * (end - begin), abs=1e-5), text
        assert len(set(round(value, 4) for result in scored.scores for value in result.scores)) > len(TEXTS)

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
            assert len(scores) == 3 and scored.scores[row].scores == pytest.approx(scores, abs=1e-5)
        assert "<extra_0>" in scored.scores[0].texts[0]

    def test_tool_tokens_are_heard_by_the_prm_and_are_of_no_segments_words(self, here, engine):
        rows = rows_of(["We add. tool says 17. So the sum is 17."], here.tokenizer)
        length = len(rows.response_ids[0])
        rows.response_mask[0, length // 3 : 2 * length // 3] = 0
        scored = score(rows, here.workers, PrpoConfig(segmenter="turns"))
        (result,) = scored.scores
        (heard,) = result.interludes
        assert (heard.begin, heard.end) == (length // 3, 2 * length // 3)
        assert "".join(result.texts) == "We add. tool says 17. So the sum is 17."
        tokens = token_texts(here.tokenizer, rows.response_ids[0])
        said = "".join(tokens[heard.begin : heard.end])
        assert heard.messages == [("tool", said.strip())] and not heard.recognised  # plain text, no turn's head
        own = ["".join(tokens[: heard.begin]), "".join(tokens[heard.end :])]
        request = PrmRequest(QUESTION, own, heard=[Heard(1, 0, "tool", said.strip())])
        (wanted,) = engine.score([request])
        assert result.scores == pytest.approx(wanted.scores, abs=1e-5)

    def test_times_are_those_of_waiting_and_of_working(self, here):
        rows = rows_of(TEXTS[:2], here.tokenizer)
        pending = launch(rows, segment(rows, UNIFORM), here.workers)
        ray.wait(pending.answers, num_returns=len(pending.answers), timeout=60)
        scored = collect(pending, 60.0)
        assert scored.wait_seconds < 1  # what was done before collect is not exposed to the step
        assert 0 < scored.busy_seconds < 60


class TestWhoIsAsked:
    def test_a_response_without_a_valid_token_never_reaches_the_prm(self, here):
        rows = rows_of(TEXTS[:3], here.tokenizer)
        rows.response_mask[1] = 0
        scored = score(rows, here.workers)
        decoded = [here.tokenizer.decode(rows.response_ids[i], skip_special_tokens=True) for i in (0, 2)]
        assert sorted(here.parts.asked()) == sorted(decoded)
        assert scored.scored.tolist() == [True, False, True]
        assert [result is None for result in scored.scores] == [False, True, False]
        assert not scored.token_scores()[1].any()

    @pytest.mark.parametrize("count", [1, 3])
    def test_batches_that_do_not_divide_among_the_workers(self, here, count):
        scored = score(rows_of(TEXTS[:count], here.tokenizer), here.workers)
        assert scored.scored.all() and len(scored.scores) == count
        assert len(here.parts.asked()) == count

    def test_a_batch_without_rollouts_asks_nobody_and_returns(self, here):
        scored = score(rows_of([], here.tokenizer), here.workers)
        assert not scored.scored.any() and scored.busy_seconds == 0
        assert not scored.token_scores().any()
        assert here.parts.asked() == []

    @pytest.mark.parametrize("text", ["", "<eos>"])
    def test_an_empty_response_has_neither_scores_nor_a_failure(self, here, text):
        rows = rows_of(["", TEXTS[0]], here.tokenizer, eos=text == "<eos>")
        scored = score(rows, here.workers)
        assert scored.scored.tolist() == [False, True]
        assert scored.scores[0] is None or (scored.scores[0].scores, scored.scores[0].failure) == (None, None)
        assert not scored.token_scores()[0].any()
        assert len(here.parts.asked()) == 1


class TestStreamed:
    """Rollouts that were cut and scored as they finished are not asked about again."""

    FINGERPRINT = "these settings"

    def brought(self, texts, scores, starts=(0, 3), fingerprint=FINGERPRINT) -> Scores:
        result = Scores(texts=list(texts), scores=list(scores), tokens=9, arrived=10.0, asked=11.0, answered=12.0)
        return replace(result, starts=list(starts), fingerprint=fingerprint)

    def test_only_rows_that_lack_a_result_of_these_settings_are_asked_about(self, here, engine):
        rows = rows_of(TEXTS[:4], here.tokenizer)
        other = self.brought(["a", "b"], [0.9, 0.9], fingerprint="of an earlier run")
        uncut = replace(Scores(texts=[], failure="bad_input"), starts=None, fingerprint=self.FINGERPRINT)
        own = self.brought(["First", " we"], [0.25, 0.75])
        streamed = [own, other, None, uncut]
        starts, results, lacking = take_streamed(rows, streamed, self.FINGERPRINT)
        assert (list(results), lacking) == ([0], [1, 2, 3])
        assert starts[0].nonzero()[:, 0].tolist() == [0, 3] and not starts[1:].any()
        starts[lacking] = segment(rows.select(lacking), UNIFORM)
        pending = launch(rows, starts, here.workers, results)
        scored = collect(pending, 120.0)
        decoded = [here.tokenizer.decode(rows.response_ids[i], skip_special_tokens=True) for i in (1, 2, 3)]
        assert sorted(here.parts.asked()) == sorted(decoded)
        assert scored.scores[0] is own
        assert scored.scored.tolist() == [True] * 4
        for row in (1, 2, 3):
            _, scores = expected(rows, scored.segment_starts, row, here.tokenizer, engine)
            assert scored.scores[row].scores == pytest.approx(scores, abs=1e-5)

    def test_a_failure_that_was_streamed_is_final(self, here):
        rows = rows_of(TEXTS[:1], here.tokenizer)
        failed = replace(
            Scores(texts=["x"], failure="timeout", detail="too slow"), starts=[0], fingerprint=self.FINGERPRINT
        )
        starts, results, lacking = take_streamed(rows, [failed], self.FINGERPRINT)
        assert lacking == []
        scored = collect(launch(rows, starts, here.workers, results), 120.0)
        assert here.parts.asked() == [] and scored.scores[0].failure == "timeout"

    def test_a_failure_of_an_earlier_run_is_asked_about_again_but_its_scores_are_kept(self, here):
        rows = rows_of(TEXTS[:3], here.tokenizer)
        before = Scores(texts=["x"], failure="refused", detail="connection refused", answered_at=10.0)
        since = Scores(texts=["x"], failure="refused", detail="connection refused", answered_at=30.0)
        streamed = [replace(result, starts=[0], fingerprint=self.FINGERPRINT) for result in (before, since)]
        _, results, lacking = take_streamed(rows, [*streamed, self.brought("ab", [0.1, 0.2])], self.FINGERPRINT, 20.0)
        assert lacking == [0] and list(results) == [1, 2]

    def test_the_prm_held_up_the_step_for_no_longer_than_the_trainer_waited(self):
        streamed = {0: Scores(texts=["a"], scores=[0.5], arrived=10, asked=10, answered=20)}
        for waited, exposed in ((15.0, 10.0), (4.0, 4.0), (0.0, 0.0)):
            pending = PendingScores(blank_rows(1), torch.ones(1, 1).bool(), [], [], time.monotonic(), streamed, waited)
            scored = collect(pending, 1.0)
            assert scored.wait_seconds == pytest.approx(exposed, abs=0.5)
            assert scored.busy_seconds == pytest.approx(10.0)

    def test_times_of_nodes_whose_clocks_differ_are_never_subtracted(self):
        """The clock of the second node is a day ahead; each node's own seconds are what counts."""
        day = 86400.0
        results = {
            0: Scores(texts=["a"], scores=[0.5], arrived=10, asked=10, answered=12, clock="one"),
            1: Scores(texts=["a"], scores=[0.5], arrived=day + 8, asked=day + 8, answered=day + 11, clock="two"),
            2: Scores(texts=["a"], scores=[0.5], arrived=day + 9, asked=day + 9, answered=day + 11, clock="two"),
        }
        pending = PendingScores(blank_rows(3), torch.zeros(3, 1).bool(), [], [], time.monotonic(), results)
        scored = collect(pending, 1.0)
        assert scored.busy_seconds == pytest.approx(3.0)
        assert scored.wait_seconds == pytest.approx(2.0, abs=0.5)

    def test_a_result_survives_the_way_as_plain_data(self):
        brought = self.brought(["a", "b"], [0.5, None])
        again = Scores.from_dict(json.loads(json.dumps(brought.as_dict())))
        assert again == brought and again.answered == 12.0

    def test_a_failure_of_a_kind_that_another_version_knows_is_a_failure_here(self):
        assert Scores.from_dict({"failure": "melted", "detail": "hot"}).failure == "engine_error"

    def test_times_are_what_the_step_waited_for_and_what_the_prm_worked(self):
        def result(arrived, asked, answered):
            return Scores(texts=["a"], scores=[0.5], arrived=arrived, asked=asked, answered=answered)

        # The PRM had responses from 10 to 14 and from 20 to 23; the last response came at 21.
        results = {0: result(10, 10, 12), 1: result(11, 11, 14), 2: result(20, 20, 22), 3: result(21, 21, 23)}
        pending = PendingScores(blank_rows(4), torch.zeros(4, 1).bool(), [], [], time.monotonic(), results)
        scored = collect(pending, 1.0)
        assert scored.busy_seconds == pytest.approx(7.0)
        assert scored.wait_seconds == pytest.approx(2.0, abs=0.5)
        hidden = {0: result(10, 10, 12), 1: Scores(texts=[""], arrived=15, asked=15, answered=15)}
        pending = PendingScores(blank_rows(2), torch.zeros(2, 1).bool(), [], [], time.monotonic(), hidden)
        scored = collect(pending, 1.0)
        assert scored.busy_seconds == pytest.approx(2.0) and scored.wait_seconds == pytest.approx(0.0, abs=0.5)


class TestAgain:
    """A batch that comes again keeps its scores."""

    def test_a_second_collect_asks_nobody(self, here):
        rows = rows_of(TEXTS[:3], here.tokenizer)
        pending = launch(rows, segment(rows, UNIFORM), here.workers)
        first = collect(pending, 120.0)
        here.parts.forget()
        assert collect(pending, 120.0) is first and here.parts.asked() == []

    def test_another_order_and_other_padding_take_their_rows_along(self, here):
        scored = score(rows_of(TEXTS[:3], here.tokenizer), here.workers)
        again = scored.arranged(["u2_0_0", "pad_new_0", "u0_0_0", "u1_0_0"])
        assert again.rollouts.keys == ["u2_0_0", "u0_0_0", "u1_0_0"]
        assert (again.rollouts.places, again.rollouts.batch_size) == ([0, 2, 3], 4)
        assert [scores.texts for scores in again.scores] == [scored.scores[row].texts for row in (2, 0, 1)]
        plain = scored.token_scores()
        torch.testing.assert_close(again.token_scores(), plain[[2, 0, 1]])
        spread = again.rollouts.spread(again.token_scores())
        torch.testing.assert_close(spread[[0, 2, 3]], plain[[2, 0, 1]])
        assert spread.shape[0] == 4 and not spread[1].any()
        assert scored.rollouts.keys == ["u0_0_0", "u1_0_0", "u2_0_0"]  # as it was


def blank_rows(count: int) -> Rollouts:
    keys = [f"u{i}_0_0" for i in range(count)]
    mask = torch.ones(count, 1).long()
    return Rollouts(keys, list(range(count)), count, [QUESTION] * count, [[1]] * count, mask, None, [False] * count)


def results_of(*failures: str | None) -> ScoredBatch:
    """A batch whose responses met these failures."""
    results = [
        Scores(texts=["a"], scores=None if failure else [0.5], failure=failure, detail=f"detail {i}")
        for i, failure in enumerate(failures)
    ]
    return ScoredBatch(blank_rows(len(failures)), torch.ones(len(failures), 1).bool(), results, 0.0, 0.0)


class TestPolicy:
    RAISE = PrmConfig(on_error="raise")

    def lenient(self, share: float) -> PrmConfig:
        return PrmConfig(on_error="outcome_only", max_failed_fraction=share)

    def test_raise_names_the_row_the_cause_the_count_and_the_setting(self):
        with pytest.raises(PrmError) as caught:
            results_of(None, "timeout", "refused").require(self.RAISE)
        message = str(caught.value)
        assert message.startswith("the PRM gave no process scores for response u1_0_0: timeout: detail 1.")
        assert "2 failures among 3" in message and "set ++reward.prm.on_error=outcome_only" in message

    def test_outcome_only_puts_up_with_the_share_and_no_more(self):
        half = results_of(None, "timeout", None, "refused")
        half.require(self.lenient(0.5))
        with pytest.raises(PrmError, match=r"2 of 4 .*max_failed_fraction=0\.49 allows.*u1_0_0: timeout: detail 1"):
            half.require(self.lenient(0.49))
        results_of("timeout", "timeout").require(self.lenient(1.0))
        with pytest.raises(PrmError, match="1 of 2"):
            results_of(None, "timeout").require(self.lenient(0.0))

    @pytest.mark.parametrize("settings", [RAISE, PrmConfig(on_error="outcome_only", max_failed_fraction=0.0)])
    def test_a_batch_without_failures_or_without_requests_passes(self, settings):
        results_of(None, None).require(settings)
        ScoredBatch(blank_rows(1), torch.ones(1, 1).bool(), [None], 0.0, 0.0).require(settings)
        empty = ScoredBatch(blank_rows(1), torch.ones(1, 1).bool(), [Scores(texts=[""])], 0.0, 0.0)
        empty.require(settings)
        assert empty.failure_summary() is None and empty.overlong_summary(PrmConfig(), PrpoConfig()) is None

    def test_unread_segments_are_told_in_one_line(self):
        batch = results_of(None, None, None)
        for row, scores in ((1, [0.5, None, None]), (2, [None])):
            batch.scores[row] = Scores(texts=["x"] * len(scores), scores=scores, overlong=True)
        said = "3 segments of 2 responses lie past the PRM's context and get no process score. The first is u1_0_0, "
        helps = "lower data.max_response_length, or choose a PRM with a longer context"
        assert batch.overlong_summary(PrmConfig(), PrpoConfig()) == (
            f"{said}with 2 of 3. Set ++reward.prm.overlong=windows to have the PRM read long responses in windows, "
            f"{helps}"
        )
        judge = batch.overlong_summary(PrmConfig(family="generated_verdicts"), PrpoConfig())
        assert judge == f"{said}with 2 of 3. L{helps[1:]}"  # which cannot read in windows
        batch.scores[1:] = [Scores(texts=["x"], scores=[0.5]), Scores(texts=["x"], failure="overlong")]
        assert batch.overlong_summary(PrmConfig(), PrpoConfig()) is None
        batch.scores[0] = Scores(texts=["a", "b"], scores=[None, 0.5], overlong=True, windows=1, seen_from=[None, 1])
        # A response of which no segment fits is read in no window at all.
        for unread in (batch.scores[0], Scores(texts=["a"], scores=[None], overlong=True)):
            batch.scores[0] = unread
            said = batch.overlong_summary(PrmConfig(overlong="windows"), PrpoConfig())
            assert said is not None
            assert "1 segments of 1 responses do not fit into a window of the PRM (reward.prm.overlong=windows)" in said
            assert "Cut finer (++algorithm.prpo.max_anchors=auto), lower data.max_prompt_length, or" in said

    @pytest.mark.parametrize(
        ("settings", "finer"),
        [
            ({"segmenter": "turns+surprisal"}, "++algorithm.prpo.max_anchors=auto"),
            ({"max_anchors": "auto"}, "lower algorithm.prpo.tokens_per_anchor=100, raise the upper one of"),
            ({"segmenter": "random"}, "raise algorithm.prpo.num_segments=6"),
            ({"segmenter": "turns+text"}, "add to algorithm.prpo.delimiters what ends shorter steps"),
            ({"segmenter": "tokens"}, "add to algorithm.prpo.delimiter_token_ids what"),
            ({"segmenter": "single"}, "++algorithm.prpo.segmenter=text"),
            ({"segmenter": "turns"}, "++algorithm.prpo.segmenter=turns+text"),
        ],
        ids=str,
    )
    def test_finer_cuts_are_those_of_the_segmenter(self, settings, finer):
        assert f"Cut finer ({finer}" in for_past_window(PrpoConfig(**settings))


def test_hidden_thoughts_are_cut_off_and_not_sent(here, engine):
    texts = ["So we try.\n\nOr not.\n</think>\n\nFirst we add.\n\nSo 42.", "It is 42.", "we think on and on"]
    prompts = ["1 + 1?\n<think>\n", "1 + 1?", "1 + 1?\n<think>\n"]
    rows = rows_of(texts, here.tokenizer)
    rows.prompt_ids = [here.tokenizer.encode(prompt, add_special_tokens=False) for prompt in prompts]
    rows = process_pass.with_thoughts(rows, here.tokenizer)
    starts = segment(rows, PrpoConfig(segmenter="text"), here.tokenizer)
    batch = collect(launch(rows, starts, here.workers), 120.0)
    first, second, third = batch.scores
    assert first.texts[0] == "So we try.\n\nOr not.\n</think>" and first.hidden == [True, False, False]
    (direct,) = engine.score([PrmRequest(QUESTION, first.texts[1:])])
    assert first.scores == pytest.approx([None, *direct.scores], abs=1e-5) and first.unread == 0
    assert (second.hidden, len(second.scores)) == ([False], 1)
    assert (third.scores, third.failure, third.hidden) == (None, None, [True])
    read = batch.read_tokens()
    assert torch.equal(read[0], rows.response_mask[0].bool() & ~rows.thoughts[0]) and not read[2].any()
    assert not any("Or not" in asked or "on and on" in asked for asked in here.parts.asked())
    shown = [here.tokenizer.decode(ids, skip_special_tokens=True) for ids in batch.shown_ids()]
    assert shown == ["\n\nFirst we add.\n\nSo 42.", "It is 42.", ""]
    (line,) = Announcements(PrpoConfig(segmenter="text", delimiters=["not."])).on_responses(batch)
    assert "'not.' occurs in none of 3 responses" in line  # only in a thought, where nothing is cut
    assert batch.hidden_starts().sum(1).tolist() == [1, 0, 1]


class TestFailures:
    LONG = "We add the numbers and divide. " * 40

    def test_a_failure_leaves_that_row_without_scores_and_the_others_as_they_are(self, here, engine):
        rows = rows_of([TEXTS[0], "an unreadable text", TEXTS[1]], here.tokenizer)
        scored = score(rows, here.workers)
        assert scored.scored.tolist() == [True, False, True]
        assert (scored.scores[1].scores, scored.scores[1].failure) == (None, "bad_input")
        assert "this text cannot be read" in scored.scores[1].detail
        assert not scored.token_scores()[1].any()
        for row in (0, 2):
            _, scores = expected(rows, scored.segment_starts, row, here.tokenizer, engine)
            assert scored.scores[row].scores == pytest.approx(scores, abs=1e-5)

    def test_segments_past_the_context_are_unread_and_have_no_score(self, here):
        scored = score(rows_of([TEXTS[0], self.LONG], here.tokenizer), here.workers)
        scores = scored.scores[1].scores
        assert [result.overlong for result in scored.scores] == [False, True]
        assert scored.scores[1].failure is None
        assert scores[0] is not None and scores[-1] is None
        last = scored.segment_starts[1].nonzero()[-1, 0]
        tokens = scored.token_scores()
        assert tokens[1, last:].isnan().all() and tokens[1, 0].isfinite()
        assert scored.read_tokens()[1].tolist() == tokens[1].isfinite().tolist()

    def test_fewer_scores_than_segments_name_the_row(self, here):
        rows = rows_of(TEXTS[:2], here.tokenizer)
        starts = segment(rows, UNIFORM)
        results = [
            Scores(texts=["a", "b", "c"], scores=[0.1, 0.2, 0.3]),
            Scores(texts=["a", "b", "c"], scores=[0.1, 0.2]),
        ]
        with pytest.raises(PrmError, match=r"response u1_0_0 \(row 1\) has 3 segments but the PRM gave 2 scores"):
            ScoredBatch(rows, starts, results, 0.0, 0.0).token_scores()

    def test_a_hanging_prm_is_a_failure_of_each_row_in_time(self, here):
        began = time.monotonic()
        scored = score(rows_of([f"wait {HASTY + 3};"], here.tokenizer), here.hasty, WHOLE, timeout=HASTY)
        assert time.monotonic() - began < HASTY + process_pass.COLLECT_GRACE
        assert [(result.scores, result.failure) for result in scored.scores] == [(None, "timeout")]
        with pytest.raises(PrmError, match=r"response u0_0_0: timeout.*reward\.prm\.timeout"):
            scored.require(PrmConfig(on_error="raise"))

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

    def test_a_killed_prm_is_counted_row_by_row_and_nothing_hangs(self, here, cluster):
        """Last in this file: it leaves no PRM behind."""
        ray.kill(cluster[1])
        rows = rows_of(TEXTS[:3], here.tokenizer)
        began = time.monotonic()
        scored = score(rows, here.workers)
        assert {(result.scores, result.failure) for result in scored.scores} == {(None, "replica_died")}
        assert not scored.token_scores().any()
        with pytest.raises(PrmError, match=r"3 of 3 responses.*replica_died"):
            scored.require(PrmConfig(on_error="outcome_only", max_failed_fraction=0.5))
        assert time.monotonic() - began < 60


class TestSegment:
    """Which cuts each `algorithm.prpo.segmenter` makes; their rules are tested with `verl_prpo.method.segmentation`."""

    @pytest.fixture
    def rows(self):
        mask = torch.ones(2, 40, dtype=torch.long)
        mask[1, 30:] = 0
        signal = torch.zeros(2, 40)
        signal[:, 12] = 5.0
        signal[:, 25] = 4.0
        return Rollouts(["a_0_0", "a_1_0"], [0, 1], 2, [QUESTION] * 2, [[1] * 40, [1] * 30], mask, signal, [False] * 2)

    @pytest.mark.parametrize("segmenter", ["entropy", "surprisal"])
    @pytest.mark.parametrize("rule", ["paper", "greedy"])
    def test_the_signals_spikes(self, rows, segmenter, rule):
        settings = PrpoConfig(segmenter=segmenter, max_anchors=2, min_gap=10, anchor_rule=rule)
        assert [row.nonzero()[:, 0].tolist() for row in segment(rows, settings)] == [[0, 12, 25]] * 2

    def test_uniform_and_single(self, rows):
        assert segment(rows, PrpoConfig(segmenter="uniform", num_segments=4)).sum(1).tolist() == [4, 4]
        assert segment(rows, WHOLE).sum(1).tolist() == [1, 1]

    def test_random_is_repeatable_by_the_rows_keys(self, rows):
        settings = PrpoConfig(segmenter="random", num_segments=5)
        first = segment(rows, settings)
        assert torch.equal(first, segment(rows, settings))
        rows.keys = ["b_0_0", "b_1_0"]
        assert not torch.equal(first, segment(rows, settings))
        assert first.sum(1).tolist() == [5, 5]
