# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Rollout dumps with known numbers, for tests of the report."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from verl_prpo.step.conversation import Interlude
from verl_prpo.telemetry.rollouts.format import record_of
from verl_prpo.telemetry.rollouts.rollout import Rollout, Segment

PAYLOAD = (
    "<script>window.pwned = 1</script></script><img src=x onerror='window.pwned = 2'><!-- \u2028 &lt;b&gt; \"'` "
    "\ud83d \u202eevil\u202c \x1b[31mred\x00 é 数学 🎉"
)
"""What a model might write to break a page or a terminal."""


def rollout(
    text: str = "one two. three four",
    scores: Sequence[float | None] = (0.9, 0.4),
    right: bool = True,
    uid: str = "a",
    step: int = 1,
    beta: float = 0.5,
    grpo: float = 0.7,
    **known: Any,
) -> Rollout:
    """A response whose tokens are words with the space before them, and one more without text at the end.

    It is cut into as many segments of words as there are scores; z has the prior (0.5, 0.25).
    """
    words = re.findall(r"\s*\S+|\s+$", text)
    count = len(words) + 1
    cuts = [round(i * (count - 1) / len(scores)) for i in range(len(scores))] + [count]
    offsets = list(accumulate(map(len, words), initial=0))
    ends = [*offsets, len(text)]
    segments = [
        Segment(begin, end, text[ends[begin] : ends[end]], score)
        for begin, end, score in zip(cuts, cuts[1:], scores, strict=False)
    ]
    z = [0.0 if s.score is None else (s.score - 0.5) / 0.25 for s in segments for _ in range(s.begin, s.end)]
    made = Rollout(
        step=step,
        uid=uid,
        prompt=f"user\nWhat is {uid}?\nassistant\n",
        messages=[{"role": "user", "content": f"What is {uid}?"}],
        response=text,
        ground_truth="4",
        verifier_score=1.0 if right else -1.0,
        outcome_reward=1.0 if right else -1.0,
        outcome_parts={},
        segments=segments,
        token_offsets=offsets,
        response_mask=[1] * count,
        entropy=[round(0.001 * (37 * t % 1000), 3) for t in range(count)],
        surprisal=None,
        process_advantage=z,
        outcome_advantage=[beta] * count,
        advantages=[value + beta for value in z],
        grpo_advantage=grpo,
    )
    return replace(made, **known)


def with_turns() -> Rollout:
    """Three turns: a call, another behind a tool's words, and an answer. The last cut goes over what the tool says."""
    made = rollout("I ask 7+5 tool 12 so 36 tool <b>x</b> the answer", (0.9, 0.2), uid="turns")
    heard = [Interlude(3, 5, [("tool", "12")]), Interlude(7, 9, [("tool", "<b>x</b>"), ("user", "go on")])]
    own = [0 if any(one.begin <= t < one.end for one in heard) else 1 for t in range(len(made.response_mask))]
    ends = [*made.token_offsets, len(made.response)]
    segments = [Segment(0, 5, made.response[: ends[5]], 0.9), Segment(5, len(own), made.response[ends[5] :], 0.2)]
    return replace(made, response_mask=own, interludes=heard, segments=segments)


def empty() -> Rollout:
    """A response without tokens."""
    nothing: dict[str, Any] = {name: [] for name in ("token_offsets", "response_mask", "entropy", "advantages")}
    return replace(
        rollout(scores=(None,)), response="", segments=[], process_advantage=[], outcome_advantage=[], **nothing
    )


def row(made: Rollout, key: str = "a_0_0") -> dict[str, Any]:
    """The line of verl's dump that holds a response."""
    return {
        "input": made.prompt,
        "output": made.response,
        "gts": made.ground_truth,
        "score": made.verifier_score,
        "step": made.step,
        "uid": key,
        "prpo": record_of(made),
    }


def write(folder: Path, rollouts: Sequence[Rollout]) -> Path:
    """Write a folder of dumps, a file per step."""
    folder.mkdir(parents=True, exist_ok=True)
    for step in {made.step for made in rollouts}:
        rows = [row(made, f"{made.uid}_{i}_0") for i, made in enumerate(rollouts) if made.step == step]
        (folder / f"{step}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in rows), encoding="utf-8")
    return folder


def varied() -> list[Rollout]:
    """Three groups in which every filter finds something; the first response is right and liked."""
    return [
        rollout("Two and two is four, and so the answer is four.", (0.9, 0.7), uid="sum", beta=1.0, grpo=0.9),
        rollout("Two and two is five, and so the answer is five.", (0.95, 0.8), False, uid="sum", beta=-1.0, grpo=-0.9),
        rollout("Three by three is nine, I think.", (0.2, 0.3), uid="product", beta=0.5, grpo=0.7),
        rollout(PAYLOAD, (0.3, 0.6, 0.45), right=False, uid="product", beta=-1.5, grpo=-0.7),
        rollout(
            "word " * 60, (None,), right=False, uid="long", beta=0.0, grpo=0.0,
            failure="timeout", failure_detail="no answer within 30 s", overlong=True,
        ),
        rollout("short", (0.5,), right=False, uid="long", beta=0.0, grpo=0.0, prm_latency=0.25),
    ]  # fmt: skip


FORMULAS = (
    r"A pen costs $5 and a book $12, so $x^2 = 4$ and \(y\) gives \[ \frac{x}{y} = \sqrt{2} \] with "
    r"$$\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}$$ and 50% of $50%$ is \boxed{\frac{1}{2}} at last."
)
"""Formulas in every kind of mark, and two sums of money."""

CUT_FORMULA = r"We add $a + b = c + d$ and stop."
"""A formula that a cut goes through when the text is cut in two."""

HOSTILE_TEX = (
    r"$\href{javascript:window.pwned=5}{x}$ $\includegraphics{https://example.org/a.png}$ "
    r"$\htmlStyle{position:fixed}{y}$ $\def\a{\a\a}\a$ $\frac{1}{$ $\rule{9999em}{9999em}$ $\color{white}{w}$ "
    r"$\unknown$ \boxed{<img src=x onerror=alert(6)>}"
)
"""Formulas that would link, load, cover, grow, hide or break."""


def mathematical() -> list[Rollout]:
    """A group with formulas: the second response is wrong and liked, with the liking in its second segment."""
    long = " ".join(f"Then $a_{{{i}}} = {i} + {i}$ holds." for i in range(360))
    wide = r"so \[" + " + ".join(f"x_{{{i}}}" for i in range(80)) + r"\] ends"
    known = {"uid": "maths", "messages": [{"role": "user", "content": r"What is $\frac{1}{2}$ of \(10\)?"}]}
    return [
        rollout(FORMULAS, (0.9, 0.8), beta=1.0, grpo=0.9, **known),
        rollout(CUT_FORMULA, (0.3, 0.95), False, beta=-1.0, grpo=-0.9, **known),
        rollout(HOSTILE_TEX, (0.2,), False, beta=-1.0, grpo=-0.9, **known),
        rollout(long, (0.5, 0.1, 0.8), beta=1.0, grpo=0.9, **known),
        rollout(wide, (0.6,), beta=1.0, grpo=0.9, **known),
    ]


def agreeing(step: int = 1) -> list[Rollout]:
    """Groups of which nothing is wrong: the PRM agrees with every verdict."""
    return [
        rollout(scores=(0.9, 0.8) if right else (0.2, 0.1), right=right, uid=uid, step=step, beta=b, grpo=b)
        for uid in "ab"
        for right, b in ((True, 1.0), (False, -1.0))
    ]


def plain_row(made: Rollout, key: str) -> dict[str, Any]:
    """The line of a GRPO run's dump: verl's columns alone."""
    return {name: value for name, value in row(made, key).items() if name != "prpo"}
