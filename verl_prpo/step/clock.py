# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Durations on one clock.

The processes of a node share its monotonic clock; the clocks of two nodes have nothing in common. So whoever notes a
time notes whose clock it was, and only times of one clock are ever subtracted.
"""

import functools
import math
import socket
from collections.abc import Iterable
from pathlib import Path


@functools.cache
def clock_name() -> str:
    """The clock that `time.monotonic` reads in this process: that of the node since it was started."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()


def covered_seconds(intervals: Iterable[tuple[str, float, float]]) -> float:
    """For how long at least one interval was open, on the clock on which that was longest.

    Args:
        intervals: clock, begin and end of each, in seconds of that clock.
    """
    by_clock: dict[str, list[tuple[float, float]]] = {}
    for clock, begin, end in intervals:
        by_clock.setdefault(clock, []).append((begin, end))
    return max(map(_union, by_clock.values()), default=0.0)


def _union(intervals: list[tuple[float, float]]) -> float:
    total, reach = 0.0, -math.inf
    for begin, end in sorted(intervals):
        total += max(0.0, end - max(begin, reach))
        reach = max(reach, end)
    return total
