# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Properties that hold for every batch: order, padding, holes, tiling, centring, no leaks, no gradient."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from verl_prpo.method.advantage import CREDITS, prpo_advantage
from verl_prpo.method.segmentation import (
    entropy_segments,
    random_segments,
    restrict_segments,
    segment_bounds,
    uniform_segments,
)

settings.register_profile("contracts", max_examples=40, deadline=None, derandomize=True)
settings.load_profile("contracts")

NAN = float("nan")
credits = st.sampled_from(CREDITS)
process_norms = st.sampled_from(["prior", "group", "group_mean"])
outcome_norms = st.sampled_from(["mean", "mean_std"])
rules = st.sampled_from(["paper", "greedy"])


@dataclass
class Case:
    """A batch whose tensors agree with one another: entropies, mask, starts and a score per segment."""

    entropy: torch.Tensor
    mask: torch.Tensor
    starts: torch.Tensor
    scores: torch.Tensor
    rewards: torch.Tensor
    index: np.ndarray

    def advantage(self, **options) -> torch.Tensor:
        return prpo_advantage(self.scores, self.starts, self.rewards, self.mask, self.index, **options)

    def rows(self, order) -> "Case":
        fields = (self.entropy, self.mask, self.starts, self.scores, self.rewards)
        return Case(*(tensor[order] for tensor in fields), self.index[np.asarray(order)])


@st.composite
def batches(draw, min_rows: int = 1, min_length: int = 1, full: bool = False) -> Case:
    bs, length = draw(st.integers(min_rows, 7)), draw(st.integers(min_length, 40))
    source = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    entropy = torch.rand(bs, length, generator=source)
    if draw(st.booleans()):
        entropy = (entropy * 4).round() / 4  # ties
    mask = torch.ones(bs, length, dtype=torch.bool)
    if not full:
        begin, end = torch.randint(0, length + 1, (2, bs, 1), generator=source).sort(0).values
        columns = torch.arange(length)
        mask = (columns >= begin * draw(st.integers(0, 1))) & (columns < end)
        mask &= torch.rand(bs, length, generator=source) >= draw(st.sampled_from([0.0, 0.3]))
    starts = random_segments(mask, draw(st.integers(1, 6)), source)
    # float64, so that every property is one of the formulas and not of fp32's last digits
    per_segment = torch.rand(bs, length + 1, generator=source, dtype=torch.float64)
    scores = per_segment.gather(1, starts.cumsum(1)).masked_fill(~mask, NAN)
    rewards = draw(
        st.sampled_from([torch.randint(0, 2, (bs,), generator=source) * 2.0 - 1, torch.randn(bs, generator=source)])
    ).double()
    groups = draw(st.lists(st.sampled_from("abc"), min_size=bs, max_size=bs))
    return Case(entropy, mask, starts, scores, rewards, np.array(groups, dtype=object))


def close(actual: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-6):
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=tolerance)


class TestRowOrder:
    @given(batches(), st.randoms(), credits, process_norms, outcome_norms)
    def test_permuting_rows_permutes_advantages(self, case, rng, credit, process_norm, outcome_norm):
        order = list(range(len(case.mask)))
        rng.shuffle(order)
        options = dict(credit=credit, process_norm=process_norm, outcome_norm=outcome_norm)
        close(case.rows(order).advantage(**options), case.advantage(**options)[order])

    @given(batches(), st.randoms(), rules, st.integers(0, 7), st.integers(1, 12))
    def test_permuting_rows_permutes_segments(self, case, rng, rule, k, m):
        order = list(range(len(case.mask)))
        rng.shuffle(order)
        whole = entropy_segments(case.entropy, case.mask, k, m, rule)
        assert torch.equal(entropy_segments(case.entropy[order], case.mask[order], k, m, rule), whole[order])

    @given(batches(), credits)
    def test_names_of_groups_do_not_matter(self, case, credit):
        renamed = np.array([{"a": 7, "b": 1, "c": 3}[uid] for uid in case.index])
        other = Case(case.entropy, case.mask, case.starts, case.scores, case.rewards, renamed)
        close(other.advantage(credit=credit), case.advantage(credit=credit))


class TestPadding:
    @given(batches(), st.integers(1, 30), credits, process_norms, outcome_norms)
    def test_wider_rows_change_nothing(self, case, extra, credit, process_norm, outcome_norm):
        wide = Case(
            *(
                torch.nn.functional.pad(tensor, (0, extra), value=value)
                for tensor, value in ((case.entropy, 99.0), (case.mask, 0), (case.starts, 0), (case.scores, NAN))
            ),
            case.rewards,
            case.index,
        )
        options = dict(credit=credit, process_norm=process_norm, outcome_norm=outcome_norm)
        result = wide.advantage(**options)
        close(result[:, :-extra], case.advantage(**options))
        assert torch.equal(result[:, -extra:], torch.zeros_like(result[:, -extra:]))

    @given(batches(), st.integers(1, 30), rules, st.integers(0, 7), st.integers(1, 12))
    def test_wider_rows_keep_their_segments(self, case, extra, rule, k, m):
        entropy = torch.nn.functional.pad(case.entropy, (0, extra), value=99.0)
        mask = torch.nn.functional.pad(case.mask, (0, extra))
        starts = entropy_segments(entropy, mask, k, m, rule)
        assert torch.equal(starts[:, :-extra], entropy_segments(case.entropy, case.mask, k, m, rule))
        assert not starts[:, -extra:].any()

    @given(batches(), st.integers(1, 3), credits, process_norms, outcome_norms)
    def test_padding_rows_of_their_own_uid_change_nothing(self, case, extra, credit, process_norm, outcome_norm):
        length = case.mask.shape[1]
        padded = Case(
            torch.cat([case.entropy, torch.rand(extra, length)]),
            torch.cat([case.mask, torch.zeros(extra, length, dtype=torch.bool)]),
            torch.cat([case.starts, torch.zeros(extra, length, dtype=torch.bool)]),
            torch.cat([case.scores, torch.full((extra, length), NAN)]),
            torch.cat([case.rewards, torch.zeros(extra)]),
            np.append(case.index, ["pad"] * extra),
        )
        options = dict(credit=credit, process_norm=process_norm, outcome_norm=outcome_norm)
        result = padded.advantage(**options)
        close(result[:-extra], case.advantage(**options))
        assert torch.equal(result[-extra:], torch.zeros_like(result[-extra:]))


class TestOutsideTheMask:
    @given(batches(), st.sampled_from([NAN, float("inf"), 1e30, -1.0]), credits, process_norms)
    def test_advantages_are_exactly_zero_whatever_lies_there(self, case, poison, credit, process_norm):
        clean = case.advantage(credit=credit, process_norm=process_norm)
        poisoned = case.scores.masked_fill(~case.mask, poison)
        other = Case(case.entropy, case.mask, case.starts, poisoned, case.rewards, case.index)
        result = other.advantage(credit=credit, process_norm=process_norm)
        assert torch.equal(result, clean)
        assert torch.equal(result[~case.mask], torch.zeros_like(result[~case.mask]))

    @given(batches(min_length=2), credits, process_norms, st.data())
    def test_a_hole_in_the_mask_is_as_if_the_token_were_not_there(self, case, credit, process_norm, data):
        hole = data.draw(st.integers(0, case.mask.shape[1] - 1))
        mask = case.mask.clone()
        mask[:, hole] = False
        starts = restrict_segments(case.starts, mask)
        with_hole = Case(case.entropy, mask, starts, case.scores, case.rewards, case.index)
        rest = [column for column in range(mask.shape[1]) if column != hole]
        without = Case(
            case.entropy[:, rest], mask[:, rest], starts[:, rest], case.scores[:, rest], case.rewards, case.index
        )
        options = dict(credit=credit, process_norm=process_norm)
        close(with_hole.advantage(**options)[:, rest], without.advantage(**options))


class TestTiling:
    @staticmethod
    def assert_tiles(starts: torch.Tensor, mask: torch.Tensor):
        assert starts.dtype == torch.bool and starts.shape == mask.shape
        assert not (starts & ~mask).any()
        for row_starts, row_mask in zip(starts, mask, strict=True):
            valid = row_mask.nonzero()[:, 0].tolist()
            if not valid:
                assert not row_starts.any()
                continue
            assert row_starts[valid[0]]
            length = valid[-1] + 1
            spans = segment_bounds(row_starts, length)
            assert len(spans) == row_starts.sum()
            assert [c for begin, end in spans for c in range(begin, end)] == list(range(length))
            assert all(row_mask[begin:end].any() for begin, end in spans)

    @given(batches(), rules, st.integers(0, 7), st.integers(0, 12))
    def test_entropy_segments(self, case, rule, k, m):
        starts = entropy_segments(case.entropy, case.mask, k, m, rule)
        self.assert_tiles(starts, case.mask)
        assert (starts.sum(1) <= k + 1).all()
        for row in starts:
            cuts = row.nonzero()[:, 0]
            assert (cuts.diff() >= m).all()

    @given(batches(), st.integers(1, 8))
    def test_uniform_segments(self, case, n):
        starts = uniform_segments(case.mask, n)
        self.assert_tiles(starts, case.mask)
        assert torch.equal(starts.sum(1), case.mask.sum(1).clamp(max=n))

    @given(batches(), st.integers(1, 8), st.integers(0, 2**31))
    def test_random_segments(self, case, n, seed):
        starts = random_segments(case.mask, n, torch.Generator().manual_seed(seed))
        self.assert_tiles(starts, case.mask)
        assert torch.equal(starts.sum(1), case.mask.sum(1).clamp(max=n))

    @given(batches(), st.data())
    def test_restricted_segments(self, case, data):
        source = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
        remaining = case.mask & (torch.rand(case.mask.shape, generator=source) < 0.7)
        starts = restrict_segments(case.starts, remaining)
        self.assert_tiles(starts, remaining)
        former = case.starts.cumsum(1)
        for row in range(len(starts)):
            # the tokens that remain are grouped as they were
            assert torch.equal(
                former[row][starts[row]], former[row][remaining[row]].unique(),
            )  # fmt: skip


class TestGroupCentring:
    @given(batches(full=True), outcome_norms)
    def test_outcome_advantages_of_a_group_sum_to_zero(self, case, outcome_norm):
        result = case.advantage(credit="outcome", outcome_norm=outcome_norm)[:, 0]
        for uid in set(case.index):
            rows = case.index == uid
            if outcome_norm == "mean" or rows.sum() > 1:
                assert abs(result[rows].sum().item()) < 1e-9

    @given(batches(full=True))
    def test_the_group_norm_has_mean_zero_and_std_one(self, case):
        result = case.advantage(credit="process", process_norm="group")
        for uid in set(case.index):
            tokens = result[case.index == uid].flatten()
            assert abs(tokens.mean().item()) < 1e-6
            if len(tokens) > 1 and tokens.unique().numel() > 1:
                assert abs(tokens.std().item() - 1) < 1e-3

    @given(batches(full=True))
    def test_the_group_mean_of_prpo_is_the_mean_of_z(self, case):
        difference = case.advantage() - case.advantage(credit="process")
        for uid in set(case.index):
            assert abs(difference[case.index == uid].sum().item()) < 1e-9

    @given(batches(min_rows=2), st.floats(-5, 5), credits, outcome_norms)
    def test_a_constant_added_to_every_reward_of_a_group_changes_nothing(self, case, constant, credit, outcome_norm):
        same = np.array(["a"] * len(case.index), dtype=object)
        here = Case(case.entropy, case.mask, case.starts, case.scores, case.rewards, same)
        there = Case(case.entropy, case.mask, case.starts, case.scores, case.rewards + constant, same)
        alone = case.mask.any(1).sum() < 2  # PURE has no baseline then
        if credit == "pure" and alone:
            return
        options = dict(credit=credit, outcome_norm=outcome_norm)
        close(there.advantage(**options), here.advantage(**options), 1e-5)

    @given(batches(), credits, process_norms, outcome_norms)
    def test_groups_do_not_see_one_another(self, case, credit, process_norm, outcome_norm):
        options = dict(credit=credit, process_norm=process_norm, outcome_norm=outcome_norm)
        whole = case.advantage(**options)
        for uid in set(case.index):
            rows = np.flatnonzero(case.index == uid).tolist()
            close(case.rows(rows).advantage(**options), whole[rows])


class TestLocationShift:
    @given(batches(), process_norms)
    def test_prpo_keeps_the_shape_and_the_spread_of_z_within_a_response(self, case, process_norm):
        z = case.advantage(credit="process", process_norm=process_norm)
        shift = case.advantage(process_norm=process_norm) - z
        beta = case.advantage(credit="outcome")
        close(shift, beta)

    @given(batches())
    def test_z_is_constant_within_a_segment(self, case):
        z = case.advantage(credit="process")
        for row in range(len(z)):
            segment = case.starts[row].cumsum(0)
            for number in segment[case.mask[row]].unique():
                assert z[row][case.mask[row] & (segment == number)].unique().numel() == 1


class TestNoGradient:
    @given(batches(), credits, process_norms)
    def test_results_are_detached_and_inputs_untouched(self, case, credit, process_norm):
        scores, rewards = case.scores.clone().requires_grad_(), case.rewards.clone().requires_grad_()
        before = [t.clone() for t in (case.scores, case.starts, case.rewards, case.mask)]
        result = prpo_advantage(
            scores, case.starts, rewards, case.mask, case.index, credit=credit, process_norm=process_norm
        )
        assert not result.requires_grad and result.grad_fn is None
        for now, then in zip((scores, case.starts, rewards, case.mask), before, strict=True):
            assert torch.equal(now.nan_to_num(), then.nan_to_num())

    @pytest.mark.parametrize("rule", ["paper", "greedy"])
    def test_segments_of_entropies_with_a_gradient(self, rule):
        entropy = torch.rand(2, 30, requires_grad=True)
        assert not entropy_segments(entropy, torch.ones(2, 30), rule=rule).requires_grad

    @given(batches(), credits)
    def test_results_do_not_share_memory_with_the_scores(self, case, credit):
        kept = case.scores.clone()
        case.advantage(credit=credit).add_(1)
        assert torch.equal(case.scores.nan_to_num(), kept.nan_to_num())
