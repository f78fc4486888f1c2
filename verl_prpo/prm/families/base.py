# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What a family of process reward models has to say for itself, and how a model finds its family.

A family knows how a dialogue and the segments of its answer become token ids, where in the model's output each
segment's score is read, and the range and prior of those scores. One forward pass covers all segments of a response.
Only text comes in: the policy's tokenizer stays outside.
"""

import json
import math
import numbers
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
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
        """Whether a model's `config.json` marks it, beyond doubt, as of this family."""
        return False

    @classmethod
    @abstractmethod
    def load(
        cls, model_path: str, *, device: torch.device, dtype: torch.dtype, trust_remote_code: bool = False
    ) -> "PrmFamily":
        """Load tokenizer and weights, and check that they are of this family.

        A family with options of its own takes them as further keyword arguments, here and in `open`; they are
        `reward.prm.family_options`.

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
        """Load what `encode` needs, tokenizer and config, and no weights: a server holds those.

        Args:
            model_path: a local folder or hub name in Hugging Face format.
            args: none; so written, type checkers let a family name its own options.
            options: `trust_remote_code` and the family's own, as in `load`.

        Raises:
            PrmError: what is missing, or that a server cannot give this family's scores.
        """
        raise PrmError(
            f"the PRM family {cls.name} cannot be read from a server; unset reward.prm.server_urls to load its weights "
            "in process (++reward.prm.engine=in_process)"
        )

    @abstractmethod
    def encode(self, messages: Sequence[dict[str, Any]], segments: Sequence[str]) -> Encoded:
        """Token ids of the dialogue `messages` answered by the concatenation of `segments`, with one read per segment.

        Special tokens that appear literally in the text of a message or segment stay text.
        """

    @abstractmethod
    def forward(self, batch: Sequence[Encoded]) -> list[list[float]]:
        """One padded forward pass; for each row one score per segment, in `score_range`."""

    def served_ids(self, encoded: Encoded) -> list[int]:
        """Token ids to send to a server for a dialogue."""
        return encoded.input_ids

    def served_scores(self, encoded: Encoded, output: Any) -> list[float]:
        """Scores of one dialogue from what a server answered, one per segment.

        Args:
            encoded: the dialogue.
            output: with `serving` "pooling" the rows of numbers in `data`, as JSON gives them; with
                "prompt_logprobs" for each token of `served_ids` a dict from token id to its log-probability given the
                tokens before (None for the first).

        Raises:
            ValueError: an output that holds no scores for this dialogue; the message says what it holds.
        """
        raise NotImplementedError


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


def claiming_families(model_config: dict[str, Any]) -> list[str]:
    """Names of the registered families that claim a model's `config.json`, sorted."""
    return sorted(name for name, family in FAMILIES.items() if family.detects(model_config))


def detect_family(model_path: str) -> str:
    """The registered family that claims the model by its `config.json`.

    Raises:
        PrmError: there is no such model, or none or several claim it; then the message lists the names
            `reward.prm.family` takes.
    """
    config = read_model_config(model_path)
    claims = claiming_families(config)
    if len(claims) == 1:
        return claims[0]
    found = f"architectures={config.get('architectures')}, model_type={config.get('model_type')!r}"
    verdict = "no PRM family is known for it" if not claims else f"it could be any of {', '.join(claims)}"
    raise PrmError(
        f"cannot tell how to read the PRM {model_path} ({found}): {verdict}. "
        f"Set reward.prm.family to one of {', '.join(sorted(FAMILIES))}, or reward.prm.custom_family.path and .name."
    )


def read_model_config(model_path: str) -> dict[str, Any]:
    """A model's `config.json`, from its folder or the hub.

    Raises:
        PrmError: there is none, or it holds no JSON object.
    """
    where = f"reward.prm.model_path={model_path}"
    folder = Path(model_path)
    if folder.is_dir():
        path = folder / "config.json"
        if not path.is_file():
            raise PrmError(f"{where} is a folder without a config.json; give the one that holds config and weights")
    elif folder.exists():
        raise PrmError(f"{where} is a file; give the folder in Hugging Face format that it belongs to")
    elif model_path.startswith(("/", ".", "~")):
        raise PrmError(
            f"{where}: there is no such folder on this node; give the absolute path of one that every node can read, "
            "or a name on the hub"
        )
    else:
        from transformers.utils import cached_file

        try:
            path = Path(cached_file(model_path, "config.json"))
        except Exception as error:  # of the file system, the hub's client, or the network beneath it
            raise PrmError(f"{where} is neither a folder nor a model on the hub with a config.json: {error}") from error
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PrmError(f"the config.json of {where} cannot be read: {type(error).__name__}: {error}") from error
    if not isinstance(config, dict):
        raise PrmError(f"the config.json of {where} holds a {type(config).__name__} where an object belongs")
    return config


def checked_family(family: Any, setting: str) -> PrmFamily:
    """A loaded family, once what it declares makes sense.

    Args:
        family: what its `load` returned.
        setting: that names the family, for messages.

    Raises:
        PrmError: the attribute that is missing or cannot be, and its value.
    """
    if not isinstance(family, PrmFamily):
        raise PrmError(f"{setting}: load returned {type(family).__name__} where a PrmFamily belongs")

    def require(attribute: str, wanted: str, fits: Callable[[Any], bool]) -> None:
        value = getattr(family, attribute, None)
        if not fits(value):
            raise PrmError(f"{setting}: {type(family).__name__}.{attribute} must be {wanted}, and is {value!r}")

    require("name", "a string that is not empty", lambda name: isinstance(name, str) and name != "")
    require(
        "max_context",
        "a positive whole number of tokens",
        lambda tokens: isinstance(tokens, int) and not isinstance(tokens, bool) and tokens > 0,
    )
    require(
        "score_range",
        "two finite numbers, the lesser first",
        lambda pair: (
            isinstance(pair, tuple | list) and len(pair) == 2 and all(map(_is_finite, pair)) and pair[0] < pair[1]
        ),
    )
    require("prior_mean", "a finite number", _is_finite)
    require("prior_std", "a positive finite number", lambda std: _is_finite(std) and std > 0)
    return family


def _is_finite(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
