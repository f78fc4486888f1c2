# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Define the two messages between the trainer and verl's reward-loop workers: a response to score, and its scores."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from verl_prpo.prm.results import PrmFailure, PrmResult, context_shares
from verl_prpo.step.conversation import Interlude

TO_SCORE_NOW = "process_request"
"""Column of a request for process scores alone."""

TO_SCORE_BESIDE = "finished_response"
"""Column of a response that has just finished, or of a session with several. It gets its outcome reward and its
process scores."""

SCORES = "process_result"
"""Column where a worker puts the `Scores`."""


@dataclass(frozen=True)
class ToScore:
    """One response to score.

    The trainer sends a response that it has cut (`bounds`, `truncated`). An agent loop sends each one as it finishes,
    with what a worker needs to cut it (`log_probs`, `prompt_length`).

    Attributes:
        key: the row's TransferQueue key, `{uid}_{session}_{index}`.
        messages: the prompt as chat messages (`raw_prompt`).
        response_ids: token ids of the response, without padding.
        bounds: half-open token spans that tile the response. None where the worker cuts it.
        truncated: whether it was cut off by a length limit.
        response_mask: 1 on the policy's own tokens, one per token. None where all tokens are.
        log_probs: of the sampled tokens under the rollout, one per token. None where the rollout keeps none.
        prompt_length: number of tokens of the prompt.
        row: row of the data for a score function, see `data_row`. {} where the worker has it, or nothing reads it.
        prompt_ids: token ids of the prompt, where the worker cuts the response.
        hidden: which segments are thoughts that the PRM is not shown, where the trainer cut the response.
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
    """Pick what a score function gets of a row of the data, under the names that verl's reward functions know.

    Args:
        columns: those of the row, among them `data_source`, `reward_model` and `extra_info`.

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
    """All outputs of a session that gave several, in their order. It only bundles `ToScore`, each with its prompt."""

    outputs: list[ToScore]


@dataclass(frozen=True)
class Scores(PrmResult):
    """The PRM's result for one response, and what else the worker knows.

    A response in which nothing can be judged (no words, or nothing but an unfinished segment) has neither scores nor a
    failure.

    Attributes:
        texts: the text of each segment, tools' words included. Together they are the decoded response.
        interludes: what tools and others said in the middle of the response.
        unfinished: whether the last segment was not judged because the response was cut off within it.
        hidden: which segments are thoughts that the PRM was not shown (`reward.prm.thinking=hide`). The list is empty
            where nothing is hidden.
        starts: columns at which the segments start, where the worker cut the response. None where it did not, or could
            not.
        fingerprint: of the settings under which the worker cut it, see `verl_prpo.trainer.schedule.fingerprint`.
        arrived, asked, answered: when the response came, when the PRM was asked, and when it had answered, in seconds
            of `clock`. The last two are equal where it was not asked.
        clock: which clock these times come from, see `verl_prpo.step.clock`.
        answered_at: when the PRM had answered, in seconds of the epoch. It shows which results an earlier run made.
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
        """Join a PRM's result with what else the worker knows."""
        return cls(**{entry.name: getattr(result, entry.name) for entry in fields(PrmResult)}, **known)

    @property
    def asked_about(self) -> bool:
        """True where the PRM was asked, so that it gave scores or failed."""
        return self.scores is not None or self.failure is not None

    @property
    def shown_text(self) -> str:
        """The response as it was cut, without hidden thoughts and with tools' words."""
        hidden = self.hidden or [False] * len(self.texts)
        return "".join(text for text, thought in zip(self.texts, hidden, strict=False) if not thought)

    @property
    def unread(self) -> int:
        """Number of segments without a score because they did not fit into the PRM's context. An unfinished last
        segment does not count, nor does a hidden thought."""
        return self._without_score if self.overlong else 0

    @property
    def abstained(self) -> int:
        """Number of segments that a score function read and gave None."""
        return 0 if self.overlong else self._without_score

    @property
    def _without_score(self) -> int:
        scores = (self.scores or [])[: -1 if self.unfinished else None]
        hidden = self.hidden or [False] * len(scores)
        return sum(score is None and not thought for score, thought in zip(scores, hidden, strict=False))

    @property
    def context_shares(self) -> list[float]:
        """The shares of the text before a segment that the PRM had seen, from 0 to 1, in characters.

        There is one share for each judged segment with something before it, in a response read in windows. Hidden
        thoughts do not count.
        """
        if self.seen_from is None:
            return []
        hidden = self.hidden or [False] * len(self.texts)
        lengths = [0 if thought else len(text) for text, thought in zip(self.texts, hidden, strict=True)]
        return context_shares(self.seen_from, lengths)

    def as_dict(self) -> dict[str, Any]:
        """Give plain data, which verl's agent loop passes on."""
        return {**asdict(self), "failure": self.failure.value if self.failure is not None else None}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Scores":
        """Build it from `as_dict`. A field that only another version knows is left out."""
        names = {entry.name for entry in fields(cls)}
        known = {name: value for name, value in data.items() if name in names}
        if known.get("failure") is not None:
            kinds = {kind.value for kind in PrmFailure}  # another version may know other kinds
            known["failure"] = PrmFailure(known["failure"] if known["failure"] in kinds else "engine_error")
        known["interludes"] = [Interlude.from_dict(interlude) for interlude in known.get("interludes", ())]
        return cls(**known)
