# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What the weight of the credit trust did to a response, in plain words for the page and the terminal."""

from collections.abc import Sequence

from verl_prpo.viewer.report.facts import SAME, Facts

NOT_EARNED = "GRPO: the PRM has not earned a weight, or process_weight is 0"


def done_by_weight(fact: Facts) -> str | None:
    """Say what w did to a response, or return None under another credit."""
    if fact.weight is None:
        return None
    if not fact.all_equal:
        return "Mixed group: GRPO, the PRM has no part."
    if fact.weight == 0:
        return f"All-equal group, w = 0. {NOT_EARNED}."
    if fact.prm_mean is None:
        return "All-equal group, but the response has no score: GRPO, the PRM has no part."
    nothing = all(abs(segment.added) <= SAME for segment in fact.segments)
    what = ". Here that is 0" if nothing else ""
    return f"All-equal group: w × score relative to the group, beside GRPO's advantage{what}."


def done_by_weights(facts: Sequence[Facts]) -> str:
    """Say in a few sentences what w did to the responses of a dump, or return "" where none was under this credit."""
    found = [fact for fact in facts if fact.weight is not None]
    if not found:
        return ""
    weights = [fact.weight for fact in found if fact.weight is not None]
    groups = {fact.group: fact.all_equal for fact in found}
    equal = sum(groups.values())
    low, high = (f"{end:.2f}" for end in (min(weights), max(weights)))
    mixed = f"{_groups(len(groups) - equal, 'mixed')}: GRPO, the PRM has no part"
    if max(weights) == 0:
        return f"Credit trust, w = 0. {NOT_EARNED}."
    span = low if low == high else f"{low} to {high}"
    return f"Credit trust, w = {span}. {mixed}. {_groups(equal, 'all-equal')}: w × score relative to the group."


def _groups(count: int, kind: str) -> str:
    return f"{count} {kind} group{'s' * (count != 1)}"
