# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The two messages between the trainer and verl's reward-loop workers: a response to score, and its scores."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from verl_prpo.prm.results import PrmFailure, PrmResult, context_shares
from verl_prpo.step.conversation import Interlude

TO_SCORE_NOW = "process_request"
"""Column of a request for process scores alone."""

TO_SCORE_BESIDE = "finished_response"
"""Column of a response that has just finished, or a session with several: it gets its outcome reward and its process
scores."""

SCORES = "process_result"
"""Where a worker puts the `Scores`."""


@dataclass(frozen=True)
class ToScore:
    """One response to score.

    The trainer sends one that it has cut (`bounds`, `truncated`). An agent loop sends one as it finishes, with what a
    worker needs to cut it (`log_probs`, `prompt_length`).

    Attributes:
        key: the row's TransferQueue key, `{uid}_{session}_{index}`.
        messages: the prompt as chat messages (`raw_prompt`).
        response_ids: token ids of the response, without padding.
        bounds: half-open token spans that tile the response; None where the worker cuts it.
        truncated: whether it was cut off by a length limit.
        response_mask: 1 on the policy's own tokens, one per token; None where all of them are.
        log_probs: of the sampled tokens under the rollout, one per token; None where the rollout keeps none.
        prompt_length: tokens of the prompt.
        row: of the data, for a score function, see `data_row`. {} where the worker has it already, or nobody reads it.
        prompt_ids: token ids of the prompt, where the worker cuts the response.
        hidden: of a response cut by the trainer, which segments are thoughts that the PRM is not shown.
    """

    key: str
    messages: Sequence[dict[str, Any]]
    response_ids: list[int]
    bounds: list[tuple[int, int]] | None = None
    truncated: bool = False
    response_mask: list[int] | None = None
    log_probs: list[float] | None = None
    prompt_length: int = 0
    row: Mapping[str, Any] = field(default_factory=dict)
    prompt_ids: list[int] = field(default_factory=list)
    hidden: list[bool] = field(default_factory=list)


def data_row(columns: Mapping[str, Any]) -> dict[str, Any]:
    """What a score function is given of a row of the data, under the names that verl's reward functions know.

    Args:
        columns: of the row, among them `data_source`, `reward_model` and `extra_info`.

    Returns:
        data_source and ground_truth, None where there is none, and a copy of extra_info.
    """
    reward_model, extra_info = columns.get("reward_model"), columns.get("extra_info")
    return {
        "data_source": columns.get("data_source"),
        "ground_truth": reward_model.get("ground_truth") if isinstance(reward_model, Mapping) else None,
        "extra_info": dict(extra_info) if isinstance(extra_info, Mapping) else {},
    }


@dataclass(frozen=True)
class FinishedSession:
    """All outputs of a session that gave several, in their order, each with its own prompt: a bundle of `ToScore`."""

    outputs: list[ToScore]


@dataclass(frozen=True)
class Scores(PrmResult):
    """What the PRM made of one response: its result, and what the worker knows besides.

    A response in which nothing can be judged (no words, or nothing but an unfinished segment) has neither scores nor a
    failure.

    Attributes:
        texts: the text of each segment, tools' words included; together they are the decoded response.
        interludes: what tools and others said in the middle of the response.
        unfinished: whether the last segment was not judged because the response was cut off within it.
        hidden: which segments are thoughts that the PRM was not shown (`reward.prm.thinking=hide`); none where nothing
            is hidden.
        starts: columns at which the segments start, where the worker cut the response; None where it did not, or could
            not.
        fingerprint: of the settings under which the worker cut it, see `verl_prpo.trainer.schedule.fingerprint`.
        arrived, asked, answered: when the response came, the PRM was asked and had answered, in seconds of `clock`. The
            last two are equal where it was not asked.
        clock: which clock these were read from, see `verl_prpo.step.clock`.
        answered_at: the moment of the answer in seconds of the epoch, to tell an earlier run's results.
    """

    texts: list[str] = field(default_factory=list)
    interludes: list[Interlude] = field(default_factory=list)
    unfinished: bool = False
    hidden: list[bool] = field(default_factory=list)
    starts: list[int] | None = None
    fingerprint: str = ""
    arrived: float = field(default=0.0, compare=False)
    asked: float = field(default=0.0, compare=False)
    answered: float = field(default=0.0, compare=False)
    clock: str = field(default="", compare=False)
    answered_at: float = field(default=0.0, compare=False)

    @classmethod
    def of(cls, result: PrmResult, **known: Any) -> "Scores":
        """A PRM's result with what the worker knows besides."""
        return cls(**{entry.name: getattr(result, entry.name) for entry in fields(PrmResult)}, **known)

    @property
    def asked_about(self) -> bool:
        """Whether the PRM was asked: it gave scores or failed."""
        return self.scores is not None or self.failure is not None

    @property
    def shown_text(self) -> str:
        """The response as it was cut: without hidden thoughts, tools' words included."""
        hidden = self.hidden or [False] * len(self.texts)
        return "".join(text for text, thought in zip(self.texts, hidden, strict=False) if not thought)

    @property
    def unread(self) -> int:
        """Segments that did not fit into the PRM's context, which have no score. An unfinished last segment is none of
        them, nor is a hidden thought."""
        return self._without_score if self.overlong else 0

    @property
    def abstained(self) -> int:
        """Segments that a score function read and gave None."""
        return 0 if self.overlong else self._without_score

    @property
    def _without_score(self) -> int:
        scores = (self.scores or [])[: -1 if self.unfinished else None]
        hidden = self.hidden or [False] * len(scores)
        return sum(score is None and not thought for score, thought in zip(scores, hidden, strict=False))

    @property
    def context_shares(self) -> list[float]:
        """Of a response read in windows: for each judged segment with something before it, how much of that the PRM had
        seen, from 0 to 1, in characters. Hidden thoughts do not count."""
        if self.seen_from is None:
            return []
        hidden = self.hidden or [False] * len(self.texts)
        lengths = [0 if thought else len(text) for text, thought in zip(self.texts, hidden, strict=True)]
        return context_shares(self.seen_from, lengths)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as verl's agent loop passes on."""
        return {**asdict(self), "failure": self.failure.value if self.failure is not None else None}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Scores":
        """Back from `as_dict`. A field that another version wrote is left out."""
        names = {entry.name for entry in fields(cls)}
        known = {name: value for name, value in data.items() if name in names}
        if known.get("failure") is not None:
            kinds = {kind.value for kind in PrmFailure}  # another version may know others
            known["failure"] = PrmFailure(known["failure"] if known["failure"] in kinds else "engine_error")
        known["interludes"] = [Interlude.from_dict(interlude) for interlude in known.get("interludes", ())]
        return cls(**known)
