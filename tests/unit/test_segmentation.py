# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Where segments begin: worked examples of each rule, agreement with the naive reference, errors."""

import itertools
import random

import pytest
import reference
import torch

from verl_prpo.method.segmentation import (
    entropy_segments,
    random_segments,
    restrict_segments,
    segment_bounds,
    text_segments,
    token_segments,
    uniform_segments,
)


def columns(starts: torch.Tensor, row: int = 0) -> list[int]:
    return starts[row].nonzero()[:, 0].tolist()


def entropies(length: int, spikes: dict[int, float], base: float = 0.0) -> torch.Tensor:
    """One row of `length` tokens at `base` nats with `spikes` {position: nats}."""
    row = torch.full((1, length), base)
    for position, value in spikes.items():
        row[0, position] = value
    return row


class TestPaperRule:
    """Algorithm 1: top k by entropy, in order of position, at least m apart, none within m of the start."""

    def test_five_spikes_far_apart_make_six_segments(self):
        entropy = entropies(80, {12: 2.0, 25: 1.0, 40: 3.0, 55: 1.5, 70: 2.5})
        assert columns(entropy_segments(entropy, torch.ones(1, 80))) == [0, 12, 25, 40, 55, 70]

    def test_a_gap_of_exactly_m_is_wide_enough_and_one_less_is_not(self):
        entropy = entropies(60, {10: 1.0, 20: 1.0, 29: 1.0, 39: 1.0, 50: 1.0})
        # 29 is 9 after 20: dropped. 39 is measured from 20, the last one kept: 19 away, kept.
        assert columns(entropy_segments(entropy, torch.ones(1, 60))) == [0, 10, 20, 39, 50]

    def test_cuts_near_the_start_are_dropped_after_the_walk(self):
        # 5 is kept by the walk, so 14 falls to it; only then is 5 dropped for being within 10 of the start.
        entropy = entropies(60, {5: 1.0, 14: 1.0, 30: 1.0, 31: 1.0, 59: 1.0})
        assert columns(entropy_segments(entropy, torch.ones(1, 60))) == [0, 30, 59]

    def test_clustered_spikes_use_up_the_anchors(self):
        entropy = entropies(60, {20: 5.0, 21: 5.0, 22: 5.0, 23: 5.0, 24: 5.0, 45: 4.0})
        assert columns(entropy_segments(entropy, torch.ones(1, 60))) == [0, 20]

    def test_the_earliest_of_a_cluster_opens_the_segment_even_when_a_later_one_is_higher(self):
        entropy = entropies(60, {20: 1.0, 24: 9.0, 40: 2.0, 44: 3.0, 55: 1.5})
        assert columns(entropy_segments(entropy, torch.ones(1, 60))) == [0, 20, 40, 55]

    def test_ties_go_to_the_earlier_position(self):
        entropy = entropies(100, {p: 1.0 for p in (10, 20, 30, 40, 50, 60, 70)})
        assert columns(entropy_segments(entropy, torch.ones(1, 100))) == [0, 10, 20, 30, 40, 50]

    def test_a_constant_row_takes_its_first_tokens_as_anchors_and_has_no_cut(self):
        assert columns(entropy_segments(torch.zeros(1, 50), torch.ones(1, 50))) == [0]

    def test_negative_zero_and_zero_are_a_tie(self):
        entropy = torch.zeros(1, 40)
        entropy[0, :20] = -0.0
        assert columns(entropy_segments(entropy, torch.ones(1, 40), max_anchors=2, min_gap=1)) == [0, 1]

    @pytest.mark.parametrize("length", [1, 4, 5])
    def test_a_row_of_max_anchors_tokens_or_fewer_is_one_segment(self, length):
        assert columns(entropy_segments(torch.rand(1, length), torch.ones(1, length), min_gap=1)) == [0]

    def test_one_token_more_than_max_anchors_can_be_cut(self):
        entropy = torch.tensor([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        assert columns(entropy_segments(entropy, torch.ones(1, 6), min_gap=2)) == [0, 3, 5]

    def test_no_anchors_means_one_segment(self):
        assert columns(entropy_segments(torch.rand(1, 50), torch.ones(1, 50), max_anchors=0)) == [0]

    def test_spikes_outside_the_mask_are_not_seen(self):
        entropy = entropies(60, {15: 9.0, 30: 1.0, 45: 1.0})
        mask = torch.ones(1, 60)
        mask[0, 15] = 0
        starts = entropy_segments(entropy, mask, max_anchors=2)
        assert columns(starts) == [0, 30, 45]

    def test_a_mask_that_starts_late_moves_the_start_of_the_row(self):
        entropy = entropies(60, {29: 3.0, 30: 1.0, 45: 2.0})
        mask = torch.ones(1, 60)
        mask[0, :20] = 0
        assert columns(entropy_segments(entropy, mask, max_anchors=1)) == [20]  # 29 is 9 after the first valid token
        mask[0, 29] = 0
        assert columns(entropy_segments(entropy, mask, max_anchors=2)) == [20, 30, 45]

    def test_tool_tokens_between_two_policy_tokens_count_as_distance(self):
        entropy = entropies(60, {20: 2.0, 31: 1.0})
        mask = torch.ones(1, 60)
        mask[0, 21:31] = 0
        assert columns(entropy_segments(entropy, mask, max_anchors=2)) == [0, 20, 31]


class TestGreedyRule:
    """Non-maximum suppression: highest first, at least m from the start and from every position kept."""

    def test_the_highest_of_a_cluster_wins(self):
        entropy = entropies(60, {20: 1.0, 24: 9.0, 40: 2.0, 44: 3.0})
        starts = entropy_segments(entropy, torch.ones(1, 60), max_anchors=2, rule="greedy")
        assert columns(starts) == [0, 24, 44]

    def test_clustered_spikes_do_not_use_up_the_anchors(self):
        entropy = entropies(60, {20: 5.0, 21: 4.9, 22: 4.8, 23: 4.7, 24: 4.6, 45: 4.0})
        mask = torch.ones(1, 60)
        assert columns(entropy_segments(entropy, mask, max_anchors=2)) == [0, 20]
        assert columns(entropy_segments(entropy, mask, max_anchors=2, rule="greedy")) == [0, 20, 45]

    def test_a_high_position_near_the_start_does_not_suppress_its_neighbours(self):
        entropy = entropies(40, {5: 9.0, 12: 8.0})
        assert columns(entropy_segments(entropy, torch.ones(1, 40), max_anchors=1, rule="greedy")) == [0, 12]

    def test_it_stops_when_no_position_is_left(self):
        starts = entropy_segments(torch.zeros(1, 25), torch.ones(1, 25), max_anchors=5, rule="greedy")
        assert columns(starts) == [0, 10, 20]

    def test_ties_go_to_the_earlier_position(self):
        entropy = entropies(60, {15: 1.0, 30: 1.0, 45: 1.0})
        assert columns(entropy_segments(entropy, torch.ones(1, 60), max_anchors=2, rule="greedy")) == [0, 15, 30]

    def test_a_gap_wider_than_the_row_leaves_one_segment(self):
        starts = entropy_segments(torch.rand(1, 20), torch.ones(1, 20), min_gap=500, rule="greedy")
        assert columns(starts) == [0]


class TestAutomaticAnchors:
    """One anchor for every `tokens_per_anchor` valid tokens of a row, within bounds."""

    @pytest.mark.parametrize(
        ("valid", "cuts"),
        [(8000, 80), (600, 6), (100, 5), (500, 5), (599, 5), (20_000, 100), (4, 0), (0, 0)],
    )
    @pytest.mark.parametrize("rule", ["paper", "greedy"])
    def test_a_long_row_has_more_cuts_within_bounds(self, valid, cuts, rule):
        entropy = torch.zeros(1, max(valid, 1))
        entropy[0, 15::15] = torch.linspace(1, 2, len(entropy[0, 15::15]))
        mask = (torch.arange(max(valid, 1)) < valid)[None]
        starts = entropy_segments(entropy, mask, max_anchors="auto", rule=rule)
        assert starts.sum().item() == (cuts + 1 if valid else 0)

    @pytest.mark.parametrize("rule", ["paper", "greedy"])
    @pytest.mark.parametrize("seed", range(6))
    def test_a_row_is_cut_in_a_batch_as_with_its_own_number_alone(self, rule, seed):
        rng = random.Random(seed)
        for _ in range(25):
            entropy, mask = random_case(rng)
            every, m, bounds = rng.choice([1, 3, 10]), rng.choice([1, 2, 3, 10]), rng.choice([(0, 2), (1, 9), (2, 64)])
            starts = entropy_segments(entropy, mask, "auto", m, rule, tokens_per_anchor=every, anchor_bounds=bounds)
            for row, own in enumerate(mask.tolist()):
                k = min(max(int(sum(own)) // every, bounds[0]), bounds[1])
                expected = reference.entropy_segments([entropy[row].tolist()], [own], k, m, rule)
                assert starts[row].tolist() == expected[0], (entropy[row], own, k, m)

    def test_tool_tokens_are_not_counted(self):
        entropy, mask = torch.rand(1, 900), torch.ones(1, 900)
        mask[0, 300:] = 0
        starts = entropy_segments(entropy, mask, "auto", 1, tokens_per_anchor=100, anchor_bounds=(0, 100))
        assert starts.sum() == 4

    @pytest.mark.parametrize("rule", ["paper", "greedy"])
    def test_numbers_of_any_size_serve(self, rule):
        entropy, mask = torch.rand(2, 9), torch.ones(2, 9)

        def cut(every, bounds):
            return entropy_segments(entropy, mask, "auto", 1, rule, tokens_per_anchor=every, anchor_bounds=bounds)

        assert cut(3, (0, 10**30)).equal(cut(3, (0, 9)))
        assert cut(10**30, (2, 10**30)).equal(cut(10, (2, 9)))

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"max_anchors": "car"}, 'max_anchors must be a whole number or "auto"'),
            ({"max_anchors": "auto", "tokens_per_anchor": 0}, "tokens_per_anchor must be a whole number of at least 1"),
            ({"max_anchors": "auto", "tokens_per_anchor": 2.5}, "tokens_per_anchor must be a whole number of at least"),
            ({"max_anchors": "auto", "anchor_bounds": (9, 5)}, r"0 <= least <= most, got \(9, 5\)"),
            ({"max_anchors": "auto", "anchor_bounds": (5,)}, r"0 <= least <= most, got \(5,\)"),
            ({"max_anchors": "auto", "anchor_bounds": (1.5, 3)}, r"0 <= least <= most, got \(1.5, 3\)"),
            ({"max_anchors": "auto", "anchor_bounds": None}, "0 <= least <= most, got None"),
        ],
    )
    def test_what_cannot_be_is_refused(self, given, said):
        with pytest.raises(ValueError, match=said):
            entropy_segments(torch.rand(1, 9), torch.ones(1, 9), **given)


def random_case(rng: random.Random) -> tuple[torch.Tensor, torch.Tensor]:
    """Entropies and a mask with every awkward shape: ties, holes, late starts, empty rows, all-equal rows."""
    bs, length = rng.choice([1, 2, 5]), rng.choice([1, 2, 6, 17, 64])
    levels = rng.choice([1, 3, 10**6])
    entropy = torch.tensor([[rng.randrange(levels) / levels for _ in range(length)] for _ in range(bs)])
    mask = torch.zeros(bs, length)
    for row in range(bs):
        begin, end = sorted((rng.randint(0, length), rng.randint(0, length)))
        if rng.random() < 0.5:
            begin = 0
        mask[row, begin:end] = 1
        if rng.random() < 0.4:
            mask[row] *= torch.tensor([float(rng.random() < 0.7) for _ in range(length)])
    return entropy, mask


@pytest.mark.parametrize("rule", ["paper", "greedy"])
@pytest.mark.parametrize("seed", range(8))
def test_entropy_segments_agree_with_the_naive_reference(rule, seed):
    rng = random.Random(seed)
    for _ in range(25):
        entropy, mask = random_case(rng)
        k, m = rng.choice([0, 1, 2, 5, 9]), rng.choice([1, 2, 3, 10, 40])
        expected = reference.entropy_segments(entropy.tolist(), mask.tolist(), k, m, rule)
        assert entropy_segments(entropy, mask, k, m, rule).tolist() == expected, (entropy, mask, k, m)


@pytest.mark.parametrize("length", [1472, 1536, 1537, 2048, 8192])  # around the least that is searched by stripes
@pytest.mark.parametrize("levels", [2, 40, 2000, 10**6])
def test_long_rows_agree_with_the_naive_reference(length, levels):
    source = torch.Generator().manual_seed(levels)
    entropy = torch.randint(levels, (4, length), generator=source) / levels
    mask = (torch.arange(length) < torch.tensor([[length], [length - 300], [5], [0]])).float()
    mask[1] *= torch.rand(length, generator=source) < 0.7
    expected = reference.entropy_segments(entropy.tolist(), mask.tolist())
    assert entropy_segments(entropy, mask).tolist() == expected


@pytest.mark.parametrize("apart", [31, 32, 33, 64, 400])  # a row of 2048 has 32 stripes
def test_long_rows_are_cut_at_spikes_of_one_stripe_and_of_several(apart):
    spikes = {40 + apart * i: 9.0 - i for i in range(5)}
    starts = entropy_segments(entropies(2048, {**spikes, 30: 4.5}), torch.ones(1, 2048))
    assert columns(starts) == [0, *spikes]


@pytest.mark.parametrize("rule", ["paper", "greedy"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("mask_dtype", [torch.bool, torch.int32, torch.int64, torch.float32, torch.bfloat16])
def test_every_float_and_mask_dtype_agrees_with_the_reference(rule, dtype, mask_dtype):
    torch.manual_seed(0)
    entropy = torch.rand(6, 48).to(dtype)  # coarse dtypes bring ties
    mask = (torch.rand(6, 48) < 0.9).to(mask_dtype)
    expected = reference.entropy_segments(entropy.tolist(), mask.tolist(), 5, 4, rule)
    assert entropy_segments(entropy, mask, 5, 4, rule).tolist() == expected


@pytest.mark.parametrize("rule", ["paper", "greedy"])
@pytest.mark.parametrize("shape", [(0, 0), (0, 7), (3, 0)])
def test_empty_tensors_give_empty_starts(rule, shape):
    starts = entropy_segments(torch.zeros(shape), torch.ones(shape), rule=rule)
    assert starts.shape == shape and starts.dtype == torch.bool
    assert uniform_segments(torch.ones(shape), 3).shape == shape
    assert random_segments(torch.ones(shape), 3).shape == shape


@pytest.mark.parametrize("rule", ["paper", "greedy"])
def test_values_outside_the_mask_are_ignored_nan_included(rule):
    torch.manual_seed(1)
    entropy, mask = torch.rand(4, 50), torch.rand(4, 50) < 0.8
    clean = entropy_segments(entropy, mask, rule=rule, min_gap=3)
    for poison in (float("nan"), float("inf"), 1e9):
        assert torch.equal(entropy_segments(entropy.masked_fill(~mask, poison), mask, rule=rule, min_gap=3), clean)


@pytest.mark.parametrize("rule", ["paper", "greedy"])
def test_inputs_are_left_as_they_were(rule):
    entropy, mask = torch.rand(4, 50), (torch.rand(4, 50) < 0.8).long()
    before = entropy.clone(), mask.clone()
    entropy_segments(entropy, mask, rule=rule)
    assert torch.equal(entropy, before[0]) and torch.equal(mask, before[1])


class TestUniform:
    def test_long_rows_in_many_segments_do_not_overflow(self):
        starts = uniform_segments(torch.ones(1, 50_000), 45_000)
        assert starts.sum() == 45_000

    @pytest.mark.parametrize(
        ("length", "segments", "expected"),
        [(12, 3, [0, 4, 8]), (12, 1, [0]), (3, 3, [0, 1, 2]), (2, 5, [0, 1]), (1, 4, [0])],
    )
    def test_worked_examples(self, length, segments, expected):
        assert columns(uniform_segments(torch.ones(1, length), segments)) == expected

    @pytest.mark.parametrize("length", [1, 2, 7, 10, 33])
    @pytest.mark.parametrize("segments", [1, 2, 3, 6, 40])
    def test_lengths_differ_by_at_most_one_token(self, length, segments):
        cuts = columns(uniform_segments(torch.ones(1, length), segments))
        lengths = [b - a for a, b in zip(cuts, [*cuts[1:], length], strict=True)]
        assert len(cuts) == min(length, segments)
        assert max(lengths) - min(lengths) <= 1

    def test_only_valid_tokens_are_counted(self):
        mask = torch.tensor([[0, 1, 1, 0, 0, 1, 1, 0], [0] * 8])
        starts = uniform_segments(mask, 2)
        assert columns(starts, 0) == [1, 5]
        assert columns(starts, 1) == []

    def test_a_huge_number_of_segments_does_not_overflow(self):
        starts = uniform_segments(torch.ones(1, 4096), 10**6)
        assert bool(starts.all())


class TestRandom:
    def test_the_number_of_segments_is_exact_and_capped_by_the_length(self):
        mask = torch.zeros(4, 20)
        for row, length in enumerate((20, 5, 1, 0)):
            mask[row, :length] = 1
        starts = random_segments(mask, 6)
        assert starts.sum(1).tolist() == [6, 5, 1, 0]
        assert not (starts & (mask == 0)).any()

    def test_the_generator_decides_and_the_global_one_is_untouched(self):
        mask = torch.ones(3, 50)
        state = torch.get_rng_state()
        one = random_segments(mask, 6, torch.Generator().manual_seed(7))
        two = random_segments(mask, 6, torch.Generator().manual_seed(7))
        other = random_segments(mask, 6, torch.Generator().manual_seed(8))
        assert torch.equal(one, two) and not torch.equal(one, other)
        assert torch.equal(torch.get_rng_state(), state)

    def test_every_position_but_the_first_is_equally_likely(self):
        starts = random_segments(torch.ones(8000, 9), 3, torch.Generator().manual_seed(0))
        share = starts.float().mean(0)
        assert share[0] == 1
        assert torch.allclose(share[1:], torch.full((8,), 2 / 8), atol=0.02)  # 4 standard errors


class TestRestrict:
    def test_a_segment_that_lost_its_first_token_starts_at_its_next_one(self):
        starts = torch.tensor([[1, 0, 0, 1, 0, 1, 0, 0]], dtype=torch.bool)
        mask = torch.tensor([[0, 1, 1, 0, 0, 0, 1, 1]])  # segment 2 is gone altogether
        assert columns(restrict_segments(starts, mask)) == [1, 6]

    def test_the_same_mask_changes_nothing(self):
        mask = torch.rand(5, 40) < 0.8
        starts = random_segments(mask, 5)
        assert torch.equal(restrict_segments(starts, mask), starts)


class TestBounds:
    def test_half_open_spans_tile_the_response(self):
        starts = torch.tensor([1, 0, 0, 1, 0, 1, 0, 0], dtype=torch.bool)
        assert segment_bounds(starts, 7) == [(0, 3), (3, 5), (5, 7)]

    def test_tool_tokens_before_the_first_policy_token_belong_to_the_first_span(self):
        assert segment_bounds(torch.tensor([0, 0, 1, 0, 1], dtype=torch.bool), 5) == [(0, 4), (4, 5)]

    def test_no_start_gives_no_span(self):
        assert segment_bounds(torch.zeros(5, dtype=torch.bool), 0) == []
        assert segment_bounds(torch.zeros(5, dtype=torch.bool), 5) == []


class TestErrors:
    def test_shapes_that_differ(self):
        with pytest.raises(ValueError, match=r"entropy has shape \(2, 5\) but response_mask has \(2, 6\)"):
            entropy_segments(torch.zeros(2, 5), torch.ones(2, 6))

    def test_a_mask_of_one_dimension(self):
        for call in (
            lambda: entropy_segments(torch.zeros(5), torch.ones(5)),
            lambda: uniform_segments(torch.ones(5), 2),
            lambda: random_segments(torch.ones(5), 2),
        ):
            with pytest.raises(ValueError, match=r"response_mask must be \[bs, L\], got shape \(5,\)"):
                call()

    def test_an_unknown_rule_names_the_choices(self):
        with pytest.raises(ValueError, match=r"unknown anchor rule 'nms'.*paper, greedy"):
            entropy_segments(torch.zeros(1, 5), torch.ones(1, 5), rule="nms")

    @pytest.mark.parametrize(("k", "m"), [(-1, 10), (5, -2)])
    def test_negative_sizes(self, k, m):
        with pytest.raises(ValueError, match="must not be negative"):
            entropy_segments(torch.zeros(1, 5), torch.ones(1, 5), k, m)

    @pytest.mark.parametrize("rule", ["paper", "greedy"])
    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    @pytest.mark.parametrize("length", [3, 40, 2048])
    def test_entropy_that_is_not_finite_under_the_mask_names_the_row(self, rule, value, length):
        entropy = torch.rand(3, length)
        entropy[1, 2] = value
        with pytest.raises(ValueError, match="row 1"):
            entropy_segments(entropy, torch.ones(3, length), rule=rule)

    @pytest.mark.parametrize("segments", [0, -1])
    def test_fewer_than_one_segment(self, segments):
        for segmenter in (uniform_segments, random_segments):
            with pytest.raises(ValueError, match=f"num_segments must be at least 1, got {segments}"):
                segmenter(torch.ones(1, 5), segments)


def pieces(*texts: str, mask: list[int] | None = None, delimiters=("\n\n",)) -> list[int]:
    """Columns at which one row of token texts is cut."""
    return columns(text_segments([texts], torch.tensor([mask or [1] * len(texts)]), delimiters))


class TestText:
    """A segment ends after a delimiter."""

    def test_the_token_with_the_end_of_the_delimiter_belongs_to_the_segment_that_ends(self):
        assert pieces("We", " add", ".\n\n", "So", " 3") == [0, 3]
        assert pieces("We", "\n", "\n", "So") == [0, 3]
        assert pieces("We", ".\n\nSo", " then", "\n\n", "3") == [0, 2, 4]

    def test_a_run_of_delimiters_stays_with_the_segment_before(self):
        assert pieces("We", "\n\n", "\n\n", " ", "\n\n", "So") == [0, 5]
        assert pieces("We", "\n\n\n\n\n\n", "So") == [0, 2]

    def test_delimiters_before_any_text_end_nothing(self):
        assert pieces("\n\n", "\n\n", "We", "\n\n", "So") == [0, 4]

    def test_what_follows_the_last_delimiter_without_text_joins_the_segment_before(self):
        assert pieces("We", "\n\n", "") == [0]
        assert pieces("We", "\n\n", "So", "\n\n", "  ", "") == [0, 2]

    def test_no_delimiter_means_one_segment(self):
        assert pieces("We", "\n", "add") == [0]
        assert pieces("", "") == [0]

    def test_several_delimiters_and_characters_of_regular_expressions(self):
        assert pieces("a", ".", "b", "。", "c", "d", delimiters=(".", "。")) == [0, 2, 4]

    def test_the_longest_delimiter_is_found_first(self):
        assert pieces("a", "\n", "b", "\n", "\n", "c", delimiters=("\n", "\n\n")) == [0, 2, 5]

    def test_tool_tokens_never_start_a_segment(self):
        assert pieces("call", "\n\n", "tool", "\n\n", "So", "\n\n", "3", mask=[1, 1, 0, 0, 1, 1, 1]) == [0, 4, 6]
        assert pieces("a", "\n\n", "tool", mask=[1, 1, 0]) == [0]

    def test_the_first_token_of_the_policy_starts_a_segment_whatever_comes_before(self):
        assert pieces("tool", "\n\n", "We", "\n\n", "So", mask=[0, 0, 1, 1, 1]) == [2, 4]

    def test_rows_are_cut_by_themselves_and_padding_never_starts_one(self):
        mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]])
        starts = text_segments([["a", "\n\n", "b", "c"], ["a", "\n\n"], []], mask, ["\n\n"])
        assert [columns(starts, row) for row in range(3)] == [[0, 2], [0], []]

    @pytest.mark.parametrize("delimiters", [[], [""], ["\n", ""]])
    def test_delimiters_that_are_none_are_refused(self, delimiters):
        with pytest.raises(ValueError, match="delimiters must be texts"):
            text_segments([["a"]], torch.ones(1, 1), delimiters)

    def test_rows_that_do_not_match_the_mask_are_refused(self):
        with pytest.raises(ValueError, match=r"1 rows of at most 3 token texts.*\(1, 2\)"):
            text_segments([["a", "b", "c"]], torch.ones(1, 2), ["."])

    def test_random_rows_obey_the_rule(self):
        source = random.Random(0)
        for _ in range(300):
            texts = [source.choice(["a", "b ", ".", ". ", "x.y", " ", ""]) for _ in range(source.randint(1, 12))]
            mask = [source.choice([0, 1, 1, 1]) for _ in texts]
            starts = pieces(*texts, mask=mask, delimiters=(".",))
            assert all(mask[t] for t in starts)
            assert (starts[0] == mask.index(1)) if any(mask) else not starts
            bounds = [0, *starts[1:], len(texts)]
            whole = ["".join(texts[a:b]) for a, b in itertools.pairwise(bounds)]
            if len(whole) > 1:
                assert all(text.replace(".", "").strip() for text in whole)
            for start in starts[1:]:  # between the policy's last token that says more and this one a segment ended
                spoken = [t for t in range(start) if mask[t] and texts[t].replace(".", "").strip()]
                before = spoken[-1] if spoken else 0
                assert "." in "".join(texts[before:start])


class TestTokens:
    """A segment ends after a delimiter token."""

    def cut(self, ids: list[int], mask: list[int] | None = None, delimiters=(9,)) -> list[int]:
        return columns(token_segments(torch.tensor([ids]), torch.tensor([mask or [1] * len(ids)]), delimiters))

    def test_a_run_of_delimiters_stays_with_the_segment_before(self):
        assert self.cut([1, 2, 9, 3, 9, 8, 4], delimiters=(9, 8)) == [0, 3, 6]

    def test_delimiters_at_either_end_end_nothing(self):
        assert self.cut([9, 9, 1, 9, 2, 9]) == [0, 4]
        assert self.cut([9, 9]) == [0]

    def test_tool_tokens_never_start_a_segment_but_their_delimiters_count(self):
        assert self.cut([1, 9, 5, 5, 2], [1, 1, 0, 0, 1]) == [0, 4]
        assert self.cut([1, 5, 9, 5, 2, 3], [1, 0, 0, 0, 1, 1]) == [0, 4]
        assert self.cut([5, 9, 1, 2], [0, 0, 1, 1]) == [2]

    def test_padding_is_no_delimiter(self):
        starts = token_segments(
            torch.tensor([[1, 9, 2, 9], [1, 2, 9, 9]]), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]), [9]
        )
        assert [columns(starts, row) for row in range(2)] == [[0, 2], [0]]

    def test_agrees_with_the_segmenter_text_where_tokens_are_delimiters(self):
        source = random.Random(1)
        for _ in range(300):
            ids = [source.choice([1, 2, 9]) for _ in range(source.randint(1, 12))]
            mask = [source.choice([0, 1, 1, 1]) for _ in ids]
            if any(m == 0 and i != 9 for m, i in zip(mask, ids, strict=True)):
                continue  # a tool's words count as text, its tokens do not
            texts = [{1: "a", 2: "b", 9: "."}[i] for i in ids]
            assert self.cut(ids, mask) == pieces(*texts, mask=mask, delimiters=(".",))

    def test_no_delimiter_and_other_shapes_are_refused(self):
        with pytest.raises(ValueError, match="at least one token id"):
            self.cut([1], delimiters=())
        with pytest.raises(ValueError, match="response_ids has shape"):
            token_segments(torch.ones(1, 2), torch.ones(1, 3), [9])
        assert token_segments(torch.ones(0, 0), torch.ones(0, 0), [9]).shape == (0, 0)
