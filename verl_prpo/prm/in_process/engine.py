# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Score responses with a PRM in this process. A forward pass reads whole dialogues of like lengths together."""

import gc
import logging
from collections import deque
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch

from verl_prpo.prm.cache import ScoreCache
from verl_prpo.prm.encoding.batch import encode_batch
from verl_prpo.prm.encoding.response import WINDOW_CONTEXT, shown_error, shown_value
from verl_prpo.prm.families import checked_family, family_setting, resolve_family
from verl_prpo.prm.families.base import Encoded, PrmError, PrmFamily
from verl_prpo.prm.in_process.forward_passes import forward_passes
from verl_prpo.prm.results import PrmFailure, PrmRequest, PrmResult

if TYPE_CHECKING:
    from verl_prpo.settings.prpo import PrmConfig

_SIGNS_OF_NO_MEMORY = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")

_log = logging.getLogger(__name__)


class InProcessEngine:
    """A loaded family and the packing of requests into forward passes."""

    def __init__(
        self,
        family: PrmFamily,
        max_tokens_per_forward: int,
        overlong: str = "raise",
        cache_size: int = 0,
        window_context: float = WINDOW_CONTEXT,
    ):
        """Args:
        family: the PRM.
        max_tokens_per_forward: most tokens, padding included, of one forward pass. A single dialogue may exceed it.
            The engine lowers it when a pass runs out of memory.
        overlong: neutral, windows or raise, see `verl_prpo.prm.encoding.response.encode_response`.
        cache_size: most dialogues whose scores are remembered.
        window_context: share of a window's room for context.
        """
        self.family = family
        self.max_tokens_per_forward = max_tokens_per_forward
        self.overlong = overlong
        self.window_context = window_context
        self.cache = ScoreCache(cache_size)

    def score(self, requests: Sequence[PrmRequest]) -> list[PrmResult]:
        """Return one result per request, in their order.

        A forward pass that fails is halved until the dialogue at fault is alone. That dialogue gets a failure.

        Raises:
            PrmError: the family raises one.
        """
        batch = encode_batch(self.family, self.cache, requests, self.overlong, self.window_context)
        outputs: list[Any] = [None] * len(batch.to_ask)
        lengths = [len(dialogue.input_ids) for dialogue in batch.to_ask]
        passes = deque(self._passes(lengths, range(len(lengths))))
        logged: set[str] = set()
        while passes:
            indices = passes.popleft()
            rows, error = self._forward([batch.to_ask[i] for i in indices])
            if error is None:
                for i, row in zip(indices, rows, strict=True):
                    outputs[i] = row
                continue
            out_of_memory = _is_out_of_memory(error)
            fault = shown_error(error)
            if len(indices) == 1 and fault not in logged:
                logged.add(fault)
                _log.error("the forward pass of %s failed", self.family.name, exc_info=error)
            del error  # its traceback holds the tensors of the pass
            if out_of_memory:
                _free_memory()
            if len(indices) == 1:
                detail = _too_long_for_memory(lengths[indices[0]], fault) if out_of_memory else fault
                outputs[indices[0]] = PrmResult(None, PrmFailure.ENGINE_ERROR, detail)
            elif out_of_memory:
                self._lower_limit(len(indices), max(lengths[i] for i in indices), fault)
                passes = deque(self._passes(lengths, [*indices, *chain.from_iterable(passes)]))
            else:
                middle = len(indices) // 2
                passes.extendleft([indices[middle:], indices[:middle]])
        return batch.results(outputs)

    def _passes(self, lengths: Sequence[int], indices: Sequence[int]) -> list[list[int]]:
        passes = forward_passes([lengths[i] for i in indices], self.max_tokens_per_forward)
        return [[indices[n] for n in members] for members in passes]

    def _forward(self, dialogues: list[Encoded]) -> tuple[list[Any], Exception | None]:
        """Run one pass, and return what the family gave for each dialogue, or the error of the whole pass."""
        try:
            with torch.inference_mode():
                output = self.family.forward(dialogues)
                try:
                    rows = iter(output)
                except TypeError:
                    return self._bad_output(shown_value(output), len(dialogues)), None
                given = list(rows)
        except PrmError:
            raise
        except Exception as error:  # whatever a family, torch or a device raises
            return [], error
        if len(given) != len(dialogues):
            return self._bad_output(f"{len(given)} rows of scores", len(dialogues)), None
        return given, None

    def _bad_output(self, gave: str, dialogues: int) -> list[PrmResult]:
        detail = f"{self.family.name} gave {gave} for {dialogues} dialogues"
        return [PrmResult(None, PrmFailure.BAD_OUTPUT, detail)] * dialogues

    def _lower_limit(self, rows: int, longest: int, fault: str) -> None:
        self.max_tokens_per_forward = rows * longest // 2
        _log.warning(
            "the PRM ran out of memory on %d dialogues of up to %d tokens and goes on with at most %d tokens in one "
            "forward pass. Set reward.prm.max_tokens_per_forward to that, or give the PRM a device of its own: %s",
            rows,
            longest,
            self.max_tokens_per_forward,
            fault,
        )


def open_in_process_engine(config: "PrmConfig", device: torch.device) -> InProcessEngine:
    """Load the weights of the configured PRM into this process.

    Args:
        config: `reward.prm`.
        device: where the weights go.

    Raises:
        PrmError: the PRM cannot be used as configured. What transformers or a family of your own raises passes through.
    """
    from verl_prpo.settings.prpo import tokens_per_forward  # whoever has a configuration has what reads it

    if not config.model_path:
        raise PrmError("reward.prm.model_path is not set. Give the hub name or folder of a process reward model")
    family = resolve_family(config).load(
        config.model_path,
        device=device,
        dtype=getattr(torch, dtype_of(config, device.type)),
        trust_remote_code=config.trust_remote_code,
        **config.family_options,
    )
    limit = tokens_per_forward(config, device.type)
    return InProcessEngine(
        checked_family(family, family_setting(config)),
        limit,
        config.overlong,
        config.cache_size,
        config.window_context,
    )


def dtype_of(config: "PrmConfig", device_type: str) -> str:
    """Return the dtype of the weights as torch names it: the one that is set, or else the one that suits the device."""
    return config.dtype or ("float32" if device_type == "cpu" else "bfloat16")


def _is_out_of_memory(error: Exception) -> bool:
    # On some devices, the CPU among them, torch has no class of its own for it.
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(sign in shown_error(error) for sign in _SIGNS_OF_NO_MEMORY)
    )


def _free_memory() -> None:
    """Give back what the failed pass held, so that a smaller one finds room in one piece."""
    gc.collect()
    if torch.accelerator.is_available():
        torch.get_device_module().empty_cache()


def _too_long_for_memory(tokens: int, fault: str) -> str:
    return (
        f"the PRM ran out of memory on a single dialogue of {tokens} tokens, whatever "
        "reward.prm.max_tokens_per_forward. Give the PRM a device of its own, a narrower reward.prm.dtype, or shorter "
        f"responses (data.max_response_length): {fault}"
    )
