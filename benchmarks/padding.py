# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""How much of what a PRM reads is padding, for three ways to choose which dialogues share a forward pass.

    python benchmarks/padding.py [--limit 16384] [--dialogues 32]

- like: that of the package, dialogues of like length;
- filled: sorted by length, each pass filled to the limit whatever the lengths;
- best: the partition of least cost, by dynamic programming.

`read` is the tokens that the model reads for each that is no padding. `cost` counts `PASS_COST` more for each pass.
"""

import argparse
import math
import random
from collections.abc import Callable, Sequence

from verl_prpo.prm.in_process.forward_passes import forward_passes

PASS_COST = 512
"""Tokens that one more pass costs: about as many as a GPU computes, in a model of 7B parameters, in the time it takes
to start a pass and to read the weights."""

PROMPT = 120
CALLS = 64

Passes = list[list[int]]


def filled(lengths: Sequence[int], max_tokens: int) -> Passes:
    """Sorted by length, each pass full."""
    passes: Passes = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if passes and (len(passes[-1]) + 1) * lengths[passes[-1][0]] <= max_tokens:
            passes[-1].append(i)
        else:
            passes.append([i])
    return passes


def best(lengths: Sequence[int], max_tokens: int) -> Passes:
    """The partition of least cost."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    cost = [0, *[0] * len(order)]  # of the passes for the first so many dialogues of `order`
    first = [0, *[0] * len(order)]  # where the last of those passes begins
    for end in range(1, len(order) + 1):
        begin = end - 1
        cost[end], first[end] = cost[begin] + lengths[order[begin]] + PASS_COST, begin
        while begin > 0 and (end - begin + 1) * lengths[order[begin - 1]] <= max_tokens:
            begin -= 1
            tokens = cost[begin] + (end - begin) * lengths[order[begin]] + PASS_COST
            if tokens <= cost[end]:
                cost[end], first[end] = tokens, begin
    passes: Passes = []
    end = len(order)
    while end:
        passes.append(order[first[end] : end])
        end = first[end]
    return passes


WAYS: dict[str, Callable[[Sequence[int], int], Passes]] = {"like": forward_passes, "filled": filled, "best": best}


def lognormal(generator: random.Random, middle: int, spread: float, most: int) -> int:
    """Length of a dialogue whose response is as long as responses of a policy are: many short, few long."""
    return min(most, int(generator.lognormvariate(math.log(middle), spread))) + PROMPT


RESPONSES: dict[str, Callable[[random.Random], int]] = {
    "a math model, median 500": lambda generator: lognormal(generator, 500, 0.5, 3976),
    "early training, 200 to 1500": lambda generator: generator.randint(200, 1500) + PROMPT,
    "a long tail, median 700": lambda generator: lognormal(generator, 700, 0.8, 3976),
    "a thinking model, median 2500": lambda generator: lognormal(generator, 2500, 0.6, 8072),
}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, default=16384, help="tokens of one forward pass")
    parser.add_argument("--dialogues", type=int, default=32, help="in one call")
    given = parser.parse_args()
    print(f"{'responses':32}" + "".join(f"{way + ': read':>14}{'passes':>8}{'cost':>7}" for way in WAYS))
    for name, draw in RESPONSES.items():
        generator = random.Random(0)
        calls = [[draw(generator) for _ in range(given.dialogues)] for _ in range(CALLS)]
        tokens = sum(map(sum, calls))
        row = f"{name:32}"
        for choose in WAYS.values():
            chosen = [(lengths, choose(lengths, given.limit)) for lengths in calls]
            read = sum(len(p) * max(lengths[i] for i in p) for lengths, passes in chosen for p in passes)
            count = sum(len(passes) for _, passes in chosen)
            row += f"{read / tokens:14.3f}{count:8}{(read + PASS_COST * count) / tokens:7.3f}"
        print(row)


if __name__ == "__main__":
    main()
