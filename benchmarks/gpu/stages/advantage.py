# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Segmentation and advantage on the device: time and memory, beside verl's GRPO estimator where verl is."""

import argparse
import importlib.util

import torch
from advantage import Batch, grpo_call, one_call
from advantage import peak_bytes as cpu_peak_bytes
from record import Record, in_turn, middle, peak_bytes

from verl_prpo.method.segmentation import entropy_segments

SIZES = ((1024, 2048), (1024, 8192))
SMALL_SIZES = ((16, 64), (16, 256))
ROLLOUTS = 8
PAPER = argparse.Namespace(rule="paper", credit="prpo", process_norm="prior", outcome_norm="mean")
MAX_RATIO, MAX_MEMORY = 1.0, 4.0


def measure(record: Record) -> None:
    """For each size: milliseconds of both, of GRPO, their ratio, and memory in tensors `[batch, length]`."""
    has_verl = importlib.util.find_spec("verl") is not None
    for batch_size, length in SMALL_SIZES if record.small else SIZES:
        size = f"{batch_size} x {length}"
        batch = Batch.random(batch_size, length, ROLLOUTS).to(record.device)
        calls = {
            "segments": lambda batch=batch: entropy_segments(batch.entropy, batch.mask, rule=PAPER.rule),
            "both": lambda batch=batch: one_call(batch, PAPER),
        }
        if has_verl:
            calls["grpo"] = lambda batch=batch: grpo_call(batch)
        taken = in_turn(calls, 3 if record.small else 11, record.device)
        record.row(f"segmentation, {size}", middle(taken["segments"]) * 1e3, "ms")
        record.row(f"segmentation + advantage, {size}", middle(taken["both"]) * 1e3, "ms")
        unit = batch_size * length * 4
        record.row(
            f"memory of segmentation + advantage, {size}",
            _peak(calls["both"], record.device) / unit,
            "float32 tensors of that size",
            most=MAX_MEMORY,
        )
        if not has_verl:
            record.skip(f"verl's GRPO estimator, {size}", "not installed: verl")
            continue
        record.row(f"verl's GRPO estimator, {size}", middle(taken["grpo"]) * 1e3, "ms")
        ratio = middle([ours / grpo for ours, grpo in zip(taken["both"], taken["grpo"], strict=True)])
        # Tiny tensors measure the interpreter.
        record.row(f"time against GRPO's, {size}", ratio, "", most=None if record.small else MAX_RATIO)
        record.row(f"memory of verl's GRPO, {size}", _peak(calls["grpo"], record.device) / unit, "tensors")


def _peak(call: object, device: torch.device) -> float:
    on_gpu = peak_bytes(call, device)  # type: ignore[arg-type]
    return float(cpu_peak_bytes(call)) if on_gpu is None else on_gpu  # type: ignore[arg-type]
