# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The verdict on a PRM: whether its scores on a policy's responses are fit to train on, with the reasons.

Training compares responses to one prompt and the steps within them. So a PRM has to score right responses above wrong
ones, within a prompt too. Where labels show which steps are wrong, it also has to separate wrong steps from right ones.
What cannot be known is in doubt, and the worst of the findings decides.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from verl_prpo.calibration.unread import HELPS, LONGER, PAST_CONTEXT, SAID

if TYPE_CHECKING:
    from verl_prpo.calibration.agreement import Estimate
    from verl_prpo.calibration.measured import Calibration

LEAST_RESPONSES, LEAST_PROMPTS = 20, 5
"""The numbers of responses and prompts below which no verdict is given and no prior is suggested."""

LEAST_OF_EACH = 10
"""The fewest right and the fewest wrong responses, or labelled steps, that a finding on them rests on."""

LEAST_MIXED = 5
"""The fewest prompts with both right and wrong responses that a finding on them rests on."""

USEFUL = 0.55
"""The AUROC below which a PRM is as good as none."""

MOST_LOST = 0.05
"""The largest share of responses, or of segments, without scores at which a verdict still holds."""

INFORMED, UNINFORMED = 0.85, 0.5
"""The informedness from which on PRMs gained in the study (docs/guide.md), and the one up to which they lost."""


class Verdict(str, Enum):
    """The verdict on a PRM, the best first."""

    FIT = "fit"
    DOUBT = "in doubt"
    NOT = "do not"


STATUS = {Verdict.FIT: 0, Verdict.DOUBT: 3, Verdict.NOT: 4}
"""Exit status of `verl-prpo calibrate`."""

VERDICTS = {
    Verdict.FIT: "fit to train on",
    Verdict.DOUBT: "in doubt: do not train on it yet",
    Verdict.NOT: "do not train on this PRM",
}


@dataclass(frozen=True)
class Fitness:
    """The verdict on a PRM.

    Attributes:
        verdict: the worst of the findings.
        reasons: why it is that verdict.
        prior: whether the mean and std of the scores make a prior.
    """

    verdict: Verdict
    reasons: list[str]
    prior: bool


@dataclass(frozen=True)
class _Finding:
    verdict: Verdict
    reason: str
    spoils_prior: bool = False


def too_few(responses: int, prompts: int) -> str | None:
    """Say why so few responses are refused. The result is None where there are enough."""
    if responses >= LEAST_RESPONSES and prompts >= LEAST_PROMPTS:
        return None
    return (
        f"{responses} response{'s' * (responses != 1)} to {prompts} prompt{'s' * (prompts != 1)} decide nothing: a "
        f"verdict and a prior need at least {LEAST_RESPONSES} responses to {LEAST_PROMPTS} prompts"
    )


def fitness(found: "Calibration", nothing_cut: str | None = None, windows: bool = True) -> Fitness:
    """Give the verdict on what was found.

    Args:
        found: what was found on the scored responses.
        nothing_cut: a sentence where no response has two segments.
        windows: whether the PRM can read long responses in windows.
    """
    findings = [*_on_scores(found, nothing_cut, windows), *_on_agreement(found)]
    worst = max((finding.verdict for finding in findings), key=list(Verdict).index)
    return Fitness(
        worst,
        [finding.reason for finding in findings if finding.verdict is worst],
        worst is not Verdict.NOT and not any(finding.spoils_prior for finding in findings),
    )


def _on_scores(found: "Calibration", nothing_cut: str | None, windows: bool) -> Iterator[_Finding]:
    """Find what speaks against the scores, before right and wrong come in."""
    if not found.varied and nothing_cut is not None:
        reason = f"all scores are {found.mean:.4g}, of whole responses: what the PRM says of steps was not asked"
        yield _Finding(Verdict.DOUBT, reason, True)
    elif not found.varied:
        yield _Finding(Verdict.NOT, f"all scores are {found.mean:.4g}: a PRM that always says the same teaches nothing")
    failed = sum(found.failures.values())
    if failed > found.responses:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(found.failures.items()))
        yield _Finding(Verdict.NOT, f"most responses have no scores ({kinds}): the PRM cannot serve as it is set up")
    elif failed > MOST_LOST * (found.responses + failed):
        share = failed / (found.responses + failed)
        yield _Finding(Verdict.DOUBT, f"{share:.0%} of the responses have no scores, and those may differ", True)
    if found.unread > MOST_LOST * (found.segments + found.unread):
        segments = found.segments + found.unread
        for kind, count in found.unread_kinds.items():
            helps = LONGER if kind == PAST_CONTEXT and not windows else HELPS[kind]
            reason = f"{count / segments:.0%} of the segments have no score ({SAID[kind]}). {helps}"
            yield _Finding(Verdict.DOUBT, reason, True)
    few = too_few(found.responses, found.prompts)
    if few is not None:
        yield _Finding(Verdict.DOUBT, few, True)
    if nothing_cut is not None:
        yield _Finding(Verdict.DOUBT, f"{nothing_cut}. Whole responses were scored, not steps", True)


def _on_agreement(found: "Calibration") -> Iterator[_Finding]:
    """Find how the scores agree with right and wrong responses, and with labels of steps."""
    steps = found.steps
    labelled = steps is not None and min(steps.right, steps.wrong) >= LEAST_OF_EACH and steps.informed is not None
    if steps is not None and labelled:
        yield _on_steps(steps.informed, steps.right, steps.wrong)
    few = _too_few_outcomes(found)
    if few is not None:
        if not labelled:
            yield _Finding(Verdict.DOUBT, few)
        return
    yield _on_area(found.area_of_mean, "of right against wrong responses")
    if found.mixed < LEAST_MIXED:
        reason = (
            f"{found.mixed} of {found.prompts} prompts have both right and wrong responses, {LEAST_MIXED} are needed: "
            "training compares responses to one prompt, and across prompts a PRM may only tell hard problems from easy "
            "ones"
        )
        yield _Finding(Verdict.DOUBT, reason)
    else:
        yield _on_area(found.area_within, "of right against wrong responses to the same prompt")


def _too_few_outcomes(found: "Calibration") -> str | None:
    right, wrong = found.outcomes_right, found.outcomes_wrong
    if not right and not wrong:
        return "no response is known to be right or wrong, so nothing shows what the scores are worth"
    if not right or not wrong:
        return f"all {right or wrong} responses are {'right' if right else 'wrong'}: agreement needs both kinds"
    if min(right, wrong) < LEAST_OF_EACH:
        return f"{right} right and {wrong} wrong responses are too few, at least {LEAST_OF_EACH} of each are needed"
    return None


def _on_area(area: "Estimate | None", what: str) -> _Finding:
    if area is None or area.low is None or area.high is None:
        return _Finding(Verdict.DOUBT, f"the AUROC {what} has no interval")
    said = f"the AUROC {what} is {area}"
    if area.high < 0.5:
        reason = f"{said}: wrong ones score higher. See with verl-prpo doctor whether reward.prm.family fits the model"
        return _Finding(Verdict.NOT, reason)
    if area.value < 0.5 and area.high < USEFUL:
        return _Finding(Verdict.NOT, f"{said}: no better than a coin at best ({USEFUL:g} would be useful)")
    if area.low <= 0.5:
        return _Finding(Verdict.DOUBT, f"{said}, which contains 0.5, a coin's: more responses, or a better PRM")
    if area.value < USEFUL:
        return _Finding(Verdict.DOUBT, f"{said}: hardly better than a coin ({USEFUL:g} would be useful)")
    return _Finding(Verdict.FIT, said)


def _on_steps(informed: "Estimate | None", right: int, wrong: int) -> _Finding:
    assert informed is not None
    said = (
        f"the informedness of its flags is {informed}: the share of {wrong} wrong steps that it flags, less that of "
        f"{right} right ones"
    )
    if informed.value < UNINFORMED and (informed.high is None or informed.high < INFORMED):
        return _Finding(Verdict.NOT, f"{said}. Training on such PRMs lost (docs/guide.md)")
    if informed.value < INFORMED or informed.low is None or informed.low < UNINFORMED:
        return _Finding(Verdict.DOUBT, f"{said}. {INFORMED:g} is what training gained with (docs/guide.md)")
    return _Finding(Verdict.FIT, said)
