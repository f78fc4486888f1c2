# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Weights reach every rollout worker unchanged, over local sockets."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
import torch

pytest.importorskip("verl")

from verl.checkpoint_engine import CheckpointEngineRegistry

from verl_prpo.cpu.weight_transfer import BACKEND, LocalSocketCheckpointEngine

WEIGHTS = {
    "embed.weight": torch.randn(7, 3),
    "norm.weight": torch.randn(3).to(torch.bfloat16),
    "scale": torch.tensor(2.5),
    "transposed": torch.randn(4, 5).T,
}


def engines(trainers: int, rollouts: int, **settings) -> tuple[list, list]:
    """Return connected engines, wired as verl's CheckpointEngineManager.build_process_group does."""
    senders = [CheckpointEngineRegistry.new(BACKEND, bucket_size=1, is_master=i == 0) for i in range(trainers)]
    receivers = [CheckpointEngineRegistry.new(BACKEND, bucket_size=1, **settings) for _ in range(rollouts)]
    metadata = [engine.prepare() for engine in senders + receivers]
    kwargs = LocalSocketCheckpointEngine.build_topology(trainers, rollouts, metadata)
    for side, side_kwargs in zip((senders, receivers), kwargs, strict=True):
        for i, engine in enumerate(side):
            engine.init_process_group(**{key: values[i] for key, values in side_kwargs.items()})
    return senders, receivers


async def received(engine) -> dict[str, torch.Tensor]:
    return {name: weight async for name, weight in engine.receive_weights()}


@pytest.mark.parametrize(("trainers", "rollouts"), [(1, 1), (2, 3)])
def test_every_receiver_gets_every_weight_of_the_first_rank(trainers, rollouts):
    async def update():
        senders, receivers = engines(trainers, rollouts)
        other = {name: torch.zeros_like(weight) for name, weight in WEIGHTS.items()}
        sends = [sender.send_weights(iter((other if i else WEIGHTS).items())) for i, sender in enumerate(senders)]
        _, results = await asyncio.gather(asyncio.gather(*sends), asyncio.gather(*map(received, receivers)))
        for engine in senders + receivers:
            engine.finalize()
        return results

    for weights in asyncio.run(asyncio.wait_for(update(), 30)):
        assert list(weights) == list(WEIGHTS)
        for name, weight in WEIGHTS.items():
            assert weights[name].dtype == weight.dtype
            assert torch.equal(weights[name], weight)


def test_engines_can_be_used_again_after_finalize():
    async def update_twice():
        engine_pair = (CheckpointEngineRegistry.new(BACKEND, bucket_size=1) for _ in range(2))
        sender, receiver = engine_pair
        for factor in (1.0, 2.0):
            sender.prepare()
            sender.init_process_group([receiver.prepare()])
            _, weights = await asyncio.gather(
                sender.send_weights(iter([("w", torch.tensor(factor))])), received(receiver)
            )
            assert weights["w"].item() == factor
            sender.finalize()
            receiver.finalize()

    asyncio.run(asyncio.wait_for(update_twice(), 30))


def test_an_engine_that_was_never_finalized_does_not_hold_up_its_process():
    """In a process of its own, since what is to be ruled out is a hang."""
    code = (
        "import asyncio, gc, verl\n"
        "from verl_prpo.cpu.weight_transfer import LocalSocketCheckpointEngine as Engine\n"
        "async def connect():\n"
        "    receiver, sender = Engine(1), Engine(1, is_master=True)\n"
        "    sender.init_process_group([receiver.prepare()])\n"
        "    await sender._outboxes[0].send(b'never received')\n"
        "asyncio.run(connect())\n"
        "gc.collect()\n"
        "print('collected')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert "collected" in done.stdout, done.stderr


def test_a_silent_trainer_is_an_error_that_names_the_setting():
    async def wait():
        _, (receiver,) = engines(1, 1, timeout_s=0.1)
        await received(receiver)

    with pytest.raises(TimeoutError, match=r"checkpoint_engine\.engine_kwargs\.local_socket\.timeout_s"):
        asyncio.run(wait())
