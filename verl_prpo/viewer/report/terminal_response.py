# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""One response in the terminal."""

import math
import re
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from verl_prpo.viewer.report.facts import SAME, Facts, flipped
from verl_prpo.viewer.report.payload import context_share
from verl_prpo.viewer.report.trust import done_by_weight

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from verl_prpo.telemetry.rollouts.read import Rollout, Segment

BLOCKS = "▁▂▃▄▅▆▇█"
INDENT = "    "
PROMPT, TRUTH = 600, 200
"""Most characters of a prompt and of an expected answer."""

STYLES = {
    -3: "#2b0d00 on #f0743c underline",
    -2: "#2b0d00 on #fab795 underline",
    -1: "#2b0d00 on #fde3d6 underline",
    0: "",
    1: "#0b1c2e on #dcebfa",
    2: "#0b1c2e on #a5cef3",
    3: "#0b1c2e on #559fe3",
}
"""The page's colours by thirds of the scale. What is pushed down is also underlined."""

VERDICTS = {
    True: ("✓", "right", "bold green"),
    False: ("✗", "wrong", "bold red"),
    None: ("?", "unknown", "bold yellow"),
}
"""Mark, word and style of a verdict."""

_ODD = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    """Make a text that a terminal shows as it is.

    Characters that act on the terminal, or reorder a line, are replaced by their code.
    """
    return _ODD.sub(lambda found: "    " if found[0] == "\t" else f"<U+{ord(found[0]):04X}>", text)


def print_response(
    console: "Console", rollout: "Rollout", fact: Facts, place: tuple[int, int], scale: float, grpo: bool
) -> None:
    """Print one response: its facts, its prompt, its entropy with the cuts, and its segments with their text.

    Args:
        place: number of its group, and of the response in the group.
        scale: advantage at the end of the colours.
        grpo: whether to colour by GRPO's advantage.
    """
    from rich.rule import Rule
    from rich.text import Text

    mark, word, style = VERDICTS[fact.right]
    title = Text(f"{mark} {word}", style=style)
    if fact.against:
        title.append(f", but the PRM {'disliked' if fact.right else 'liked'} it", style=style)
    title.append(f"  step {rollout.step}, group {place[0]}, response {place[1]}", style="not bold default")
    console.print()
    console.print(Rule(title, align="left", style="dim"))
    facts = [
        f"outcome reward {signed(rollout.outcome_reward)}",
        *([f"expected {_short(visible(rollout.ground_truth), TRUTH)}"] if rollout.ground_truth is not None else []),
        f"PRM mean {fixed(fact.prm_mean)}",
        f"{'mean z' if fact.weight is None else 'relative score'} {signed(fact.z_mean)}",
        *([f"w {fact.weight:.2f}"] if fact.weight is not None else []),
        f"GRPO's A {signed(rollout.grpo_advantage)}",
        f"{fact.flip_share:.0%} of the signs flipped",
        f"{fact.tokens} tokens",
        *([f"{len(rollout.turns)} turns"] if len(rollout.turns) > 1 else []),
        *([f"PRM took {rollout.prm_latency:.2f} s"] if rollout.prm_latency is not None else []),
    ]
    console.print(Text(", ".join(facts)))
    if (done := done_by_weight(fact)) is not None:
        console.print(Text(done))
    if rollout.failure is not None:
        console.print(
            Text(visible(f"! no scores: {rollout.failure} {rollout.failure_detail}").rstrip(), style="bold red")
        )
    for said in _reading(rollout):
        console.print(Text(said, style="bold red"))
    prompt = visible(_question(rollout)).strip()
    console.print(Text(_short(prompt, PROMPT), style="dim"))
    for line in _sparklines(rollout, console.width):
        console.print(line)
    for number, segment in enumerate(rollout.segments, 1):
        console.print(_segment_head(rollout, segment, number, grpo, fact))
        for line in _segment_text(rollout, segment, scale, grpo).wrap(console, max(20, console.width - len(INDENT))):
            console.print(Text(INDENT).append_text(line))


def _reading(rollout: "Rollout") -> list[str]:
    """Say what of the response the PRM did not read, or not in one piece."""
    lines = []
    if rollout.windows:
        share = context_share(rollout)
        seen = "" if share is None else f"; its scores had seen {share:.0%} of what came before them"
        lines.append(f"! longer than the PRM's context: it read the response in {rollout.windows} windows{seen}")
    if rollout.left_out:
        lines.append("! longer than the PRM's context: it did not read all segments")
    if rollout.hidden:
        count = len(rollout.hidden)
        which = "one of the segments is a thought" if count == 1 else f"{count} of the segments are thoughts"
        lines.append(f"! {which} hidden from the PRM: outcome alone")
    return lines


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + " ..."


def _question(rollout: "Rollout") -> str:
    asked = [m.get("content") for m in rollout.messages if m.get("role") == "user"]
    return asked[-1] if asked and isinstance(asked[-1], str) else rollout.prompt


def _sparklines(rollout: "Rollout", width: int) -> list["Text"]:
    """Draw per column the highest entropy (and surprisal) of its tokens, and below the numbers of the segments.

    A segment's number stands where the segment begins.
    """
    from rich.text import Text

    signals = {"entropy": rollout.entropy, "surprisal": rollout.surprisal}
    known = {name: values for name, values in signals.items() if values}
    if not known:
        return []
    count = len(rollout.response_mask)
    lead = max(map(len, known)) + 2
    columns = max(1, min(count, width - lead))
    edges = [column * count // columns for column in range(columns + 1)]
    lines = []
    for name, values in known.items():
        finite = [max(0.0, value) if math.isfinite(value) else 0.0 for value in values]
        top = max(0.5, *finite)
        blocks = "".join(BLOCKS[min(7, int(8 * max(finite[begin:end]) / top))] for begin, end in pairwise(edges))
        lines.append(Text(f"{name:{lead}}{blocks}", no_wrap=True))
    marks = [" "] * columns
    free = 0
    for number, segment in enumerate(rollout.segments, 1):
        at = segment.begin * columns // count
        if at >= free and at + len(str(number)) <= columns:
            marks[at : at + len(str(number))] = str(number)
            free = at + len(str(number)) + 1
    return [*lines, Text(" " * lead + "".join(marks).rstrip(), style="dim", no_wrap=True)]


def _segment_head(rollout: "Rollout", segment: "Segment", number: int, grpo: bool, fact: Facts) -> "Text":
    from rich.text import Text

    span = range(segment.begin, segment.end)
    own = [t for t in span if rollout.response_mask[t]]
    parts = [f"PRM {'none' if segment.score is None else f'{segment.score:.3f}'}"]
    if grpo:
        parts.append(f"GRPO's A {signed(rollout.grpo_advantage)}")
    else:
        relative = fact.segments[number - 1].z
        if fact.weight is not None and relative is not None:
            parts.append(f"relative {signed(relative)}")
        of_prm, of_outcome = ("z", "β") if fact.weight is None else ("PRM's part", "outcome's part")
        parts.append(f"{of_prm} {_range(rollout.process_advantage, own)}")
        parts.append(f"{of_outcome} {_range(rollout.outcome_advantage, own)}")
        parts.append(f"A {_range(rollout.advantages, own)}")
    if len(rollout.turns) > 1:
        parts.append(_turn(rollout, segment))
    parts.append(f"tokens {segment.begin + 1} to {segment.end}")
    if not fact.flat and any(flipped(rollout.advantages[t], rollout.grpo_advantage) for t in own):
        parts.append("⇄ flipped")
    head = Text(f"[{number}] ", style="bold").append("  ".join(parts))
    if fact.worst == number - 1:
        told = "disliked most, in a right answer" if fact.right else "liked most, in a wrong answer"
        head.append(f"  <- {told}", style="bold red")
    return head


def _segment_text(rollout: "Rollout", segment: "Segment", scale: float, grpo: bool) -> "Text":
    from rich.text import Text

    ends = [*rollout.token_offsets[1:], len(rollout.response)]
    text = Text()

    def style(t: int) -> str:
        advantage = rollout.grpo_advantage if grpo else rollout.advantages[t]
        return STYLES[_level(advantage, scale)] if rollout.response_mask[t] else "dim italic"

    def own(begin: int, end: int) -> None:
        for alike, tokens in groupby(range(begin, end), style):
            told = list(tokens)
            text.append(visible(rollout.response[rollout.token_offsets[told[0]] : ends[told[-1]]]), style=alike)

    at = segment.begin
    for one in rollout.interludes:
        if segment.begin <= one.begin and one.end <= segment.end and one.messages:
            own(at, one.begin)
            for role, content in one.messages:
                text.append("\n" if text.plain and not text.plain.endswith("\n") else "")
                text.append(f"{visible(role)} > ", style="bold").append(f"{visible(content)}\n", style="dim italic")
            at = one.end
    own(at, segment.end)
    text.rstrip()
    return text


def _turn(rollout: "Rollout", segment: "Segment") -> str:
    """Say which turn or turns of the policy a segment lies in."""
    first, last = (
        max(1, sum(begin <= token for begin, _ in rollout.turns)) for token in (segment.begin, segment.end - 1)
    )
    return f"turn {first}" if first == last else f"turns {first} to {last}"


def _level(advantage: float, scale: float) -> int:
    """Return size and direction in thirds of the scale, -3 to 3."""
    if not abs(advantage) > SAME:
        return 0
    return int(math.copysign(min(3, math.ceil(3 * min(abs(advantage), scale) / scale)), advantage))


def _range(values: Sequence[float], own: Sequence[int]) -> str:
    kept = [values[t] for t in own if math.isfinite(values[t])]
    if not kept:
        return "none"
    low, high = signed(min(kept)), signed(max(kept))
    return low if low == high else f"{low} to {high}"


def signed(value: float | None) -> str:
    """Write a number with two decimals and its sign."""
    return "none" if value is None else f"{value:+.2f}"


def fixed(value: float | None) -> str:
    """Write a number with two decimals."""
    return "none" if value is None else f"{value:.2f}"
