# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A probe from end to end: solutions and their perturbed counterparts, their scores, and a finding on each drift."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from verl_prpo.prm.results import PrmResult
from verl_prpo.probe.payment import Judged, TokenCount, pay_of_both
from verl_prpo.probe.perturbations import PERTURBATIONS
from verl_prpo.probe.solution import Solution
from verl_prpo.probe.verdict import Finding, Interval, Pair, Verdict, judge, mean_interval


@dataclass(frozen=True)
class Prior:
    """The numbers that turn a score into z: z = (score - mean) / std, in units of the score."""

    mean: float
    std: float


@dataclass(frozen=True)
class Probed:
    """A response to probe.

    Attributes:
        group: what responses to the same prompt share.
        messages: the prompt as chat messages.
        solution: the response as steps.
        row: row of the data, for a score function.
    """

    group: str
    messages: Sequence[Mapping[str, Any]]
    solution: Solution
    row: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Variant:
    """A text to score.

    Attributes:
        response: index of the response it comes from.
        perturbation: name of what was done to it, None for the response as it is.
        segments: the text in segments.
    """

    response: int
    perturbation: str | None
    segments: Sequence[str]


@dataclass(frozen=True)
class Probe:
    """What was found.

    Attributes:
        prior: the prior that turned scores into z.
        margin: margin of the verdicts, in units of z.
        mean_z: mean z of the responses as they are, where each counts with its mean over tokens. It is None when none
            was scored.
        unscored: number of texts on which the PRM failed.
        failure: why it failed on the first of them.
        findings: one per perturbation.
    """

    prior: Prior
    margin: float
    mean_z: Interval | None
    unscored: int
    failure: str | None
    findings: Sequence[Finding]

    @property
    def flagged(self) -> bool:
        """True if any perturbation is flagged."""
        return any(finding.verdict is Verdict.FLAG for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return the same as plain data."""
        return {**asdict(self), "flagged": self.flagged}


def variants(probed: Sequence[Probed], seed: int) -> list[Variant]:
    """List all texts to score: each response as it is, and changed by each perturbation that applies to it.

    Args:
        probed: the responses.
        seed: seed of the perturbations. What a perturbation does to a response depends on nothing but the seed, the
            response's place in `probed` and its steps.
    """
    made = []
    for index, one in enumerate(probed):
        made.append(Variant(index, None, one.solution.segments))
        for perturbation in PERTURBATIONS:
            segments = perturbation(one.solution, f"{seed}/{index}")
            if segments is not None:
                made.append(Variant(index, perturbation.name, segments))
    return made


def report(
    probed: Sequence[Probed],
    asked: Sequence[Variant],
    results: Sequence[PrmResult],
    prior: Prior,
    tokens: TokenCount,
    margin: float,
    seed: int,
) -> Probe:
    """Report what the scores show about each perturbation.

    Args:
        probed: the responses.
        asked: the texts that `variants` listed.
        results: one per variant.
        prior: turns scores into z.
        tokens: counts the tokens of a text.
        margin: margin of the verdicts, in units of z.
        seed: seed of the bootstrap.
    """
    judged = {
        (variant.response, variant.perturbation): Judged.of(variant.segments, result.scores, prior.mean, prior.std)
        for variant, result in zip(asked, results, strict=True)
        if result.scores is not None
    }
    originals = {response: one for (response, perturbation), one in judged.items() if perturbation is None}
    findings = []
    for perturbation in PERTURBATIONS:
        pairs = []
        for response, original in originals.items():
            perturbed = judged.get((response, perturbation.name))
            if perturbed is not None:
                both = pay_of_both(original, perturbed, tokens)
                pairs.append(Pair(probed[response].group, original, perturbed, *both))
        findings.append(judge(perturbation, pairs, margin, seed))
    mean_z = None
    if originals:
        means = [pay_of_both(original, original, tokens)[0].mean for original in originals.values()]
        mean_z = mean_interval(means, [probed[response].group for response in originals], seed)
    failed = [f"{result.failure.value}: {result.detail}" for result in results if result.failure is not None]
    return Probe(prior, margin, mean_z, len(results) - len(judged), failed[0] if failed else None, findings)
