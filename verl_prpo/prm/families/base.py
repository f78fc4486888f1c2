# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Define the contract that every family of process reward models fulfils.

A family knows how a dialogue and the segments of its response become token ids. It knows where in the model's output
each segment's score is read, and the range and prior of those scores. One forward pass covers all segments of a
response. Only text comes in, and the policy's tokenizer stays outside.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch

from verl_prpo.prm.conversation import Step, written_out
from verl_prpo.prm.results import PrmFailure


class PrmError(RuntimeError):
    """A process reward model, or a response, that cannot be used. The message says what to change.

    Attributes:
        kind: why a response has no scores, where `load_prm` raised this for one. None for a fault of the PRM itself.
    """

    def __init__(self, message: str = "", kind: PrmFailure | None = None):
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Encoded:
    """One dialogue as the PRM reads it.

    Attributes:
        input_ids: token ids of the whole dialogue, without padding.
        reads: where the score of each segment is read, in the family's own terms (a position, a span).
    """

    input_ids: list[int]
    reads: list[Any]


Prepared = TypeVar("Prepared", bound="PreparedFamily")


class PrmFamily(ABC):
    """A kind of process reward model, loaded and ready to score.

    The order of calls is `load` (or `open`, where a server holds the weights), then `encode`, then `forward` (or
    `served_scores`). In the families of this package the model's output becomes scores in one place, the method
    `scores_from_logits` (`scores_from_log_probs` of implicit_prm).

    Attributes:
        name: the name of the family in `reward.prm.family`.
        score_range: least and greatest score it can give.
        prior_mean, prior_std: those of the prior that turns its scores into z (PRPO's step 3), in units of the score.
        max_context: longest dialogue it can read, in tokens.

    Range and prior are those of the class, unless options of the family change them for an instance.
    """

    name: ClassVar[str]
    score_range: tuple[float, float] = (0.0, 1.0)
    prior_mean: float = 0.5
    prior_std: float = 12**-0.5
    max_context: int
    serving: ClassVar[str | None] = None
    """How a vLLM server gives this family's scores: "pooling" (`/pooling`, `token_classify`), "prompt_logprobs"
    (`/v1/completions` with `prompt_logprobs`), or None when it cannot."""

    @classmethod
    def detects(cls, model_config: dict[str, Any]) -> bool:
        """Say whether a model's `config.json` shows beyond doubt that the model is of this family."""
        return False

    @classmethod
    @abstractmethod
    def load(
        cls, model_path: str, *, device: torch.device, dtype: torch.dtype, trust_remote_code: bool = False
    ) -> "PrmFamily":
        """Load tokenizer and weights, and check that they are of this family.

        A family with options of its own takes them as further keyword arguments, here and in `open`. A user sets them
        in `reward.prm.family_options`.

        Args:
            model_path: a local folder or hub name in Hugging Face format.
            device: where the weights go.
            dtype: of the weights.
            trust_remote_code: passed on to transformers.

        Raises:
            PrmError: what is missing (a head, a special token), and which setting to change.
        """

    @classmethod
    def open(cls, model_path: str, *args: Any, **options: Any) -> "PrmFamily":
        """Load what `encode` needs, which is tokenizer and config. It loads no weights, because a server holds those.

        Args:
            model_path: a local folder or hub name in Hugging Face format.
            args: there are none. They stand here so that type checkers let a family name its own options.
            options: `trust_remote_code` and the family's own, as in `load`.

        Raises:
            PrmError: what is missing, or that a server cannot give this family's scores.
        """
        raise PrmError(
            f"the PRM family {cls.name} cannot be read from a server. Unset reward.prm.server.urls to load its weights "
            "in process (++reward.prm.engine=in_process)"
        )

    @abstractmethod
    def encode(self, messages: Sequence[dict[str, Any]], segments: Sequence[str]) -> Encoded:
        """Encode the dialogue of `messages` and the joined `segments` as its response, with one read per segment.

        Special tokens that appear literally in the text of a message or segment stay text.
        """

    def encode_turns(self, messages: Sequence[dict[str, Any]], steps: Sequence[Step]) -> Encoded:
        """Encode a dialogue in which tools or others spoke between the policy's words, with one read per step.

        A family with turns of its own shows them as turns. This method writes them into the text of the step that
        follows, under a heading such as "Tool output:".

        Args:
            messages: the prompt as chat messages.
            steps: each is a list of texts (what the policy said) and chat messages (what it read before it went on).
        """
        return self.encode(messages, written_out(steps))

    @abstractmethod
    def forward(self, batch: Sequence[Encoded]) -> list[list[float]]:
        """Run one padded forward pass, and return for each row one score per segment, in `score_range`."""

    def served_ids(self, encoded: Encoded) -> list[int]:
        """Give the token ids to send to a server for a dialogue."""
        return encoded.input_ids

    def served_scores(self, encoded: Encoded, output: Any) -> list[float]:
        """Read the scores of one dialogue from what a server answered, one per segment.

        Args:
            encoded: the dialogue.
            output: with `serving` "pooling" it is the rows of numbers in `data`, as JSON gives them. With
                "prompt_logprobs" it has for each token of `served_ids` a dict from token id to its log-probability
                given the tokens before (None for the first).

        Raises:
            ValueError: the output holds no scores for this dialogue. The message says what it holds.
        """
        raise NotImplementedError


class PreparedFamily(PrmFamily):
    """A family that can be made ready before its weights are loaded. Its options stand in `prepare` alone."""

    @classmethod
    @abstractmethod
    def prepare(cls: type[Prepared], model_path: str, *, trust_remote_code: bool = False) -> Prepared:
        """Load tokenizer and config, and check the options, which are further keyword arguments.

        Args:
            model_path: a local folder or hub name in Hugging Face format.
            trust_remote_code: passed on to transformers.

        Raises:
            PrmError: what is missing, or which option has a value that cannot be.
        """

    @abstractmethod
    def load_weights(
        self, model_path: str, *, device: torch.device, dtype: torch.dtype, trust_remote_code: bool
    ) -> None:
        """Load the weights, and check that they are of this family and know every token of a dialogue.

        Args:
            model_path, device, dtype, trust_remote_code: as in `PrmFamily.load`.

        Raises:
            PrmError: weights are missing, or are not of the tokenizer's model.
        """

    @classmethod
    def load(
        cls: type[Prepared],
        model_path: str,
        *,
        device: torch.device,
        dtype: torch.dtype,
        trust_remote_code: bool = False,
        **options: Any,
    ) -> Prepared:
        family = cls.prepare(model_path, trust_remote_code=trust_remote_code, **options)
        family.load_weights(model_path, device=device, dtype=dtype, trust_remote_code=trust_remote_code)
        return family

    @classmethod
    def open(cls: type[Prepared], model_path: str, *, trust_remote_code: bool = False, **options: Any) -> Prepared:
        return cls.prepare(model_path, trust_remote_code=trust_remote_code, **options)
