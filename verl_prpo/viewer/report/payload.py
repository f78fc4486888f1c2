# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Responses as compact JSON for the page's script."""

import json
import math
import re
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

from verl_prpo.prm.results import context_shares
from verl_prpo.viewer.report.facts import Facts
from verl_prpo.viewer.report.trust import done_by_weight

if TYPE_CHECKING:
    from verl_prpo.telemetry.rollouts.read import Rollout

DIGITS = 5
"""Significant digits of scores and advantages."""

_SURROGATE = re.compile("[\ud800-\udfff]")


def as_json(value: Any) -> str:
    """Write JSON that can be encoded as UTF-8. A lone surrogate becomes an escape.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def response_json(rollout: "Rollout", facts: Facts) -> str:
    """Write one response for the page.

    Numbers per token stand as a list, or as pairs (value, count) where neighbours share them. Entropies and surprisals
    are whole thousandths of a nat. Lengths count UTF-16 units, as JavaScript does.
    """
    signals = {"entropy": rollout.entropy, "surprisal": rollout.surprisal}
    return as_json(
        {
            "right": facts.right,
            "worst": facts.worst,
            "aMean": number(facts.a_mean),
            "verifier": number(rollout.verifier_score),
            "reward": number(rollout.outcome_reward),
            "parts": {str(name): _plain(value) for name, value in rollout.outcome_parts.items()},
            "prm": number(facts.prm_mean),
            "zMean": number(facts.z_mean),
            "flips": number(facts.flip_share),
            "agrees": facts.agrees,
            "flat": facts.flat,
            "against": number(facts.against),
            "tokens": facts.tokens,
            "failure": rollout.failure,
            "detail": rollout.failure_detail,
            "overlong": rollout.left_out,
            "windows": rollout.windows,
            "context": context_share(rollout),
            "hidden": list(rollout.hidden),
            "cached": rollout.cached,
            "latency": number(rollout.prm_latency),
            "text": rollout.response,
            "lengths": token_lengths(rollout.response, rollout.token_offsets),
            "own": runs([1 if counts else 0 for counts in rollout.response_mask]),
            "signals": {name: [_thousandths(v) for v in values] for name, values in signals.items() if values},
            "z": runs([number(value) for value in rollout.process_advantage]),
            "beta": runs([number(value) for value in rollout.outcome_advantage]),
            "A": runs([number(value) for value in rollout.advantages]),
            "grpo": number(rollout.grpo_advantage),
            "heard": [[one.begin, one.end, [list(said) for said in one.messages]] for one in rollout.interludes],
            "turns": [begin for begin, _ in rollout.turns] if rollout.interludes else [],
            "weight": number(facts.weight),
            "allEqual": facts.all_equal,
            "trust": done_by_weight(facts),
            "segments": [
                [segment.begin, segment.end, number(judged.score), number(judged.z)]
                for segment, judged in zip(rollout.segments, facts.segments, strict=True)
            ],
        }
    )


def context_share(rollout: "Rollout") -> float | None:
    """Return which share of what comes before its segments the PRM had seen, for a response read in windows.

    It is the mean over the judged segments, measured in characters. None where it was not read in windows.
    """
    if rollout.seen_from is None:
        return None
    hidden = set(rollout.hidden)
    lengths = [0 if i in hidden else len(segment.text) for i, segment in enumerate(rollout.segments)]
    shares = context_shares(rollout.seen_from, lengths)
    return number(sum(shares) / len(shares)) if shares else None


def token_lengths(text: str, offsets: Sequence[int]) -> list[int]:
    """Measure how much of the text each token has, in UTF-16 units. Together the lengths are that of the text.

    Args:
        text: the text of the response.
        offsets: `[tokens]`, where the text of each begins, in characters.
    """
    edges = [0, *offsets[1:], len(text)] if offsets else []
    pieces = [text[begin:end] for begin, end in pairwise(edges)]
    return [len(piece) + sum(character > "\uffff" for character in piece) for piece in pieces]


def runs(values: Sequence[Any]) -> list[Any]:
    """Return pairs (value, count) of equal neighbours if that is shorter, else the values."""
    pairs = [[value, len(list(same))] for value, same in groupby(values)]
    return pairs if 2 * len(pairs) < len(values) else list(values)


def number(value: float | None) -> float | None:
    """Round a number to `DIGITS` significant digits.

    None stays None. NaN and infinity become None too, since JSON does not have them.
    """
    if value is None or not math.isfinite(value):
        return None
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def _thousandths(value: float) -> int | None:
    return round(value * 1000) if math.isfinite(value) else None


def _plain(value: Any) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    return number(value) if isinstance(value, (int, float)) else str(value)
