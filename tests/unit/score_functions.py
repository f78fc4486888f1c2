# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Score functions for the tests of `reward.prm.score_function`: good ones, and one for each kind of fault."""

import asyncio
import os
import time

NO_FUNCTION = 5


def lengths(messages, segments, scale=0.1, **row):
    """As the length of each segment says."""
    return [min(1.0, scale * len(segment)) for segment in segments]


def of_the_row(messages, segments, data_source, ground_truth, extra_info):
    return [1.0 if ground_truth in s else extra_info["other"] if data_source == "toy" else 0.0 for s in segments]


def row_names(messages, segments, **row):
    return [float(set(row) == {"data_source", "ground_truth", "extra_info"})] * len(segments)


def of_tools(messages, segments, heard, **row):
    """As the last tool before each segment said."""
    said = [[message["content"] for message in before if message["role"] == "tool"] for before in heard]
    return [float(texts[-1]) if texts else None for texts in said]


async def of_tools_later(messages, segments, *, heard):
    await asyncio.sleep(0.01)
    return of_tools(messages, segments, heard)


def of_tools_at_once(messages, segments, heard, extra_info):
    assert len(messages) == len(segments) == len(heard) == len(extra_info)
    return [of_tools(None, texts, before) for texts, before in zip(segments, heard, strict=True)]


of_tools_at_once.batched = True


def heard_as(messages, segments, heard, wanted):
    assert heard == wanted, heard
    heard[0].append("changed")
    return [1.0] * len(segments)


async def later(messages, segments):
    await asyncio.sleep(0.05)
    return [1.0] * len(segments)


def signed(messages, segments):
    return [-2, 3][: len(segments)]


signed.score_range = (-2, 3)


def batch(messages, segments, ground_truth):
    """Marks a batch by its size: 1/8 for each response in it."""
    if any("poison" in text for texts in segments for text in texts):
        raise ValueError("poison")
    assert len(messages) == len(segments) == len(ground_truth)
    return [[len(segments) / 8] * len(texts) for texts in segments]


batch.batched = True


def too_few_rows(messages, segments):
    return [[0.5]]


too_few_rows.batched = True


class Judge:
    """Called as an object."""

    score_range = (0, 10)

    async def __call__(self, messages, segments):
        return [10.0] * len(segments)


judge = Judge()

RETURNS = {
    "nothing": None,
    "nan": [0.5, float("nan")],
    "infinite": [float("inf"), 0.5],
    "few": [0.5],
    "many": [0.5] * 3,
    "text": "0.5, 0.5",
    "texts": ["0.5", "0.5"],
    "high": [0.5, 1.5],
    "number": 0.5,
    "dict": {"scores": [0.5, 0.5]},
    "truths": [True, False],
    "none": [None, 0.5],
}


def returns(messages, segments, what):
    return RETURNS[what]


def raises(messages, segments):
    raise KeyError("apples")


def raises_once(messages, segments, marker):
    if not os.path.exists(marker):
        open(marker, "w").close()
        raise ConnectionError("not yet")
    return [1.0] * len(segments)


def hangs(messages, segments):
    if "hang" in segments[0]:
        while True:
            pass
    return [1.0] * len(segments)


async def never_yields(messages, segments):
    if "hang" in segments[0]:
        time.sleep(60)
    await asyncio.sleep(0.01)
    return [1.0] * len(segments)


async def cannot_be_cancelled(messages, segments):
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass


def dies(messages, segments):
    os._exit(3)


def leaves(messages, segments):
    raise SystemExit(0)


def prints_and_mutates(messages, segments, extra_info):
    print("printed by the function")
    found = len(messages) / 10
    messages.append({"role": "user", "content": "more"})
    messages[0]["content"] = "changed"
    extra_info["seen"] = True
    segments[0] = "changed"
    return [found] * len(segments)


def swapped(segments, messages):
    """Arguments go by name, so their order does not matter."""
    return [float(messages[0]["role"] == "user")] * len(segments)


def other_names(prompt, steps):
    return [1.0] * len(steps)


def needs_more(messages, segments, temperature):
    return [1.0] * len(segments)


def bad_range(messages, segments):
    return []


bad_range.score_range = (1, 0)


def bad_batched(messages, segments):
    return []


bad_batched.batched = "yes"
