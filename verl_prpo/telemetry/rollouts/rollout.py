# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""One response of a training step: its segments, and what each of its tokens was paid."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from verl_prpo.prm.conversation import Heard
from verl_prpo.step.conversation import Interlude, own_words


@dataclass(frozen=True)
class Segment:
    """A segment of a response.

    Attributes:
        begin, end: half-open span of tokens.
        text: the text of these tokens.
        score: the PRM's score, in its family's units. None where it gave none.
    """

    begin: int
    end: int
    text: str
    score: float | None


@dataclass(frozen=True)
class Rollout:
    """One response of a training step, and what each of its tokens was paid. Lists of numbers have one value per token.

    Attributes:
        step: the training step.
        uid: the group. Responses to the same prompt in the same step share it.
        prompt: the prompt as the policy read it, without special tokens.
        messages: the prompt as chat messages, as the PRM got it. A content that is not text is null.
        response: its text, decoded without special tokens.
        ground_truth: the ground truth of the data set. None where it has none.
        verifier_score: the outcome as the reward manager gave it.
        outcome_reward: the outcome as the estimator used it: times `algorithm.prpo.outcome_weight`, less a KL penalty
            if there is one.
        outcome_parts: what else the reward manager said (verl's `reward_extra_info`), such as `acc`.
        segments: they tile the response. An empty response has none. Where no PRM was asked, there is a single one
            without score.
        token_offsets: character of `response` at which each token's text begins. A special token may have no text. Nor
            has a token with the first bytes of a character, which belongs to the token with its last byte.
        response_mask: 1 on the policy's own tokens, 0 on those of tools and those that rollout correction rejected.
        entropy: entropy of the policy, in nats. None where verl computed none (`rollout_correction.bypass_mode`).
        surprisal: minus the log-probability of the token, in nats. It is that of the rollout where the rollout keeps
            log-probs, else that of the actor before the update.
        process_advantage: the part of the advantages that the process scores add, z under the paper's credit.
        outcome_advantage: the part that is left without the process scores.
        advantages: the advantages that the actor got.
        grpo_advantage: the advantage that verl's GRPO gives every token of the response.
        prm_latency: seconds from question to answer. None where the PRM was not asked.
        failure: why there are no scores, see `verl_prpo.prm.results.PrmFailure`. None when nothing failed.
        failure_detail: the same for people.
        overlong: whether the dialogue was longer than the PRM's context.
        cached: whether the scores were remembered from an equal dialogue.
        truncated: whether the response was cut off by a length limit.
        unfinished: whether its last segment was not judged because of that.
        hidden: segments, by number from 0, that are thoughts which the PRM was not shown.
        thoughts: half-open spans of tokens that are the policy's thoughts, tags included, whether or not they were
            hidden. Tags that are special tokens are in them too, though `response` does not show them. None in dumps of
            earlier versions.
        windows: number of windows in which the PRM read it. 0 where it did not read in windows.
        seen_from: for each segment of a response read in windows, the first one that the PRM saw before it, by number
            from 0. None for a segment that was not judged.
        prior_mean, prior_std: the prior that turned a score into z under the paper's credit, in units of the score.
            None where no PRM was asked, under the credit trust, which has no prior, and in dumps of earlier versions.
        interludes: what tools and others said in the middle of the response, as the PRM was shown it. There are none
            without tools, and none where no PRM was asked.
        key: key of the row in verl's TransferQueue, `{uid}_{session}_{index}`. No other row of the step has it.
        process_weight: w of the response under the credit trust. None under other credits.
        all_equal: whether its group counted as all-equal under that credit, so that w had a part in its advantages.
        relative_scores: each segment's score under that credit, less the group's mean, in standard deviations inside
            groups. None for a segment without a score, or without a token of the policy's own.
        data_source: the source of the prompt, as verl names it. It is empty in dumps of earlier versions.
    """

    step: int
    uid: str
    prompt: str
    messages: list[dict[str, Any]]
    response: str
    ground_truth: str | None
    verifier_score: float
    outcome_reward: float
    outcome_parts: dict[str, Any]
    segments: list[Segment]
    token_offsets: list[int]
    response_mask: list[int]
    entropy: list[float] | None
    surprisal: list[float] | None
    process_advantage: list[float]
    outcome_advantage: list[float]
    advantages: list[float]
    grpo_advantage: float
    prm_latency: float | None = None
    failure: str | None = None
    failure_detail: str = ""
    overlong: bool = False
    cached: bool = False
    truncated: bool = False
    unfinished: bool = False
    hidden: Sequence[int] = ()
    thoughts: Sequence[tuple[int, int]] | None = None
    windows: int = 0
    seen_from: Sequence[int | None] | None = None
    prior_mean: float | None = None
    prior_std: float | None = None
    interludes: list[Interlude] = field(default_factory=list)
    key: str = ""
    process_weight: float | None = None
    all_equal: bool = False
    relative_scores: list[float | None] | None = None
    data_source: str = ""

    @property
    def left_out(self) -> bool:
        """True if the PRM could not read all that it had to judge, because the dialogue was longer than its context."""
        if not self.windows:
            return self.overlong
        judged = self.segments[: -1 if self.unfinished else None]
        return any(segment.score is None and i not in self.hidden for i, segment in enumerate(judged))

    @property
    def turns(self) -> list[tuple[int, int]]:
        """The policy's turns, as half-open spans of tokens. They lie between the interludes."""
        ends = [0, *(one.end for one in self.interludes)]
        begins = [*(one.begin for one in self.interludes), len(self.response_mask)]
        return [(begin, end) for begin, end in zip(ends, begins, strict=True) if begin < end]

    def stretches(self) -> list[tuple[str, bool]]:
        """List what the policy and others said by turns. Together the texts are the response. True marks the policy."""
        reach = [*self.token_offsets, len(self.response)]
        edges = [0, *(token for one in self.interludes for token in (one.begin, one.end)), len(self.token_offsets)]
        texts = [self.response[reach[begin] : reach[end]] for begin, end in pairwise(edges)]
        return [(text, number % 2 == 0) for number, text in enumerate(texts)]

    @property
    def token_texts(self) -> list[str]:
        """The text that each token adds. Together these texts are the response."""
        ends = [*self.token_offsets[1:], len(self.response)]
        return [self.response[begin:end] for begin, end in zip(self.token_offsets, ends, strict=False)]

    @property
    def own(self) -> list[bool]:
        """True for each token that is the policy's own, which means that it lies outside the interludes."""
        said = [True] * len(self.token_offsets)
        for one in self.interludes:
            said[one.begin : one.end] = [False] * (one.end - one.begin)
        return said

    def spoken(self) -> tuple[list[str], list[Heard]]:
        """Give the response as the PRM got it: the policy's own words by segment, and what it heard between."""
        if not self.interludes:
            return [segment.text for segment in self.segments], []
        bounds = [(segment.begin, segment.end) for segment in self.segments]
        return own_words(self.token_texts, list(map(int, self.own)), bounds, self.interludes)

    def thought_tokens(self) -> list[bool] | None:
        """Find which tokens belong to the policy's thoughts, as training knew them.

        They are the tokens recorded as thoughts, else those that training hid. The result is None where the dump says
        neither.
        """
        spans = self.thoughts
        if spans is None:
            if not self.hidden:
                return None
            spans = [(self.segments[number].begin, self.segments[number].end) for number in self.hidden]
        found = [False] * len(self.token_offsets)
        for begin, end in spans:
            found[begin:end] = [True] * (end - begin)
        return [thought and own for thought, own in zip(found, self.own, strict=True)]

    def thought_characters(self) -> list[tuple[int, int]] | None:
        """Give the same as half-open spans of characters of the policy's own words. Spans without text are left out."""
        thoughts = self.thought_tokens()
        if thoughts is None:
            return None
        spans: list[tuple[int, int]] = []
        at = 0
        for text, own, thought in zip(self.token_texts, self.own, thoughts, strict=True):
            end = at + len(text) if own else at
            if thought and end > at:
                begin = spans.pop()[0] if spans and spans[-1][1] == at else at
                spans.append((begin, end))
            at = end
        return spans
