# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Whether a response is right: the one meaning that groups, metrics, alarms, reports and calibration share.

The `acc` of a reward manager says it best. Without it the outcome before penalties says it, then the reward, as long as
it takes just two values, of which the higher one is right. Everything else (a graded reward, a reward that a penalty
spreads) says nothing about right and wrong, and nothing is guessed from it.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SOURCES = ("acc", "outcome", "score")
"""Keys of verl's `reward_extra_info` that hold the outcome before penalties and KL, the best one first."""

REWARD = "reward"
"""The source where a row has none of those. It is the reward itself, with whatever was added to it."""

FAILED = "failed"
"""The source of a row whose reward could not be computed. Such a row has no verdict."""

_RIGHT = {(0.0,): None, (1.0,): 1.0, (-1.0,): None, (0.0, 1.0): 1.0, (-1.0, 1.0): 1.0}
"""The value that is right among values that everybody uses, even when only one of them has been seen.

It is None where none of the values is right.
"""


@dataclass(frozen=True)
class Verdicts:
    """The verdicts on the responses of one batch or dump.

    Attributes:
        right: for each response True, False, or None where nothing says which.
        evidence: for each response the source and the value that decided about it.
    """

    right: list[bool | None]
    evidence: list[tuple[str, float]]

    def agree(self, index: Sequence[Hashable]) -> list[bool]:
        """Say for each response whether its whole group has one verdict, as a group of one always does.

        Responses whose verdict is unknown agree where they have the same evidence, for then their verdict is the same,
        whatever it is.

        Args:
            index: the group of each response (verl's uid).
        """
        found: dict[Hashable, set[Any]] = {}
        for group, right, evidence in zip(index, self.right, self.evidence, strict=True):
            found.setdefault(group, set()).add(evidence if right is None else right)
        return [len(found[group]) == 1 for group in index]


class VerdictReader:
    """Reads verdicts batch by batch.

    Two values count as right and wrong only while no third one has been seen in the run, so the reader remembers what
    it saw.
    """

    def __init__(self) -> None:
        self._seen: dict[str, set[float]] = {}
        self._lacking = 0

    def read(
        self,
        rewards: Sequence[float],
        parts: Sequence[Mapping[str, Any]],
        data_sources: Sequence[str] | None = None,
    ) -> Verdicts:
        """Read the verdicts on a batch.

        Args:
            rewards: reward of each response, before a KL penalty.
            parts: for each response what else the reward manager returned (verl's `reward_extra_info`), {} for nothing.
            data_sources: data source of each row, for mixtures whose rewards have different values. None means one for
                all.
        """
        names = [""] * len(rewards) if data_sources is None else data_sources
        evidence = [
            _evidence(float(reward), said, name) for reward, said, name in zip(rewards, parts, names, strict=True)
        ]
        for source, value in evidence:
            seen = self._seen.setdefault(source, set())
            if len(seen) < 3 and math.isfinite(value):
                seen.add(value)
        self._lacking += _lacking(evidence)
        right = {source: _right_value(seen) for source, seen in self._seen.items()}
        evidence = [e if math.isfinite(e[1]) else (e[0], math.inf) for e in evidence]  # NaN equals nothing
        return Verdicts([_verdict(value, *right[source]) for source, value in evidence], evidence)

    def explain(self) -> str:
        """Say in one sentence for people what decides which responses are right, or why nothing does."""
        said = []
        for source, seen in sorted(self._seen.items()):
            if source.startswith(FAILED):
                said.append("responses whose reward could not be computed have no verdict")
                continue
            name = _name(source)
            known, value = _right_value(seen)
            values = ", ".join(f"{v:g}" for v in sorted(seen))
            if known and value is not None:
                said.append(f"a response is right where {name} is {value:g} (values seen: {values})")
            elif known:
                said.append(f"{name} has said of no response yet that it is right (values seen: {values})")
            else:
                many = "three values or more" if len(seen) > 2 else f"only {values or 'no finite value'} so far"
                said.append(
                    f"which responses are right is unknown: {name} has {many}. Groups of different rewards count as "
                    "mixed. Have the reward function return a dictionary with 'score' and 'acc' (1 right, 0 wrong)"
                )
        if self._lacking:
            said.append(
                f"{self._lacking} responses come without the 'acc' that others of their data source have, so their "
                "reward decides instead"
            )
        return "; ".join(said)

    @property
    def rule(self) -> tuple[Any, ...]:
        """The rule that decides at present. It changes when a new value of a reward changes what is right."""
        rules = {source: _right_value(seen) for source, seen in self._seen.items()}
        return (tuple(sorted(rules.items())), self._lacking > 0)

    @property
    def certain(self) -> bool:
        """True if every verdict so far could be read."""
        return all(_right_value(seen)[0] for seen in self._seen.values())


def _evidence(reward: float, said: Mapping[str, Any], data_source: str) -> tuple[str, float]:
    if said.get("timeout") is True or said.get("error"):  # verl's rate_limited manager puts an acc of 0 beside these
        return f"{FAILED} {data_source}".strip(), math.inf
    for source in SOURCES:
        value: Any = said.get(source)
        if hasattr(value, "item"):  # numpy's or torch's
            try:
                value = value.item()
            except (ValueError, RuntimeError):  # of several elements
                continue
        if isinstance(value, (bool, int, float)):
            return f"{source} {data_source}".strip(), float(value)
    return f"{REWARD} {data_source}".strip(), reward


def _lacking(evidence: Sequence[tuple[str, float]]) -> int:
    """Count the responses without `acc` whose data source has others with it."""
    kinds = [e[0].partition(" ") for e in evidence]
    with_acc = {data_source for kind, _, data_source in kinds if kind == "acc"}
    return sum(kind not in ("acc", FAILED) and data_source in with_acc for kind, _, data_source in kinds)


def _name(source: str) -> str:
    kind, _, data_source = source.partition(" ")
    said = "the reward" if kind == REWARD else f"{kind!r} of the reward manager"
    return f"{said} ({data_source})" if data_source else said


def _right_value(seen: set[float]) -> tuple[bool, float | None]:
    """Return whether the values seen separate right from wrong, and which of them is right (None: none of them)."""
    values = tuple(sorted(seen))
    if values in _RIGHT:
        return True, _RIGHT[values]
    return (True, values[1]) if len(values) == 2 else (False, None)


def _verdict(value: float, known: bool, right: float | None) -> bool | None:
    return value == right if known and math.isfinite(value) else None
