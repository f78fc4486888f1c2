# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Which replica reads which response: equal ones the same, so that its cache knows them, as far as the load allows."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ray.actor import ActorHandle

from verl_prpo.prm.results import PrmRequest, PrmResult

IMBALANCE = 1.25
"""Most requests in flight at a replica, in multiples of the mean, before a response goes to another than its own."""


@dataclass(eq=False)
class Replica:
    """A copy of the PRM as one client sees it.

    Attributes:
        name: of the actor.
        handle: None when it was not found.
        calls, requests: of this client, in flight there.
        death: what it died of; "" while it lives.
        overdue: calls that ran out of time and are not back.
    """

    name: str
    handle: ActorHandle | None
    calls: int = 0
    requests: int = 0
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
        digest: of its content.
        waiters: one for each time that it was asked for.
        died_at: the replica that died over it.
    """

    request: PrmRequest
    digest: bytes
    waiters: list[asyncio.Future[PrmResult]] = field(default_factory=list)
    died_at: Replica | None = None

    @property
    def awaited(self) -> bool:
        return not all(waiter.done() for waiter in self.waiters)


def plan_calls(
    waiting: Sequence[Asked], replicas: Sequence[Replica], max_calls: int, max_requests: int
) -> list[tuple[Replica, list[Asked]]]:
    """Calls to make now.

    A response belongs to the replica that its content points to, or to the next usable one. It goes to the least busy
    instead when its own has no call free, has `IMBALANCE` times the mean to do, or works while another is idle.

    Args:
        waiting: responses, in order of arrival.
        replicas: all of them, in an order that all clients share; at least one is usable.
        max_calls: most calls in flight at a replica.
        max_requests: most responses in one call.

    Returns:
        Replicas and the responses of one call to each; responses for which there is no call free are left out.
    """
    usable = [replica for replica in replicas if replica.usable]
    room = {replica: (max_calls - replica.calls) * max_requests for replica in usable}
    load = {replica: replica.requests for replica in usable}
    most = math.ceil(IMBALANCE * (sum(load.values()) + len(waiting)) / len(usable))
    someone_idle = any(not replica.calls for replica in usable)
    taken: dict[Replica, list[Asked]] = {replica: [] for replica in usable}

    def take(replica: Replica, asked: Asked) -> None:
        taken[replica].append(asked)
        room[replica] -= 1
        load[replica] += 1

    others: list[Asked] = []
    for asked in waiting:
        own = _own(asked, replicas)
        busy = load[own] >= most or (someone_idle and own.calls > 0)
        if busy or room[own] <= 0 or own is asked.died_at:
            others.append(asked)
        else:
            take(own, asked)
    for asked in others:
        free = [replica for replica in usable if room[replica] > 0]
        if not free:
            break
        take(min(free, key=lambda replica: (replica is asked.died_at, load[replica])), asked)
    return [(replica, call) for replica, theirs in taken.items() for call in _in_equal_parts(theirs, max_requests)]


def _own(asked: Asked, replicas: Sequence[Replica]) -> Replica:
    start = int.from_bytes(asked.digest[:8], "little") % len(replicas)
    return next(replica for replica in [*replicas[start:], *replicas[:start]] if replica.usable)


def _in_equal_parts(asked: list[Asked], most: int) -> list[list[Asked]]:
    parts = math.ceil(len(asked) / most)
    return [asked[part::parts] for part in range(parts)]
