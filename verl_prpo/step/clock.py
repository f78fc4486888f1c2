# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Measure durations on one clock.

The processes of a node share its monotonic clock. The clocks of two nodes have nothing in common. So each time is noted
with the name of its clock, and only times of one clock are subtracted.
"""

import functools
import math
import socket
from collections.abc import Iterable
from pathlib import Path


@functools.cache
def clock_name() -> str:
    """Name the clock that `time.monotonic` reads in this process: that of the node since its start."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()


def covered_seconds(intervals: Iterable[tuple[str, float, float]]) -> float:
    """Measure for how long at least one interval was open, on the clock where that was longest.

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
