# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A checkpoint engine that carries weights from trainer to rollout over local sockets.

verl's `separate_async` trainer refuses the colocated engine (`naive`), and the other engines need NCCL, HCCL or RDMA.
This one needs ZeroMQ, which verl has. It is verl's own extension point, so nothing is patched::

    actor_rollout_ref.rollout.checkpoint_engine.backend=local_socket
    actor_rollout_ref.rollout.checkpoint_engine.custom_backend_module=verl_prpo.cpu.weight_transfer

Trainer and rollout must share one machine: sockets are bound to the loopback interface.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any, TypeAlias

import torch
import zmq
import zmq.asyncio
from verl.checkpoint_engine import CheckpointEngine, CheckpointEngineRegistry

from verl_prpo.settings.timeouts import WEIGHT_TIMEOUT

BACKEND = "local_socket"
_END = b"end"

WeightStream: TypeAlias = Iterator[tuple[str, torch.Tensor]] | AsyncIterator[tuple[str, torch.Tensor]]


@CheckpointEngineRegistry.register(BACKEND)
class LocalSocketCheckpointEngine(CheckpointEngine):
    """Sends every weight of the first trainer rank to every rollout worker, one message per weight.

    Args:
        bucket_size: accepted because verl passes it. Messages are as large as the weights.
        is_master: whether this is the first trainer rank, the sender.
        timeout_s: longest wait for a single weight, in seconds.
    """

    def __init__(self, bucket_size: int, is_master: bool = False, timeout_s: float = WEIGHT_TIMEOUT) -> None:
        self._timeout_s = timeout_s
        # The process's own context: one of this engine would wait for its sockets when it is collected, for good if a
        # failed update left one open.
        self._context = zmq.asyncio.Context.instance()
        self._inbox: zmq.asyncio.Socket | None = None
        self._outboxes: list[zmq.asyncio.Socket] = []

    def prepare(self) -> str:
        """Bind a receiving socket on a free loopback port and return its address."""
        self._inbox = self._context.socket(zmq.PULL)
        port = self._inbox.bind_to_random_port("tcp://127.0.0.1")
        return f"tcp://127.0.0.1:{port}"

    @classmethod
    def build_topology(
        cls, actor_wg_world_size: int, rollout_world_size: int, metadata: list[str]
    ) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
        """Give the rollout workers' addresses to the first trainer rank, and to nobody else."""
        receivers = metadata[actor_wg_world_size:]
        return (
            {"addresses": [receivers, *([] for _ in range(actor_wg_world_size - 1))]},
            {"addresses": [[] for _ in range(rollout_world_size)]},
        )

    def init_process_group(self, addresses: list[str]) -> None:
        """Connect to the receivers, if this process is the sender."""
        for address in addresses:
            outbox = self._context.socket(zmq.PUSH)
            outbox.connect(address)
            self._outboxes.append(outbox)

    def finalize(self) -> None:
        """Close this update's sockets."""
        for socket in [*self._outboxes, self._inbox]:
            if socket is not None:
                socket.close(linger=0)
        self._inbox, self._outboxes = None, []

    async def send_weights(self, weights: WeightStream, global_steps: int | None = None) -> None:
        """Send each weight to every receiver. Ranks without receivers only take part in gathering the weights.

        Raises:
            TimeoutError: when a receiver takes nothing for `timeout_s` seconds.
        """
        async for name, weight in _iterate(weights):
            if not self._outboxes:
                continue
            header = json.dumps({"name": name, "dtype": str(weight.dtype), "shape": list(weight.shape)}).encode()
            payload = weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
            await self._send([header, payload])
        await self._send([_END])

    async def receive_weights(self, global_steps: int | None = None) -> AsyncGenerator[tuple[str, torch.Tensor], None]:
        """Yield `(name, weight)` for every weight the trainer sends, in its order, on the CPU.

        Raises:
            TimeoutError: when no weight arrives for `timeout_s` seconds.
        """
        assert self._inbox is not None, "receive_weights before prepare"
        while True:
            parts = await self._within_time(self._inbox.recv_multipart(), "receiving a weight from the trainer")
            if parts == [_END]:
                return
            header = json.loads(parts[0])
            dtype = getattr(torch, header["dtype"].removeprefix("torch."))
            yield header["name"], torch.frombuffer(bytearray(parts[1]), dtype=dtype).view(header["shape"])

    async def _send(self, parts: list[bytes]) -> None:
        sends = [outbox.send_multipart(parts) for outbox in self._outboxes]
        await self._within_time(asyncio.gather(*sends), "sending a weight to the rollout")

    async def _within_time(self, action: Any, what: str) -> Any:
        try:
            return await asyncio.wait_for(action, self._timeout_s)
        except asyncio.TimeoutError as error:
            raise TimeoutError(
                f"{what} took more than {self._timeout_s:g} s. See the other side's log, or raise "
                f"actor_rollout_ref.rollout.checkpoint_engine.engine_kwargs.{BACKEND}.timeout_s"
            ) from error


async def _iterate(weights: WeightStream) -> AsyncGenerator[tuple[str, torch.Tensor], None]:
    if isinstance(weights, AsyncIterator):
        async for item in weights:
            yield item
    else:
        for item in weights:
            yield item
