# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The records of a step's responses on their way into verl's rollout dump.

verl writes the dump in a thread of its own, line by line. So a record is worked out there, when its line is due. The
step does not wait for it, and of all records only one is ever in memory.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from torch import Tensor

from verl_prpo.method.segmentation import segment_bounds
from verl_prpo.prm.conversation import message_text
from verl_prpo.step.cutting import thoughts_behind
from verl_prpo.step.messages import Scores
from verl_prpo.telemetry.rollouts.format import record_of
from verl_prpo.telemetry.rollouts.rollout import Rollout, Segment
from verl_prpo.telemetry.step_report import StepReport
from verl_prpo.text.decoding import token_texts


@dataclass
class PendingRecord:
    """The record of one response, worked out when verl's writer comes to it.

    Attributes:
        report: the report of the update that the response belongs to.
        row: the response's row in it.
        tokenizer: the policy's. Only the writer's thread uses it, since a tokenizer is not made for two threads.
        entropy, surprisal: float `[length]`, in nats. None where there is none.
        outcome_parts: what the reward manager said besides the reward.
        columns: verl's own columns of the row: step, input, output, gts, score, uid.
        prompt_ids: token ids of the prompt, which say whether the response begins inside a thought. None where they are
            not known.
    """

    report: StepReport
    row: int
    tokenizer: Any
    entropy: Tensor | None = None
    surprisal: Tensor | None = None
    outcome_parts: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=dict)
    prompt_ids: Sequence[int] | None = None

    def tolist(self) -> dict[str, Any]:
        """Make the record as plain data. verl's writer calls this on whatever JSON does not know.

        Raises:
            RuntimeError: it cannot be made. verl then stops the run with this error at the next step's dump, or at the
                end.
        """
        try:
            rollout = self.rollout()
            record = record_of(rollout)
        except Exception as error:
            raise RuntimeError(
                f"no record of response {self.columns.get('uid')} for the rollout dump of step "
                f"{self.columns.get('step')}: {type(error).__name__}: {error}. Set "
                "++algorithm.prpo.dump_responses=0 to dump without records"
            ) from error
        if rollout.response != self.columns["output"]:  # a pad token that is none of the special ones, say
            record["response"] = rollout.response
        return record

    def rollout(self) -> Rollout:
        """Make the response as `verl_prpo.telemetry.rollouts.read.read_rollouts` gives it."""
        report, row, columns = self.report, self.row, self.columns
        scored = report.scored
        ids, result = scored.rollouts.response_ids[row], scored.scores[row] or Scores()
        texts = token_texts(self.tokenizer, ids)
        offsets = list(accumulate(map(len, texts), initial=0))
        mask = report.response_mask[row, : len(ids)]
        own = mask.nonzero()[:, 0]
        spans = segment_bounds(scored.segment_starts[row], len(ids))
        segments = _segments(result, spans, "".join(texts), offsets)
        weights = report.process_weights
        prior = report.prior if result.asked_about and weights is None else (None, None)
        return Rollout(
            step=int(columns["step"]),
            uid=str(report.index[row]),
            prompt=columns["input"],
            messages=_texts(scored.rollouts.messages[row]),
            response="".join(texts),
            ground_truth=columns["gts"],
            verifier_score=float(columns["score"]),
            outcome_reward=report.outcome_rewards[row].item(),
            outcome_parts={str(name): _as_data(part) for name, part in self.outcome_parts.items()},
            segments=segments,
            token_offsets=offsets[:-1],
            response_mask=mask.int().tolist(),
            entropy=None if self.entropy is None else self.entropy[: len(ids)].tolist(),
            surprisal=None if self.surprisal is None else self.surprisal[: len(ids)].tolist(),
            process_advantage=report.process_advantage[row, : len(ids)].tolist(),
            outcome_advantage=report.outcome_advantage[row, : len(ids)].tolist(),
            advantages=report.advantages[row, : len(ids)].tolist(),
            grpo_advantage=report.grpo_advantage[row, own[0]].item() if len(own) else 0.0,
            prm_latency=result.answered - result.asked if result.asked_about else None,
            failure=None if result.failure is None else str(result.failure),
            failure_detail=result.detail,
            overlong=result.overlong,
            cached=result.cached,
            truncated=scored.rollouts.truncated[row],
            unfinished=result.unfinished,
            hidden=[i for i, not_shown in enumerate(result.hidden) if not_shown],
            thoughts=None if self.prompt_ids is None else self._thoughts(ids, texts),
            windows=result.windows,
            seen_from=result.seen_from,
            prior_mean=prior[0],
            prior_std=prior[1],
            interludes=result.interludes,
            key=columns["uid"],
            process_weight=None if weights is None else weights[row].item(),
            all_equal=weights is not None and bool(report.agree[row]),
            relative_scores=None if weights is None else _at_segments(segments, mask, report.relative_scores[row]),
            data_source="" if report.data_sources is None else str(report.data_sources[row]),
        )

    def _thoughts(self, ids: Sequence[int], texts: Sequence[str]) -> list[tuple[int, int]]:
        """Find the spans of tokens that are thoughts, as the segmenter gets them with `reward.prm.thinking=hide`."""
        rollouts = self.report.scored.rollouts
        own = rollouts.response_mask[self.row, : len(ids)].bool().tolist()
        prompt = [] if self.prompt_ids is None else self.prompt_ids
        flags = thoughts_behind(self.tokenizer, prompt, rollouts.messages[self.row], ids, own, texts)
        begins = [at for at, flag in enumerate(flags) if flag and not (at and flags[at - 1])]
        ends = [at + 1 for at, flag in enumerate(flags) if flag and not (at + 1 < len(flags) and flags[at + 1])]
        return list(zip(begins, ends, strict=True))


def choose(reports: Mapping[str, tuple[StepReport, int]], limit: int | None) -> list[str]:
    """Choose the responses of a step whose records are written.

    Args:
        reports: by key, the report that a response stands in, and its row there.
        limit: most of them. None chooses all.

    Returns:
        Keys of whole groups, as far as they fit. Where not one fits, the keys of a part of one. The uids alone decide
        which groups, so the same rollouts give the same choice.
    """
    groups: dict[str, list[str]] = {}
    for key, (report, row) in reports.items():
        groups.setdefault(str(report.index[row]), []).append(key)
    ordered = [groups[uid] for uid in sorted(groups, key=lambda uid: hashlib.blake2b(uid.encode()).digest())]
    if limit is None:
        return [key for group in ordered for key in group]
    chosen: list[str] = []
    for group in ordered:
        if len(chosen) + len(group) <= limit:
            chosen += group
    return chosen or [key for group in ordered[:1] for key in group[:limit]]


def _segments(result: Scores, spans: Sequence[tuple[int, int]], response: str, offsets: Sequence[int]) -> list[Segment]:
    texts = [response[offsets[begin] : offsets[end]] for begin, end in spans]
    if "".join(result.texts) == response and len(result.texts) == len(spans):
        texts = result.texts
    scores = [None] * len(spans) if result.scores is None else result.scores
    return [Segment(begin, end, text, score) for (begin, end), text, score in zip(spans, texts, scores, strict=True)]


def _at_segments(segments: Sequence[Segment], mask: Tensor, values: Tensor) -> list[float | None]:
    """Return the value of each segment's first trained token, None for a segment that has no score or no such token."""
    found: list[float | None] = []
    for segment in segments:
        own = mask[segment.begin : segment.end].nonzero()[:, 0]
        known = segment.score is not None and len(own) > 0
        found.append(values[segment.begin + int(own[0])].item() if known else None)
    return found


def _as_data(part: Any) -> Any:
    """Return what a reward function said besides the reward as plain data, or as text where JSON cannot hold it."""
    try:
        return json.loads(json.dumps(part, default=lambda value: value.tolist()))
    except (AttributeError, TypeError, ValueError, RecursionError):
        return str(part)


def _texts(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return chat messages as plain data. A content that is not text is null."""
    found = []
    for message in messages:
        try:
            content: str | None = message_text(message)
        except ValueError:
            content = None
        found.append({"role": str(message.get("role")), "content": content})
    return found
