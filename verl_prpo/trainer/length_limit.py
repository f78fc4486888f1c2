# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The length limits of a rollout, and which responses they cut off before the policy ended them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from verl_prpo.prm.families.checkpoints import local_file


@dataclass(frozen=True)
class LengthLimit:
    """The limits of a rollout.

    Attributes:
        response: most tokens of a response (`data.max_response_length`).
        total: most tokens of prompt and response (`actor_rollout_ref.rollout.max_model_len`, else the model's own).
            None where neither is known.
        end_ids: tokens by which the policy ends a response.
    """

    response: int
    total: int | None
    end_ids: frozenset[int]

    def truncates(self, response_ids: Sequence[int], prompt_length: int) -> bool:
        """Return whether a response is as long as it may be and does not end with a token that ends responses.

        Args:
            response_ids: token ids without padding.
            prompt_length: tokens of the prompt.
        """
        if not response_ids or response_ids[-1] in self.end_ids:
            return False
        total = prompt_length + len(response_ids)
        return len(response_ids) >= self.response or (self.total is not None and total >= self.total)


def length_limit(config: DictConfig, tokenizer: Any) -> LengthLimit:
    """Read the limits from a verl configuration.

    Args:
        config: the whole configuration.
        tokenizer: the policy's Hugging Face tokenizer.
    """
    rollout = config.actor_rollout_ref.rollout
    response = int(rollout.get("response_length") or config.data.max_response_length)
    declared = _declarations(config.actor_rollout_ref.model.path, tokenizer)
    total = rollout.get("max_model_len") or min(_numbers(declared, "max_position_embeddings"), default=None)
    if total is not None and rollout.get("name") == "sglang":
        total -= 1  # where SGLang stops
    ends = {tokenizer.eos_token_id, *_numbers(declared, "eos_token_id")} - {None}
    return LengthLimit(response, None if total is None else int(total), frozenset(ends))


def _declarations(model_path: str | None, tokenizer: Any) -> list[dict[str, Any]]:
    """Read the policy's `generation_config.json` and `config.json`, that of its text model included.

    Chat models often name several ends of a response there, of which the tokenizer knows one. Nothing is downloaded.
    Where the files are not here, only what the tokenizer says counts.
    """
    found: list[dict[str, Any]] = []
    for folder in dict.fromkeys((model_path, getattr(tokenizer, "name_or_path", None))):
        for name in ("generation_config.json", "config.json"):
            path = local_file(folder, name)
            try:
                declared = json.loads(path.read_text(encoding="utf-8")) if path else None
            except (OSError, ValueError):
                continue
            if isinstance(declared, dict):
                found += [declared, *(part for part in [declared.get("text_config")] if isinstance(part, dict))]
    return found


def _numbers(declared: Sequence[dict[str, Any]], key: str) -> list[int]:
    """Collect the whole numbers that any of the declarations gives for a key, alone or in a list."""
    values = [part.get(key) for part in declared]
    flat = [one for value in values for one in (value if isinstance(value, list) else [value])]
    return [number for number in flat if isinstance(number, int) and not isinstance(number, bool)]
