# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The advantages that PRPO would pay for the responses of a dump: rollouts as a run with PRPO would have dumped them.

The functions are pure: the rows of the dump, their cuts and the PRM's results go in, and rollouts come out. Advantages
are those of the estimator under the user's settings. No run was trained with them.
"""

import functools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
import torch

from verl_prpo.method.groups import all_equal_groups
from verl_prpo.method.trust import agreement
from verl_prpo.outcome.verdicts import SOURCES, VerdictReader
from verl_prpo.prm.encoding.shown import Shown, shown_steps
from verl_prpo.prm.results import PrmResult
from verl_prpo.settings.prpo import PrpoConfig
from verl_prpo.step.conversation import Interlude, own_words
from verl_prpo.step.credit import OutcomeRewards, ProcessRewards, advantages_of
from verl_prpo.telemetry.rollouts.rollout import Rollout, Segment

_KEY = re.compile(r"(.+)_\d+_\d+")


@dataclass(frozen=True)
class Plain:
    """A response of a dump without records.

    Attributes:
        step, key, uid: the training step, the name of the response, and that of its group.
        prompt, text, truth: prompt, response and ground truth as verl dumped them.
        reward: the verifier's score.
        parts: what else the row says of the outcome, such as `acc`.
        place: where the row stands, for people.
        record: the record of a run with PRPO. None where the row has none.
        data_source: the source of the prompt, as verl names it. Empty where the row does not say it.
        cut_by_run: whether the segments of the record are those of a segmenter.
    """

    step: int
    key: str
    uid: str
    prompt: str
    text: str
    truth: str | None
    reward: float
    parts: Mapping[str, Any]
    place: str = ""
    record: Rollout | None = None
    data_source: str = ""
    cut_by_run: bool = False


@dataclass(frozen=True)
class Cut:
    """A response in tokens and segments.

    Attributes:
        tokens: the text that each token adds. Together these texts are the response.
        starts: the first token of each segment.
        hidden: which segments are thoughts that the PRM is not shown. Empty where nothing is hidden.
        trained: which tokens get an advantage.
        interludes: what tools and others said in the middle.
        truncated: whether a length limit cut it off, as far as the dump says it.
        kept: whether the segments are those of its record.
    """

    tokens: Sequence[str]
    starts: Sequence[int]
    hidden: Sequence[bool] = ()
    trained: Sequence[bool] = ()
    interludes: Sequence[Interlude] = ()
    truncated: bool = False
    kept: bool = False

    @property
    def spans(self) -> list[tuple[int, int]]:
        """The half-open spans of the segments, in tokens. A response without text has none."""
        ends = [*self.starts[1:], len(self.tokens)] if self.starts else []
        return list(zip([0, *self.starts[1:]] if self.starts else [], ends, strict=True))

    def segments(self) -> list[str]:
        """Return the texts of the segments."""
        return ["".join(self.tokens[begin:end]) for begin, end in self.spans]

    @functools.cached_property
    def shown(self) -> Shown:
        """The part of the response that a PRM is shown, as in training."""
        if not self.interludes:
            return shown_steps(self.segments(), self.truncated, hidden=self.hidden)
        own = [1] * len(self.tokens)
        for one in self.interludes:
            own[one.begin : one.end] = [0] * (one.end - one.begin)
        said, heard = own_words(self.tokens, own, self.spans, self.interludes)
        return shown_steps(said, self.truncated, heard=heard, hidden=self.hidden)

    def scores(self, result: PrmResult | None) -> list[float | None]:
        """Return one score per segment, None where there is none."""
        return [None] * len(self.starts) if result is None or result.scores is None else result.scores


def plain_response(row: Mapping[str, Any], line: int) -> Plain:
    """Read a row of verl's dump, which has at least `input`, `output` and `score`.

    Args:
        row: the columns.
        line: the line of the row, which names a response without a key.

    Raises:
        KeyError, ValueError, TypeError: a column that is missing or of another kind.
    """
    key = str(row.get("uid") or "")
    found = _KEY.fullmatch(key)
    return Plain(
        step=int(row.get("step") or 0),
        key=key or f"line {line}",
        # Responses to one prompt are a group, whatever their keys look like.
        uid=found[1] if found else str(row["input"]),
        prompt=str(row["input"]),
        text=str(row["output"]),
        truth=None if row.get("gts") is None else str(row["gts"]),
        reward=float(row["score"]),
        parts={name: row[name] for name in SOURCES if name != "score" and row.get(name) is not None},
        data_source=str(row.get("data_source") or ""),
    )


def words(text: str) -> list[str]:
    """Split a text into words with the white space around them. They stand for tokens where no tokenizer is given."""
    return re.findall(r"\n+|[^\S\n]*\S+|[^\S\n]+", text)


def paid(
    plain: Sequence[Plain],
    cuts: Sequence[Cut],
    messages: Sequence[Sequence[Mapping[str, Any]]],
    results: Sequence[PrmResult | None],
    settings: PrpoConfig,
    prior: tuple[float, float],
) -> list[Rollout]:
    """Work out what PRPO would pay each token of the responses, and what GRPO pays it.

    Args:
        plain: the responses, in whole groups.
        cuts: the cuts of each.
        messages: the prompt of each as the PRM was given it.
        results: the PRM's result for each. None for a response that was not sent because it has no text.
        settings: `algorithm.prpo`.
        prior: mean and standard deviation of the PRM's family.
    """
    length = max((len(cut.tokens) for cut in cuts), default=0)
    shape = (len(plain), length)
    scores, starts = torch.zeros(shape), torch.zeros(shape, dtype=torch.bool)
    mask, scored = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.bool)
    for row, (cut, result) in enumerate(zip(cuts, results, strict=True)):
        mask[row, : len(cut.tokens)] = torch.tensor(cut.trained, dtype=torch.bool)
        starts[row, list(cut.starts)] = True
        for (begin, end), score in zip(cut.spans, cut.scores(result), strict=True):
            if score is not None:
                scores[row, begin:end], scored[row, begin:end] = score, True
    index = np.array([f"{one.step} {one.uid}" for one in plain], dtype=object)
    rewards = settings.outcome_weight * torch.tensor([one.reward for one in plain])
    given = ProcessRewards(scores, starts, scored, *prior)
    truncated = torch.tensor([cut.truncated for cut in cuts], dtype=torch.bool)
    if truncated.any():
        given = replace(given, outcomes=OutcomeRewards(rewards, all_equal_groups(rewards, index), truncated))
    if settings.credit == "trust":
        given = _trusted(given, plain, rewards, mask, index, settings, truncated)

    def advantages(known: torch.Tensor, under: PrpoConfig) -> torch.Tensor:
        return advantages_of(replace(given, scored=known), under, rewards, mask, index)

    total = advantages(scored, settings)
    outcome = advantages(torch.zeros_like(scored), settings)
    grpo = advantages(scored, PrpoConfig(credit="outcome", outcome_norm="mean_std"))
    rollouts = [
        _rollout(one, cut, said, result, rewards[row].item(), *(kind[row] for kind in (total, outcome, grpo)))
        for row, (one, cut, said, result) in enumerate(zip(plain, cuts, messages, results, strict=True))
    ]
    if given.weights is None or given.outcomes is None:
        return rollouts
    alone = replace(given, outcomes=None, weights=torch.ones_like(rewards))
    relative = advantages_of(alone, settings, torch.zeros_like(rewards), mask, index)
    return [
        replace(
            rollout,
            process_weight=given.weights[row].item(),
            all_equal=bool(given.outcomes.agree[row]),
            relative_scores=[_of_segment(segment, relative[row], mask[row]) for segment in rollout.segments],
        )
        for row, rollout in enumerate(rollouts)
    ]


def _of_segment(segment: Segment, values: torch.Tensor, mask: torch.Tensor) -> float | None:
    """Return the value of a segment's first trained token, or None for one without a score or such a token."""
    trained = mask[segment.begin : segment.end].nonzero()[:, 0].tolist()
    return values[segment.begin + trained[0]].item() if trained and segment.score is not None else None


def _trusted(
    given: ProcessRewards,
    plain: Sequence[Plain],
    rewards: torch.Tensor,
    mask: torch.Tensor,
    index: np.ndarray,
    settings: PrpoConfig,
    truncated: torch.Tensor,
) -> ProcessRewards:
    """Add to process rewards the weight that is set, or the weight that the PRM earns on these very responses."""
    verdicts = VerdictReader().read([one.reward for one in plain], [one.parts for one in plain])
    agree = torch.tensor(verdicts.agree(list(index)), dtype=torch.bool)
    outcomes = OutcomeRewards(rewards, agree, truncated)
    if settings.process_weight == "auto":
        right = torch.tensor([math.nan if fine is None else float(fine) for fine in verdicts.right])
        weight = agreement(given.process_scores, right, mask, index, scored=given.scored, left_out=truncated).weight
    else:
        weight = float(settings.process_weight)
    return replace(given, outcomes=outcomes, weights=torch.full((len(plain),), weight))


def _rollout(
    plain: Plain,
    cut: Cut,
    messages: Sequence[Mapping[str, Any]],
    result: PrmResult | None,
    reward: float,
    total: torch.Tensor,
    outcome: torch.Tensor,
    grpo: torch.Tensor,
) -> Rollout:
    count = len(cut.tokens)
    found = result or PrmResult()
    known = plain.record
    first = next((token for token, trained in enumerate(cut.trained) if trained), None)
    return Rollout(
        step=plain.step,
        uid=plain.uid,
        prompt=plain.prompt,
        messages=[dict(message) for message in messages],
        response=plain.text,
        ground_truth=plain.truth,
        verifier_score=plain.reward,
        outcome_reward=reward,
        outcome_parts=dict(plain.parts),
        segments=[
            Segment(begin, end, text, score)
            for (begin, end), text, score in zip(cut.spans, cut.segments(), cut.scores(result), strict=True)
        ],
        token_offsets=list(accumulate(map(len, cut.tokens), initial=0))[:-1],
        response_mask=list(map(int, cut.trained)),
        entropy=None if known is None else known.entropy,
        surprisal=None if known is None else known.surprisal,
        process_advantage=(total - outcome)[:count].tolist(),
        outcome_advantage=outcome[:count].tolist(),
        advantages=total[:count].tolist(),
        grpo_advantage=0.0 if first is None else grpo[first].item(),
        failure=None if found.failure is None else found.failure.value,
        failure_detail=found.detail,
        overlong=found.overlong,
        cached=found.cached,
        truncated=cut.truncated,
        unfinished=cut.shown.unfinished,
        interludes=list(cut.interludes),
        thoughts=None if known is None else known.thoughts,
        data_source=plain.data_source,
        hidden=[number for number, is_hidden in enumerate(cut.hidden) if is_hidden],
        windows=found.windows,
        seen_from=found.seen_from,
        key=plain.key,
    )
