# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The `prpo/*` metrics: one batch worked out by hand, and what must never count or come out as NaN."""

import dataclasses
import inspect
import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from verl_prpo.method.trust import Agreement
from verl_prpo.outcome.verdicts import VerdictReader
from verl_prpo.prm.generated.counts import NAMES as JUDGE_COUNTS
from verl_prpo.prm.results import PrmFailure
from verl_prpo.settings.prpo import PrpoConfig
from verl_prpo.step.credit import OutcomeRewards, ProcessRewards, advantages_of, weighted_outcome
from verl_prpo.step.messages import Scores
from verl_prpo.step.scored_batch import Rollouts, ScoredBatch
from verl_prpo.telemetry.metrics import (
    advantage_metrics,
    prm_metrics,
    score_metrics,
    segment_metrics,
    trust_metrics,
)
from verl_prpo.telemetry.step_report import StepReport

NAMES = {
    *(
        f"prpo/{what}/{how}"
        for what in ("segments", "segments/turns", "segment_length")
        for how in ("mean", "min", "max")
    ),
    *(f"prpo/process_score/{how}" for how in ("mean", "std", "min", "max")),
    *(f"prpo/{what}/{how}" for what in ("process_advantage", "outcome_advantage") for how in ("mean", "std")),
    "prpo/segments/at_min_gap",
    "prpo/segments/turns/unrecognised",
    "prpo/process_outcome_corr",
    "prpo/sign_flip",
    "prpo/group/all_equal",
    "prpo/truncated",
    "prpo/verdict/known",
    "prpo/verdict/right",
    *(
        f"prpo/prm/{what}"
        for what in ("requests", "tokens", "failed", "unread", "abstained", "unfinished", "cache_hit", "empty")
    ),
    *("prpo/prm/hidden", "prpo/prm/windows"),
    *(f"prpo/prm/{kind.value}" for kind in PrmFailure),
}


OF_THOUGHTS = {f"prpo/{what}/hidden/{how}" for what in ("segments", "segment_length") for how in ("mean", "min", "max")}
"""There where thoughts are hidden from the PRM."""

IN_WINDOWS = {"prpo/prm/context/mean", "prpo/prm/context/min"}
"""There where a response was read in windows."""


@dataclasses.dataclass
class Response:
    """One row of a batch: its group, outcome, segments as (length, score) and what the PRM said besides."""

    uid: str
    outcome: float
    segments: list[tuple[int, float | None]]
    tokens: int = 0
    failure: str | None = None
    overlong: bool = False
    cached: bool = False
    parts: dict = dataclasses.field(default_factory=dict)
    truncated: bool = False
    unfinished: bool = False
    hidden: list[bool] = dataclasses.field(default_factory=list)
    windows: int = 0
    seen_from: list[int | None] | None = None


PAGE = Path(__file__).resolve().parent.parent.parent / "docs/metrics.md"

# Under a prior of 0.5 +- 0.25 z is 1.2 and -1.2 in the first row, 0.4 in the second, -0.4 in the last.
BATCH = [
    Response("a", 1.0, [(2, 0.8), (4, 0.2)], tokens=30),
    Response("a", -1.0, [(4, 0.6)], tokens=20),
    Response("b", 1.0, [(2, 0.0)], tokens=999, failure="overlong", overlong=True),
    Response("b", 1.0, [(2, 0.4)], tokens=10),
]


def report(rows: list[Response], **settings) -> StepReport:
    width = max(1, *(sum(length for length, _ in row.segments) for row in rows))
    starts = torch.zeros(len(rows), width, dtype=torch.bool)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    results: list[Scores | None] = []
    for i, row in enumerate(rows):
        at = 0
        for length, _ in row.segments:
            starts[i, at] = True
            mask[i, at : at + length] = 1
            at += length
        scores = None if row.failure else [score for _, score in row.segments]
        texts = ["x" * length for length, _ in row.segments]
        result = Scores(
            texts=texts,
            scores=scores,
            failure=row.failure,
            detail="",
            tokens=row.tokens,
            overlong=row.overlong,
            cached=row.cached,
            unfinished=row.unfinished,
            hidden=row.hidden,
            windows=row.windows,
            seen_from=row.seen_from,
        )
        results.append(result if row.segments else None)
    given = Rollouts(
        keys=[f"{row.uid}_{i}_0" for i, row in enumerate(rows)],
        places=list(range(len(rows))),
        batch_size=len(rows),
        messages=[[]] * len(rows),
        response_ids=[[7] * int(n) for n in mask.sum(1)],
        response_mask=mask,
        signal=None,
        truncated=[row.truncated for row in rows],
    )
    scored = ScoredBatch(given, starts, results, 0.0, 0.0)
    outcome = torch.tensor([row.outcome for row in rows])
    index = np.array([row.uid for row in rows], dtype=object)
    verdicts = VerdictReader().read(outcome.tolist(), [row.parts for row in rows])
    outcomes = OutcomeRewards(outcome, torch.tensor(verdicts.agree(index)), torch.tensor(given.truncated))
    rewards = ProcessRewards(scored.token_scores(), starts, scored.read_tokens(), 0.5, 0.25, outcomes)
    prpo = PrpoConfig(**settings)
    weighted = weighted_outcome(prpo, outcome, outcomes)
    advantages = advantages_of(rewards, prpo, weighted, mask, index)
    return StepReport(scored, rewards, prpo, outcome, advantages, mask, index, verdicts)


@pytest.fixture(scope="module")
def found() -> dict[str, float]:
    return report(BATCH).metrics()


class TestByHand:
    def test_segments_are_counted_per_response(self, found):
        spread = [found[f"prpo/segments/{how}"] for how in ("mean", "min", "max")]
        assert spread == pytest.approx([5 / 4, 1, 2])

    def test_at_min_gap_is_the_share_of_segments_before_another_that_are_as_short_as_is_allowed(self):
        rows = [Response("a", 1.0, [(2, 0.1), (4, 0.2), (2, 0.3)]), Response("a", 0.0, [(2, 0.1), (2, 0.9)])]
        name = "prpo/segments/at_min_gap"
        assert report(rows, min_gap=2).metrics()[name] == pytest.approx(2 / 3)
        assert report(rows, min_gap=4).metrics()[name] == pytest.approx(1 / 3)
        assert report(rows, min_gap=2, segmenter="surprisal").metrics()[name] == pytest.approx(2 / 3)
        # Without a gap, or without cuts, there is nothing to say.
        for settings in ({"segmenter": "text", "min_gap": 2}, {"min_gap": 1}):
            assert name not in report(rows, **settings).metrics()
        assert name not in report([Response("a", 1.0, [(2, 0.1)])], min_gap=2).metrics()

    def test_segment_lengths_are_in_tokens_and_one_per_segment(self, found):
        spread = [found[f"prpo/segment_length/{how}"] for how in ("mean", "min", "max")]
        assert spread == pytest.approx([(2 + 4 + 4 + 2 + 2) / 5, 2, 4])

    def test_process_scores_are_those_of_the_segments_that_have_one(self, found):
        spread = [found[f"prpo/process_score/{how}"] for how in ("mean", "std", "min", "max")]
        assert spread == pytest.approx([0.5, math.sqrt((0.3**2 + 0.3**2 + 0.1**2 + 0.1**2) / 4), 0.2, 0.8])

    def test_process_advantage_is_z_over_the_tokens_that_have_one(self, found):
        z = [1.2] * 2 + [-1.2] * 4 + [0.4] * 4 + [-0.4] * 2
        assert found["prpo/process_advantage/mean"] == pytest.approx(np.mean(z))
        assert found["prpo/process_advantage/std"] == pytest.approx(np.std(z))

    def test_outcome_advantage_is_over_all_valid_tokens(self, found):
        beta = [1.0] * 6 + [-1.0] * 4 + [0.0] * 4
        assert found["prpo/outcome_advantage/mean"] == pytest.approx(np.mean(beta))
        assert found["prpo/outcome_advantage/std"] == pytest.approx(np.std(beta))

    def test_sign_flip_is_the_share_of_tokens_on_which_grpo_would_push_the_other_way(self, found):
        # GRPO pushes row 0 up; its second segment has 1 - 1.2 < 0, 4 of 14 tokens. Group b has no GRPO signal.
        assert found["prpo/sign_flip"] == pytest.approx(4 / 14)

    def test_process_outcome_corr_is_pearsons_over_scored_responses(self, found):
        expected = np.corrcoef([0.5, 0.6, 0.4], [1.0, -1.0, 1.0])[0, 1]
        assert expected == pytest.approx(-0.8660254)
        assert found["prpo/process_outcome_corr"] == pytest.approx(expected)

    def test_all_equal_is_the_share_of_groups_whose_outcomes_agree(self, found):
        assert found["prpo/group/all_equal"] == pytest.approx(1 / 2)

    def test_every_request_is_scored_or_failed_and_every_rollout_asked_about_or_empty(self):
        kinds = [kind.value for kind in PrmFailure]
        failed = [Response("a", 1.0, [(2, 0.5)], failure=k, overlong=k == "overlong") for k in [*kinds, kinds[1]]]
        scored = [*BATCH[:2], Response("c", 1.0, [(1, None)], overlong=True, cached=True)]
        metrics = report([*failed, *scored, Response("c", 0.0, [])]).metrics()
        named = {kind: metrics[f"prpo/prm/{kind}"] for kind in kinds}
        assert named == {**dict.fromkeys(kinds, 1), kinds[1]: 2, "overlong": 2}
        assert metrics["prpo/prm/failed"] == len(failed) == sum(named.values()) - 1  # one that was scored all the same
        assert metrics["prpo/prm/requests"] == len(failed) + len(scored)
        assert metrics["prpo/prm/requests"] + metrics["prpo/prm/empty"] == len(failed) + len(scored) + 1
        assert metrics["prpo/prm/cache_hit"] == pytest.approx(1 / (len(failed) + len(scored)))

    def test_unread_segments_are_counted_and_in_no_mean(self, found):
        beyond = dataclasses.replace(BATCH[3], segments=[(2, 0.4), (5, None), (1, None)], overlong=True)
        metrics = report([*BATCH[:3], beyond]).metrics()
        assert (metrics["prpo/prm/unread"], metrics["prpo/prm/overlong"]) == (2, 2)
        names = [*(f"prpo/process_score/{how}" for how in ("mean", "std", "min", "max")), "prpo/process_outcome_corr"]
        assert {name: metrics[name] for name in names} == pytest.approx({name: found[name] for name in names})

    def test_segments_to_which_a_function_gives_none_are_counted_apart_and_in_no_mean(self, found):
        judged = dataclasses.replace(BATCH[3], segments=[(2, 0.4), (5, None), (1, None)])
        metrics = report([*BATCH[:3], judged]).metrics()
        assert metrics["prpo/prm/abstained"] == 2
        assert metrics["prpo/prm/unread"] == found["prpo/prm/unread"]
        names = [f"prpo/process_score/{how}" for how in ("mean", "std", "min", "max")]
        assert {name: metrics[name] for name in names} == pytest.approx({name: found[name] for name in names})

    def test_a_response_of_which_nothing_was_read_is_scored_but_in_no_mean_or_correlation(self, found):
        nothing = Response("b", 1.0, [(3, None)], overlong=True)
        metrics = report([*BATCH, nothing]).metrics()
        assert (metrics["prpo/prm/requests"], metrics["prpo/prm/failed"], metrics["prpo/prm/unread"]) == (5, 1, 1)
        names = [
            *(f"prpo/process_score/{how}" for how in ("mean", "std", "min", "max")),
            *("prpo/process_outcome_corr", "prpo/process_advantage/mean", "prpo/process_advantage/std"),
        ]
        assert {name: metrics[name] for name in names} == pytest.approx({name: found[name] for name in names})

    def test_the_prm_is_counted_in_requests_tokens_and_failures(self, found):
        counts = {name: found[f"prpo/prm/{name}"] for name in ("requests", "tokens", "failed", "overlong", "empty")}
        assert counts == {"requests": 4, "tokens": 1059, "failed": 1, "overlong": 1, "empty": 0}


def test_what_was_earned_has_these_names():
    sums = Agreement(cross=1.0, scores=2.0, verdicts=3.0, cross_squared=0.1, groups=4.0)
    several = trust_metrics({"NAME": sums, "other": sums}, ["NAME", "other"], torch.tensor([0.1, 0.3]))
    assert several.keys() - {"prpo/trust/earned/other"} == OF_TRUST
    assert several["prpo/trust/weight"] == pytest.approx(0.2)
    one = trust_metrics({"NAME": sums}, ["NAME", "NAME"])
    assert one.keys() == OF_TRUST - {"prpo/trust/weight", "prpo/trust/earned/NAME"}
    assert one["prpo/trust/correlation"] == pytest.approx(1 / 6**0.5)
    nothing = trust_metrics({}, ["NAME"])
    assert nothing == {"prpo/trust/earned": 0.0, "prpo/trust/correlation": 0.0, "prpo/trust/mixed_groups": 0.0}
    assert trust_metrics({}, []) == {}


def test_the_names_are_these_and_no_others(found):
    assert set(found) == NAMES


def test_values_are_plain_numbers_as_verls_aggregator_takes_them(found):
    assert all(type(value) in (int, float) for value in found.values())


def test_the_order_of_rows_changes_nothing(found):
    assert report([BATCH[i] for i in (3, 0, 2, 1)]).metrics() == pytest.approx(found)


def test_a_response_without_text_is_not_a_request():
    metrics = report([*BATCH, Response("b", 1.0, [])]).metrics()
    assert (metrics["prpo/prm/requests"], metrics["prpo/prm/empty"]) == (4, 1)


def test_the_outcome_weight_is_in_the_outcome_advantage():
    doubled = report(BATCH, outcome_weight=2.0).metrics()
    name = "prpo/outcome_advantage/std"
    assert doubled[name] == pytest.approx(2 * report(BATCH).metrics()[name])


@pytest.mark.parametrize("value", [0.1, 0.7, 0.9, -0.35])
def test_rounding_in_groups_that_agree_flips_no_sign(value):
    # The mean of seven times 0.9 is not 0.9 in fp32: GRPO divides what is left by 1e-6, and its sign is noise.
    rows = [Response("a", value, [(2, score)]) for score in (0.9, 0.1, 0.8, 0.2, 0.7, 0.3, 0.6)]
    metrics = report(rows).metrics()
    assert metrics["prpo/sign_flip"] == 0.0
    assert metrics["prpo/group/all_equal"] == 1.0


class TestRightAndWrong:
    """Agreement and correlation are of verdicts, whatever penalties do to the rewards."""

    PENALISED = (
        Response("a", -1.0, [(2, 0.1)], parts={"acc": 0}),
        Response("a", -1.5, [(2, 0.2)], parts={"acc": 0}),
        Response("b", -0.2, [(2, 0.9)], parts={"acc": 1}),
        Response("b", -1.0, [(2, 0.3)], parts={"acc": 0}),
    )

    def test_a_group_of_wrong_responses_agrees_though_a_penalty_spreads_their_rewards(self):
        metrics = report(list(self.PENALISED)).metrics()
        assert metrics["prpo/group/all_equal"] == pytest.approx(1 / 2)
        assert (metrics["prpo/verdict/known"], metrics["prpo/verdict/right"]) == (1.0, pytest.approx(1 / 4))

    def test_the_correlation_is_with_the_verdicts(self):
        expected = np.corrcoef([0.1, 0.2, 0.9, 0.3], [0, 0, 1, 0])[0, 1]
        assert report(list(self.PENALISED)).metrics()["prpo/process_outcome_corr"] == pytest.approx(expected)

    def test_without_verdicts_it_is_with_the_rewards_and_nothing_is_called_right(self):
        rows = [dataclasses.replace(row, parts={}) for row in self.PENALISED]
        metrics = report(rows).metrics()
        expected = np.corrcoef([0.1, 0.2, 0.9, 0.3], [-1.0, -1.5, -0.2, -1.0])[0, 1]
        assert metrics["prpo/process_outcome_corr"] == pytest.approx(expected)
        assert metrics["prpo/verdict/known"] == 0.0 and "prpo/verdict/right" not in metrics
        assert metrics["prpo/group/all_equal"] == 0.0


def test_responses_that_were_cut_off_are_counted():
    cut = Response("a", -1.0, [(4, 0.6), (2, None)], truncated=True, unfinished=True)
    metrics = report([*BATCH[:1], cut]).metrics()
    assert (metrics["prpo/truncated"], metrics["prpo/prm/unfinished"], metrics["prpo/prm/unread"]) == (0.5, 1, 0)


def test_a_group_of_one_has_a_grpo_signal_whose_sign_can_flip():
    assert report([Response("a", 1.0, [(2, 0.0)])]).metrics()["prpo/sign_flip"] == 1.0


class TestNothingToMeasure:
    """A key is left out, or 0 where 0 is the truth; never NaN, which would spoil a run's plots without a word."""

    @pytest.mark.parametrize(
        "rows",
        [
            pytest.param([dataclasses.replace(row, failure="timeout") for row in BATCH], id="nothing scored"),
            pytest.param([Response("a", 1.0, []), Response("a", -1.0, [])], id="empty responses alone"),
            pytest.param(BATCH[:1], id="one response"),
            pytest.param([BATCH[0], BATCH[0]], id="one outcome"),
        ],
    )
    @pytest.mark.parametrize("process_norm", ["prior", "group", "group_mean"])
    def test_every_value_is_finite(self, rows, process_norm):
        metrics = report(rows, process_norm=process_norm).metrics()
        assert set(metrics) <= NAMES
        assert all(math.isfinite(value) for value in metrics.values())

    def test_what_was_not_scored_has_no_score_z_or_correlation(self):
        metrics = report([dataclasses.replace(row, failure="timeout") for row in BATCH]).metrics()
        absent = ("prpo/process_score", "prpo/process_advantage", "prpo/process_outcome_corr")
        assert not [name for name in metrics if name.startswith(absent)]
        assert (metrics["prpo/prm/failed"], metrics["prpo/prm/timeout"]) == (4, 4)

    def test_hidden_thoughts_are_in_no_statistic_and_are_not_unread(self):
        thought = [Response("a", 1.0, [(90, None), (2, 0.75), (4, 0.25)], hidden=[True, False, False])]
        alone = [Response("a", 1.0, [(2, 0.75), (4, 0.25)])]
        hidden, plain = report(thought).metrics(), report(alone).metrics()
        assert (hidden["prpo/prm/hidden"], hidden["prpo/prm/unread"]) == (1, 0)
        for name in plain:
            if name.startswith(("prpo/process_", "prpo/outcome_")):
                assert hidden[name] == pytest.approx(plain[name], abs=1e-6), name
        pair = [*thought, Response("a", -1.0, [(3, 0.5)])]
        made = report(pair, process_norm="group", credit="process")
        without = report([*alone, pair[1]], process_norm="group", credit="process")
        assert made.advantages[0, :90].abs().max() == 0
        assert made.advantages[0, 90:96].tolist() == pytest.approx(without.advantages[0, :6].tolist(), abs=1e-6)
        outcome = report(pair).outcome_advantage
        assert report(pair).advantages[0, :90].tolist() == outcome[0, :90].tolist() == [1.0] * 90

    def test_segment_metrics_are_of_judged_segments_and_thoughts_are_counted_by_themselves(self):
        rows = [
            Response("a", 1.0, [(90, None), (2, 0.75), (4, 0.25)], hidden=[True, False, False]),
            Response("a", -1.0, [(3, 0.5), (7, None), (5, 0.5), (10, None)], hidden=[False, True, False, True]),
            Response("a", -1.0, [(8, 0.5)], hidden=[False]),
            Response("a", -1.0, [(50, None)], hidden=[True]),
        ]
        found = report(rows, min_gap=2).metrics()
        spread = {
            "segments": [(2 + 2 + 1 + 0) / 4, 0, 2],
            "segment_length": [(2 + 4 + 3 + 5 + 8) / 5, 2, 8],
            "segments/hidden": [(1 + 2 + 0 + 1) / 4, 0, 2],
            "segment_length/hidden": [(90 + 7 + 10 + 50) / 4, 7, 90],
        }
        for name, expected in spread.items():
            assert [found[f"prpo/{name}/{how}"] for how in ("mean", "min", "max")] == pytest.approx(expected), name
        # One pair of neighbours that are both judged: the edges of a thought are no cuts of the segmenter.
        assert found["prpo/segments/at_min_gap"] == 1
        assert not OF_THOUGHTS & set(report([Response("a", 1.0, [(2, 0.1)])]).metrics())
        none_there = report([Response("a", 1.0, [(2, 0.1)], hidden=[False])]).metrics()
        assert none_there["prpo/segments/hidden/max"] == 0 and "prpo/segment_length/hidden/mean" not in none_there

    def test_windows_and_how_much_a_score_had_seen(self):
        read = Response("a", 1.0, [(4, 0.5)] * 5, overlong=True, windows=2, seen_from=[0, 0, 1, 2, 4])
        none = Response("a", 1.0, [(4, 0.5)] * 2)
        metrics = report([read, none, dataclasses.replace(read, hidden=[False] * 5)]).metrics()
        assert (metrics["prpo/prm/windows"], metrics["prpo/prm/overlong"]) == (4, 2)
        assert metrics["prpo/prm/context/mean"] == pytest.approx((1 + 1 / 2 + 1 / 3 + 0) / 4)
        assert metrics["prpo/prm/context/min"] == 0
        assert "prpo/prm/context/mean" not in report([none]).metrics()
        hidden = dataclasses.replace(read, hidden=[True] + [False] * 4, seen_from=[None, 1, 1, 2, 4])
        shares = report([hidden]).metrics()["prpo/prm/context/mean"]
        assert shares == pytest.approx((1 + 1 / 2 + 0) / 3)  # nothing before the second segment is shown

    def test_each_function_takes_an_empty_batch(self):
        none, row = torch.zeros(0, 3), torch.zeros(0)
        nobody = torch.zeros(0, dtype=torch.bool)
        assert segment_metrics(none.bool(), none.long(), 10) == {}
        assert score_metrics([]) == {}
        assert set(prm_metrics([], 0, 0).values()) == {0}
        metrics = advantage_metrics(
            advantages=none,
            process_advantage=none,
            outcome_advantage=none,
            grpo_advantage=none,
            mean_scores=row,
            token_rewards=row,
            right=row,
            agree=nobody,
            response_mask=none.long(),
            index=np.array([], dtype=object),
            scored=nobody,
            read=none.bool(),
            truncated=nobody,
        )
        assert set(metrics.values()) == {0.0}


def test_tool_tokens_are_no_part_of_a_segments_length():
    starts = torch.tensor([[1, 0, 0, 0, 1, 0]], dtype=torch.bool)
    mask = torch.tensor([[1, 1, 0, 0, 1, 1]])
    metrics = segment_metrics(starts, mask)
    assert (metrics["prpo/segment_length/min"], metrics["prpo/segment_length/max"]) == (2, 2)


OF_TRUST = {
    f"prpo/trust/{name}"
    for name in ("earned", "correlation", "mixed_groups", "standard_error", "weight", "earned/NAME")
}


class TestPage:
    """docs/metrics.md against the code."""

    def named_in_code(self) -> set[str]:
        """What `StepReport` gives, and what the trainer sets by itself."""
        from verl_prpo.trainer import mixin as trainer

        by_trainer = re.findall(r'metrics\["((?:prpo/|timing_s/prm_)[^"]+)"\] =', inspect.getsource(trainer))
        assert len(by_trainer) >= 5
        of_a_judge = {f"prpo/prm/judge/{name}" for name in JUDGE_COUNTS}
        return NAMES | OF_THOUGHTS | IN_WINDOWS | of_a_judge | OF_TRUST | set(by_trainer)

    def named_on_page(self) -> set[str]:
        """Names in the first column of the tables, `{a,b}` spelled out."""
        cells = [line.split("|")[1] for line in PAGE.read_text().splitlines() if line.startswith("|")]
        names = re.findall(r"`((?:prpo/|timing_s/prm_)[^`]+)`", " ".join(cells))
        return {name for written in names for name in spelled_out(written)}

    def test_every_metric_is_on_the_page_and_nothing_else(self):
        assert self.named_on_page() == self.named_in_code()

    def test_no_other_module_sets_a_metric(self):
        package = Path(inspect.getfile(StepReport)).parent.parent
        found = [file.name for file in package.rglob("*.py") if re.search(r'metrics\[f?"prpo/', file.read_text())]
        assert sorted(found) == ["metrics.py", "mixin.py"]

    def test_every_alarm_is_on_the_page_with_its_bounds(self):
        from verl_prpo.telemetry import alarm_rules as alarms

        text = PAGE.read_text()
        rows = dict(re.findall(r"^\| `([a-z_]+)` \| (.*)$", text, flags=re.MULTILINE))
        assert set(rows) == {*alarms.RULES, alarms.half_weight.__name__}
        for name, bound in (
            ("prm_up_outcome_down", f"{alarms.TREND}"),
            ("prm_up_outcome_down", f"{alarms.LEAST_RISE}"),
            ("prm_up_outcome_down", f"{alarms.LEAST_FALL:.0%}"),
            ("anti_correlation", f"{alarms.CORRELATION}"),
            ("anti_correlation", f"{alarms.CERTAIN:g} standard errors"),
            ("sign_flips", f"{alarms.SIGN_FLIPS:.0%}"),
            ("all_equal_groups", f"{alarms.ALL_EQUAL:.0%}"),
            ("truncated_responses", f"{alarms.TRUNCATED:.0%}"),
            ("min_gap_segments", f"{alarms.AT_MIN_GAP:.0%}"),
            ("length_collapse", f"{alarms.SHORTER:.0%}"),
            ("entropy_collapse", f"{alarms.SURER:.0%}"),
        ):
            assert bound in rows[name], (name, bound)
        assert f"alarm_window={PrpoConfig().alarm_window}" in text


def spelled_out(written: str) -> list[str]:
    """`a/{b,c}` as a/b and a/c."""
    parts = [part.strip("{}").split(",") for part in re.split(r"(\{[^}]*\})", written)]
    return ["".join(chosen) for chosen in itertools.product(*parts)]


def test_verls_tensorboard_logger_writes_every_metric_as_it_is(found, tmp_path, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from verl.utils.tracking import Tracking

    monkeypatch.setenv("TENSORBOARD_DIR", str(tmp_path))
    logger = Tracking("project", "experiment", default_backend=["tensorboard"], config={})
    for step in (1, 2):
        logger.log(data={name: step * value for name, value in found.items()}, step=step)
    logger.finish()
    events = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0}).Reload()
    assert set(events.Tags()["scalars"]) == set(found) == NAMES
    for name, value in found.items():
        logged = [(event.step, event.value) for event in events.Scalars(name)]
        assert logged == [(1, pytest.approx(value, rel=1e-6)), (2, pytest.approx(2 * value, rel=1e-6))]
