# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Choose the replica for each response: the one with the least work in flight."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ray.actor import ActorHandle

from verl_prpo.prm.results import PrmRequest, PrmResult


@dataclass(eq=False)
class Replica:
    """A replica of the PRM as one client sees it.

    Attributes:
        name: name of the actor.
        handle: handle of the actor, None when it was not found.
        calls, requests: how many of this client are in flight there.
        sent: requests of this client since it began.
        death: what it died of, "" while it lives.
        overdue: calls that ran out of time and are not back.
    """

    name: str
    handle: ActorHandle | None
    calls: int = 0
    requests: int = 0
    sent: int = 0
    death: str = ""
    overdue: set[asyncio.Future] = field(default_factory=set)

    @property
    def usable(self) -> bool:
        return not self.death and not self.overdue


@dataclass(eq=False)
class Asked:
    """A response to score and who waits for its scores.

    Attributes:
        request: the response.
        result: done once there are scores or a failure, or once nobody waits any more.
        died_at: the replica that died over it.
    """

    request: PrmRequest
    result: asyncio.Future[PrmResult]
    died_at: Replica | None = None


def plan_calls(
    waiting: Sequence[Asked], replicas: Sequence[Replica], max_calls: int, max_requests: int
) -> list[tuple[Replica, list[Asked]]]:
    """Plan the calls to make now.

    Each response goes to the usable replica that has a call free and the fewest requests in flight. Among equals it is
    the one that was sent the fewest so far. The replica that died over a response is its last choice.

    Args:
        waiting: responses, in order of arrival.
        replicas: all of them. At least one is usable.
        max_calls: most calls in flight at a replica.
        max_requests: most responses in one call.

    Returns:
        Replicas and the responses of one call to each. Responses for which no call is free are left out.
    """
    taken: dict[Replica, list[Asked]] = {replica: [] for replica in replicas if replica.usable}
    for asked in waiting:
        free = [r for r, theirs in taken.items() if len(theirs) < (max_calls - r.calls) * max_requests]
        if not free:
            break
        least = min(free, key=lambda r: (r is asked.died_at, r.requests + len(taken[r]), r.sent + len(taken[r])))
        taken[least].append(asked)
    return [(replica, call) for replica, theirs in taken.items() for call in _in_equal_parts(theirs, max_requests)]


def _in_equal_parts(asked: list[Asked], most: int) -> list[list[Asked]]:
    parts = math.ceil(len(asked) / most)
    return [asked[part::parts] for part in range(parts)]
