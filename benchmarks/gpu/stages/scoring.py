# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The PRM in this process: the bare forward, the package's engine and one request per response; memory; compile."""

import importlib.util
from collections.abc import Sequence
from typing import Any

import shapes
import torch
from record import Record, in_turn, middle, peak_bytes, seconds_of

from verl_prpo.prm.families.base import Encoded
from verl_prpo.prm.families.qwen_math import QwenMathPrm
from verl_prpo.prm.in_process.engine import InProcessEngine
from verl_prpo.prm.in_process.forward_passes import forward_passes
from verl_prpo.prm.results import PrmRequest

TOKENS_PER_FORWARD = 16384
"""The package's default on a GPU."""
BUDGETS = (2048, 4096, 8192, 16384, 32768, 65536)
MIN_OF_BARE, MIN_OF_SINGLE = 0.95, 3.0


def measure(record: Record) -> None:
    """Tokens a second of three ways, which must give the same scores; then memory by batch, attention and compile."""
    dtype = torch.float32 if record.small else torch.bfloat16
    family = shapes.random_prm(record.small, record.device, dtype)
    assert family.model is not None
    parameters = sum(value.numel() for value in family.model.parameters())
    record.row("parameters of the PRM", parameters / 1e9, "billion", dtype=str(dtype))
    asked = shapes.requests(12 if record.small else 256)
    limit = 1024 if record.small else TOKENS_PER_FORWARD
    _speeds(record, family, asked, limit)
    _memory(record, family, asked)
    _attention(record, family, asked, limit)
    _compiled(record, family, asked, limit)


def _speeds(record: Record, family: QwenMathPrm, asked: list[PrmRequest], limit: int) -> None:
    dialogues = [family.encode(request.messages, request.segments) for request in asked]
    few = asked[:: max(1, len(asked) // 32)]
    tokens = sum(len(dialogue.input_ids) for dialogue in dialogues)
    few_tokens = sum(len(family.encode(request.messages, request.segments).input_ids) for request in few)
    engine = InProcessEngine(family, limit)
    scores = [result.scores for result in engine.score(asked)]
    worst = max(
        abs(a - b)
        for ours, bare in zip(scores, bare_forward(family, dialogues, limit), strict=True)
        for a, b in zip(ours or [float("nan")], bare, strict=True)
    )
    if not worst < 0.02:
        raise RuntimeError(f"the engine's scores differ from those of the bare forward by {worst:.3g}")
    calls = {
        "bare": lambda: bare_forward(family, dialogues, limit),
        "engine": lambda: engine.score(asked),
        "single": lambda: [engine.score([request]) for request in few],
    }
    taken = in_turn(calls, 1 if record.small else 3, record.device)
    speed = {name: tokens / middle(taken[name]) for name in ("bare", "engine")}
    speed["single"] = few_tokens / middle(taken["single"])
    size = {"responses": len(asked), "tokens": tokens, "tokens_per_forward": limit}
    record.row("bare forward", speed["bare"], "tokens/s", **size)
    record.row("the package's engine, texts to scores", speed["engine"], "tokens/s", **size)
    record.row("one request per response", speed["single"], "tokens/s", responses=len(few), tokens=few_tokens)
    # On small shapes reading texts takes longer than the model.
    least, times = (None, None) if record.small else (MIN_OF_BARE, MIN_OF_SINGLE)
    record.row("engine against the bare forward", speed["engine"] / speed["bare"], "", least=least)
    record.row("engine against one request per response", speed["engine"] / speed["single"], "", least=times)


def _memory(record: Record, family: QwenMathPrm, asked: list[PrmRequest]) -> None:
    if record.device.type != "cuda":
        return record.skip("memory by tokens of a forward pass", "counted on a GPU alone")
    dialogues = [family.encode(request.messages, request.segments) for request in asked]
    record.row("memory of the weights", torch.cuda.memory_allocated(record.device) / 1e9, "GB")
    for budget in BUDGETS:
        rows = _filled(dialogues, budget)
        what = f"memory of a pass of {budget} tokens beside the weights"
        try:
            used = peak_bytes(lambda rows=rows: _forward(family, rows), record.device)
            taken = min(seconds_of(lambda rows=rows: _forward(family, rows), record.device) for _ in range(2))
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            return record.skip(what, "out of memory")
        assert used is not None
        record.row(what, used / 1e9, "GB", rows=len(rows), tokens_per_second=sum(map(_length, rows)) / taken)
        if record.left < 20:
            return record.skip("memory of larger passes", "little time is left")
    return None


def _attention(record: Record, family: QwenMathPrm, asked: list[PrmRequest], limit: int) -> None:
    what = "bare forward with flash_attention_2"
    if record.device.type != "cuda":
        return record.skip(what, "needs a GPU")
    if importlib.util.find_spec("flash_attn") is None:
        return record.skip(what, "not installed: flash_attn; the figures above are of SDPA")
    assert family.model is not None
    family.model.set_attn_implementation("flash_attention_2")
    try:
        record.row(what, _speed(record, family, asked, limit), "tokens/s")
    finally:
        family.model.set_attn_implementation("sdpa")
    return None


def _compiled(record: Record, family: QwenMathPrm, asked: list[PrmRequest], limit: int) -> None:
    what = "bare forward with compile"
    if record.small:
        return record.skip(what, "compiling takes longer than small shapes are worth")
    if record.left < 60:
        return record.skip(what, "little time is left")
    assert family.model is not None
    plain = _speed(record, family, asked, limit)
    family.model.model.compile(dynamic=True)  # as reward.prm.compile does
    began = seconds_of(lambda: _speed(record, family, asked[:32], limit), record.device)
    compiled = _speed(record, family, asked, limit)
    record.row(what, compiled, "tokens/s", seconds_to_compile=began)
    record.row("compile against without", compiled / plain)
    return None


def _speed(record: Record, family: QwenMathPrm, asked: list[PrmRequest], limit: int) -> float:
    dialogues = [family.encode(request.messages, request.segments) for request in asked]
    seconds_of(lambda: bare_forward(family, dialogues, limit), record.device)
    taken = seconds_of(lambda: bare_forward(family, dialogues, limit), record.device)
    return sum(map(_length, dialogues)) / taken


def bare_forward(family: QwenMathPrm, dialogues: Sequence[Encoded], limit: int) -> list[list[float]]:
    """Scores of dialogues that are token ids already, packed as the engine packs them, and nothing checked."""
    found: list[Any] = [None] * len(dialogues)
    for members in forward_passes([len(dialogue.input_ids) for dialogue in dialogues], limit):
        for at, row in zip(members, _forward(family, [dialogues[at] for at in members]), strict=True):
            found[at] = row
    return found


def _forward(family: QwenMathPrm, rows: list[Encoded]) -> list[list[float]]:
    with torch.inference_mode():
        return family.forward(rows)


def _filled(dialogues: list[Encoded], budget: int) -> list[Encoded]:
    """Rows of like length that fill a pass."""
    middle_one = sorted(dialogues, key=_length)[len(dialogues) // 2]
    return [middle_one] * max(1, budget // _length(middle_one))


def _length(dialogue: Encoded) -> int:
    return len(dialogue.input_ids)
