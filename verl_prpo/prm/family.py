# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What a family of process reward models has to say for itself, and how a model finds its family.

A family knows how a dialogue and the segments of its answer become token ids, where in the model's output each
segment's score is read, and the range and prior of those scores. One forward pass covers all segments of a response.
Only text comes in: the policy's tokenizer stays outside.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch


class PrmError(RuntimeError):
    """A process reward model that cannot be used as configured; the message names the setting that mends it."""


@dataclass(frozen=True)
class Encoded:
    """One dialogue as the PRM reads it.

    Attributes:
        input_ids: token ids of the whole dialogue, without padding.
        reads: one entry per segment: where its score is read, in the family's own terms (a position, a span).
    """

    input_ids: list[int]
    reads: list[Any]


class PrmFamily(ABC):
    """A kind of process reward model, loaded and ready to score.

    Attributes:
        name: what `reward.prm.family` calls it.
        score_range: least and greatest score it can give.
        prior_mean, prior_std: of the prior that turns its scores into z (PRPO's step 3), in units of the score.
        max_context: longest dialogue it can read, in tokens.
    """

    name: ClassVar[str]
    score_range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    prior_mean: ClassVar[float] = 0.5
    prior_std: ClassVar[float] = 12**-0.5
    max_context: int

    @classmethod
    def detects(cls, model_config: dict[str, Any]) -> bool:
        """Whether a model's `config.json` marks it, beyond doubt, as of this family."""
        return False

    @classmethod
    @abstractmethod
    def load(
        cls, model_path: str, *, device: torch.device, dtype: torch.dtype, trust_remote_code: bool = False
    ) -> "PrmFamily":
        """Load tokenizer and weights, and check that they are of this family.

        Args:
            model_path: a local folder or hub name in Hugging Face format.
            device: where the weights go.
            dtype: of the weights.
            trust_remote_code: passed on to transformers.

        Raises:
            PrmError: what is missing (a head, a special token), and which setting to change.
        """

    @abstractmethod
    def encode(self, messages: Sequence[dict[str, Any]], segments: Sequence[str]) -> Encoded:
        """Token ids of the dialogue `messages` answered by the concatenation of `segments`, with one read per segment.

        Special tokens that appear literally in the text of a message or segment stay text.
        """

    @abstractmethod
    def forward(self, batch: Sequence[Encoded]) -> list[list[float]]:
        """One padded forward pass; for each row one score per segment, in `score_range`."""


FAMILIES: dict[str, type[PrmFamily]] = {}


def register_family(cls: type[PrmFamily]) -> type[PrmFamily]:
    """Class decorator: make a family known under its `name`.

    Raises:
        ValueError: the name is taken by another class.
    """
    taken = FAMILIES.get(cls.name)
    if taken is not None and taken is not cls:
        raise ValueError(f"PRM family {cls.name!r} is already registered to {taken.__module__}.{taken.__qualname__}")
    FAMILIES[cls.name] = cls
    return cls


def detect_family(model_path: str) -> str:
    """The registered family that claims the model by its `config.json`.

    Raises:
        PrmError: none or several claim it; the message lists the names `reward.prm.family` takes.
    """
    config = _read_model_config(model_path)
    claims = sorted(name for name, family in FAMILIES.items() if family.detects(config))
    if len(claims) == 1:
        return claims[0]
    found = f"architectures={config.get('architectures')}, model_type={config.get('model_type')!r}"
    verdict = "no PRM family is known for it" if not claims else f"it could be any of {', '.join(claims)}"
    raise PrmError(
        f"cannot tell how to read the PRM {model_path} ({found}): {verdict}. "
        f"Set reward.prm.family to one of {', '.join(sorted(FAMILIES))}, or reward.prm.custom_family.path and .name."
    )


def _read_model_config(model_path: str) -> dict[str, Any]:
    path = Path(model_path) / "config.json"
    if not path.is_file():
        from transformers.utils import cached_file

        try:
            path = Path(cached_file(model_path, "config.json"))
        except (OSError, ValueError) as error:
            raise PrmError(
                f"reward.prm.model_path={model_path!r} is neither a folder with a config.json nor a model on the hub: "
                f"{error}"
            ) from error
    return json.loads(path.read_text())
