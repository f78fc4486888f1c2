# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Filters that find the responses that are worth opening."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from verl_prpo.viewer.report.facts import Facts

LONGEST_SHARE, LONGEST_LEAST = 0.1, 10


@dataclass(frozen=True)
class Filter:
    """Responses that deserve a look, the most telling first.

    Attributes:
        key: its name on the command line.
        name: its name on a button.
        rule: which responses it keeps and how it sorts them, for people.
        keeps: whether a response belongs to it.
        rank: sorts what it keeps, least first.
        share: the largest share of all responses that it keeps (at least `LONGEST_LEAST` responses). None for no bound.
        under_trust: the rule under the credit trust. Empty where it is the same.
    """

    key: str
    name: str
    rule: str
    keeps: Callable[[Facts], bool]
    rank: Callable[[Facts], float]
    share: float | None = None
    under_trust: str = ""

    def described(self, relative: bool) -> str:
        """Return the rule for people.

        Args:
            relative: whether scores are compared with their group, under the credit trust.
        """
        return self.under_trust if relative and self.under_trust else self.rule

    def select(self, facts: Sequence[Facts]) -> list[Facts]:
        """Return the responses that it keeps, in its order. Equal ones stay in the order of the dump."""
        kept = sorted(filter(self.keeps, facts), key=self.rank)
        return kept if self.share is None else kept[: max(LONGEST_LEAST, math.ceil(self.share * len(facts)))]


FILTERS = (
    Filter(
        "liked-wrong",
        "Wrong, PRM liked",
        "Wrong answers whose mean z is above 0: the PRM pushes them up. Highest mean z first.",
        lambda facts: facts.right is False and facts.against > 0,
        lambda facts: -facts.against,
        under_trust="Wrong answers of mixed groups that the PRM scores above their group. Highest first.",
    ),
    Filter(
        "disliked-right",
        "Right, PRM disliked",
        "Right answers whose mean z is below 0: the PRM pushes them down. Lowest mean z first.",
        lambda facts: facts.right is True and facts.against > 0,
        lambda facts: -facts.against,
        under_trust="Right answers of mixed groups that the PRM scores below their group. Lowest first.",
    ),
    Filter(
        "sign-flips",
        "Sign flips",
        "Responses with tokens that PRPO pushes the other way than GRPO. Largest share of the trained tokens first.",
        lambda facts: facts.flip_share > 0,
        lambda facts: -facts.flip_share,
    ),
    Filter(
        "failures",
        "Failures",
        "Responses without scores from the PRM, then those of which it could not read all (overlong).",
        lambda facts: facts.failure is not None or facts.overlong,
        lambda facts: 0.0 if facts.failure is not None else 1.0,
    ),
    Filter(
        "longest",
        "Longest",
        f"The longest {LONGEST_SHARE:.0%} of the responses, at least {LONGEST_LEAST}. Most tokens first.",
        lambda facts: True,
        lambda facts: -facts.tokens,
        LONGEST_SHARE,
    ),
)
"""All filters, in the order in which they are offered."""
