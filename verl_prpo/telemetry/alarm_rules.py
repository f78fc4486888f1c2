# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Rules that detect in the metrics of the last steps that the training signal has gone wrong.

Each rule looks at a window of steps (`algorithm.prpo.alarm_window`) and gives one line for people. The line says what
was seen, what it may mean and what helps. docs/metrics.md has the table.
"""

from collections import deque
from collections.abc import Callable, Mapping

import numpy as np

from verl_prpo.settings.prpo import PrpoConfig

TREND = 2.5
"""A series rises or falls where its Mann-Kendall statistic is beyond this many standard deviations. Chance does that in
0.6% of the windows of a series without trend."""
LEAST_RISE = 0.1
"""Least rise of the PRM's mean over a window, in standard deviations of its segment scores."""
LEAST_FALL = 0.02
"""Least fall of the outcome over a window, as a share of the range of outcomes."""
CORRELATION = -0.1
"""Process and outcome contradict each other where their mean correlation is below this."""
CERTAIN = 3.0
"""That mean must also be below 0 by this many standard errors, because few responses make a noisy correlation."""
SIGN_FLIPS = 0.4
"""The PRM outvotes the outcome where the mean share of tokens with a flipped sign is above this."""
ALL_EQUAL = 0.8
"""The outcome says next to nothing where the mean share of groups that agree is above this."""
AT_MIN_GAP = 0.9
"""Cuts follow the gap rather than the signal where the mean share of cuts exactly `min_gap` apart is above this."""
TRUNCATED = 0.2
"""Many responses are paid without an end to judge where the mean share of truncated ones is above this."""
SHORTER = 0.5
"""Responses have collapsed where their mean length is below this fraction of its value in the first window."""
SURER = 0.25
"""The policy has collapsed where its mean entropy is below this fraction of its value in the first window."""
EARNED = 0.1
"""Trust in the PRM has been lost where its weight was above this and is 0 now."""


class Window:
    """The metrics of the last steps."""

    def __init__(self, size: int):
        self._steps: deque[tuple[int, dict[str, float]]] = deque(maxlen=size)
        self._first: dict[str, float] = {}

    def add(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add the metrics of a step. The oldest step leaves the window."""
        self._steps.append((step, dict(metrics)))
        if self.full:
            for name in ("response_length/mean", "actor/entropy"):
                if np.isfinite(mean := self.mean(name)):  # a metric may begin later than the run
                    self._first.setdefault(name, mean)

    @property
    def full(self) -> bool:
        """True once there are as many steps as the window holds."""
        return len(self._steps) == self._steps.maxlen

    @property
    def span(self) -> str:
        """The window's first and last step, for people."""
        return f"steps {self._steps[0][0]} to {self._steps[-1][0]}"

    def series(self, name: str) -> np.ndarray:
        """Return a metric's values, oldest first. There are none unless at least half of the steps have it."""
        values = [float(metrics[name]) for _, metrics in self._steps if name in metrics]
        found = np.array([value for value in values if np.isfinite(value)])
        return found if 2 * len(found) >= len(self._steps) else found[:0]

    def mean(self, name: str) -> float:
        """Return the mean of `series`. It is NaN where `series` is empty, which compares as False with any bound."""
        values = self.series(name)
        return float(values.mean()) if len(values) else float("nan")

    def share_of_first(self, name: str) -> tuple[float, float]:
        """Return a metric's mean now and in the first full window that has it."""
        return self.mean(name), self._first.get(name, float("nan"))


def half_weight(metrics: Mapping[str, float], settings: PrpoConfig) -> str | None:
    """Return the line for outcome rewards that span 0 to 1, where the paper's span -1 to +1.

    There is none where a setting makes up for the difference.
    """
    spans = (metrics.get("critic/score/min"), metrics.get("critic/score/max"))
    shifts = settings.credit in ("prpo", "prm_avg_prpo") and settings.outcome_norm == "mean"
    if spans != (0.0, 1.0) or not shifts or settings.outcome_weight != 1.0:
        return None
    return (
        "the outcome rewards span 0 to 1, and the paper's span -1 to +1. So the outcome has half the weight that it "
        "has in the paper, and the policy may learn to please the PRM with wrong answers. Set "
        "++algorithm.prpo.outcome_weight=2.0."
    )


def trend(values: np.ndarray) -> tuple[float, float]:
    """Measure whether a series rises or falls, robust to outliers and to the shape of the noise.

    Args:
        values: float `[n]`, evenly spaced.

    Returns:
        The Mann-Kendall statistic in standard deviations, corrected for ties, and the change over the series by Theil
        and Sen. Without trend the first is near 0, whatever the distribution of independent noise. The second is the
        median slope between two values times n - 1.
    """
    n = len(values)
    if n < 3:
        return 0.0, 0.0
    earlier, later = np.triu_indices(n, 1)
    differences = values[later] - values[earlier]
    score = np.sign(differences).sum()
    ties = np.unique(values, return_counts=True)[1]
    variance = (n * (n - 1) * (2 * n + 5) - (ties * (ties - 1) * (2 * ties + 5)).sum()) / 18
    # A continuity correction takes 1 from the score. scipy's kendalltau has none, and finds more trends in noise.
    z = (score - np.sign(score)) / np.sqrt(variance) if variance > 0 else 0.0
    return float(z), float(np.median(differences / (later - earlier)) * (n - 1))


def _against_outcome(window: Window, settings: PrpoConfig) -> str | None:
    prm, outcome, range_of_outcomes = window.series("prpo/process_score/mean"), window.series("prpo/verdict/right"), 1.0
    if not len(outcome):  # nothing says which responses are right: the rewards, penalties and all
        outcome = window.series("critic/score/mean")
        highest, lowest = window.series("critic/score/max"), window.series("critic/score/min")
        range_of_outcomes = highest.max() - lowest.min() if len(highest) and len(lowest) else 0.0
    (rises, rise), (falls, fall) = trend(prm), trend(outcome)
    if rises < TREND or falls > -TREND:
        return None
    if rise < LEAST_RISE * np.nan_to_num(window.mean("prpo/process_score/std")):
        return None
    if -fall < LEAST_FALL * range_of_outcomes:
        return None
    return (
        f"the PRM's mean score rose by {rise:.3g} (now {prm[-1]:.3g}) while the outcome fell by {-fall:.3g} (now "
        f"{outcome[-1]:.3g}). The policy may be learning to please the PRM. Look at the wrong answers that it scores "
        f"high (verl-prpo report), {_less_prm(settings)}, or cut responses elsewhere (algorithm.prpo.segmenter)."
    )


def _less_prm(settings: PrpoConfig) -> str:
    """Name the setting that takes weight from the PRM."""
    if settings.credit == "trust":
        return "set ++algorithm.prpo.process_weight=0 for GRPO"
    return "raise algorithm.prpo.outcome_weight"


def _contradicts_outcome(window: Window, _: PrpoConfig) -> str | None:
    values = window.series("prpo/process_outcome_corr")
    if len(values) < 2:
        return None
    mean, error = values.mean(), values.std(ddof=1) / np.sqrt(len(values))
    if mean > CORRELATION or mean + CERTAIN * error > 0:
        return None
    return (
        f"process scores and outcomes correlate by {mean:.2f} on average. The PRM may be used with the wrong family, "
        "or these problems may be beyond it. Check reward.prm.family with verl-prpo doctor, and compare the scores of "
        "right and wrong answers with verl-prpo calibrate."
    )


def _flips_signs(window: Window, settings: PrpoConfig) -> str | None:
    share = window.mean("prpo/sign_flip")
    if not share > SIGN_FLIPS:
        return None
    if settings.credit == "trust":
        return (
            f"{share:.0%} of the tokens get an advantage with the opposite sign of GRPO's. In groups that are all "
            "right or all wrong the PRM outvotes what still spreads their rewards, such as a length penalty. Set "
            "algorithm.prpo.process_weight to a smaller number."
        )
    return (
        f"{share:.0%} of the tokens get an advantage with the opposite sign of GRPO's. The PRM outvotes the outcome. "
        "Raise algorithm.prpo.outcome_weight (to 2.0 for a verifier that gives 1 and 0), or set "
        "algorithm.prpo.prior_mean and algorithm.prpo.prior_std to what verl-prpo calibrate prints."
    )


def _groups_agree(window: Window, settings: PrpoConfig) -> str | None:
    share = window.mean("prpo/group/all_equal")
    if not share > ALL_EQUAL:
        return None
    if settings.credit == "trust":
        return (
            f"in {share:.0%} of the groups all outcomes are equal. GRPO learns nothing there, and few mixed groups are "
            "left to check the PRM. The problems are too hard or too easy. Use other problems, or raise "
            "actor_rollout_ref.rollout.n."
        )
    return (
        f"in {share:.0%} of the groups all outcomes are equal, so the PRM alone decides there. The problems are too "
        "hard or too easy. Use other problems, raise actor_rollout_ref.rollout.n, or set "
        "++algorithm.prpo.skip_all_equal_groups=True."
    )


def _truncated(window: Window, settings: PrpoConfig) -> str | None:
    share = window.mean("prpo/truncated")
    if not share > TRUNCATED or settings.skip_truncated_responses:
        return None
    return (
        f"{share:.0%} of the responses are cut off by a length limit. Their last segment is not judged, so the "
        "limit costs them nothing there. Raise data.max_response_length, or set "
        "++algorithm.prpo.skip_truncated_responses=True."
    )


def _one_segment(window: Window, settings: PrpoConfig) -> str | None:
    anchors = settings.anchor_bounds[1] if settings.max_anchors == "auto" else settings.max_anchors
    wanted = {
        "single": 1,
        "uniform": settings.num_segments,
        "random": settings.num_segments,
        "entropy": anchors + 1,
        "surprisal": anchors + 1,
    }
    most = window.series("prpo/segments/max")
    hides = window.mean("prpo/segments/hidden/mean") > 0
    if len(most) and most.max() == 0 and hides:
        return (
            "no response says anything outside its hidden thoughts (reward.prm.thinking=hide), so the PRM judges "
            "nothing. Thoughts may be cut off (prpo/truncated): raise data.max_response_length. Or the policy does not "
            "close them: set ++reward.prm.thinking=score."
        )
    if wanted.get(settings.cuts_by, 2) < 2 or not len(most) or most.max() > 1:
        return None
    cause = {
        "text": "They hold none of algorithm.prpo.delimiters. Set it to texts that end their steps.",
        "tokens": "They hold none of algorithm.prpo.delimiter_token_ids. Set it to tokens that end their steps.",
    }.get(
        settings.cuts_by,
        f"They are too short for algorithm.prpo.min_gap={settings.min_gap}, or they have collapsed. Look at some of "
        "them, or lower algorithm.prpo.min_gap.",
    )
    length = window.mean("prpo/segment_length/mean")
    if hides:
        return (
            "outside its hidden thoughts (reward.prm.thinking=hide) every response is one segment (of "
            f"{length:.0f} tokens on average), so the PRM judges answers as a whole. {cause}"
        )
    return (
        f"every response is one segment (of {length:.0f} tokens on average), so the PRM judges responses as a whole. "
        f"{cause}"
    )


def _cuts_at_gap(window: Window, settings: PrpoConfig) -> str | None:
    share = window.mean("prpo/segments/at_min_gap")
    if not share > AT_MIN_GAP:
        return None
    by_length = settings.max_anchors == "auto"
    fewer = "Raise algorithm.prpo.tokens_per_anchor" if by_length else "Lower algorithm.prpo.max_anchors"
    return (
        f"{share:.0%} of the cuts lie exactly algorithm.prpo.min_gap={settings.min_gap} tokens apart. They follow the "
        f"gap and not the signal. {fewer}, or set algorithm.prpo.min_gap to the length of a step."
    )


def _shorter(window: Window, settings: PrpoConfig) -> str | None:
    now, first = window.share_of_first("response_length/mean")
    if not now < SHORTER * first:
        return None
    helps = (
        f". Look at some responses, and {_less_prm(settings)}."
        if settings.credit == "trust"
        else ", or the mean of z may be above 0 (prpo/process_advantage/mean). Look at some responses, and set "
        "algorithm.prpo.prior_mean to what verl-prpo calibrate prints."
    )
    return (
        f"responses have {now:.0f} tokens on average, and had {first:.0f} in the first window. The PRM may prefer "
        f"short answers{helps}"
    )


def _surer(window: Window, _: PrpoConfig) -> str | None:
    now, first = window.share_of_first("actor/entropy")
    if not now < SURER * first:
        return None
    return (
        f"the policy's entropy is {now:.3g} nats on average, and was {first:.3g} in the first window. It explores "
        "little. If accuracy no longer rises, lower actor_rollout_ref.actor.optim.lr or add a KL term "
        "(actor_rollout_ref.actor.use_kl_loss=True)."
    )


def _lost_trust(window: Window, settings: PrpoConfig) -> str | None:
    weights = window.series("prpo/trust/weight")
    if settings.process_weight != "auto" or not len(weights) or weights.max() <= EARNED or weights[-1] > 0:
        return None
    return (
        f"the PRM had earned a weight of {weights.max():.2f} and has lost it. Its scores no longer say which responses "
        "are right, and the policy may have learnt to please it. Training is GRPO until that changes. Look at the "
        "wrong answers that it scores high (verl-prpo report)."
    )


RULES: dict[str, Callable[[Window, PrpoConfig], str | None]] = {
    "prm_up_outcome_down": _against_outcome,
    "anti_correlation": _contradicts_outcome,
    "sign_flips": _flips_signs,
    "all_equal_groups": _groups_agree,
    "truncated_responses": _truncated,
    "single_segments": _one_segment,
    "min_gap_segments": _cuts_at_gap,
    "length_collapse": _shorter,
    "entropy_collapse": _surer,
    "trust_lost": _lost_trust,
}
"""The rule of each alarm. It returns what was seen and what helps, or None."""
