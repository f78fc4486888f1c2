# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The PRM as training asks it: verl's reward-loop workers, the reward manager, a replica. Beside the bare forward."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import prm
import ray
import shapes
import torch
from record import Record


def measure(record: Record) -> None:
    """Tokens a second through the manager, of the bare forward and of one request per response."""
    with prepared(record) as work:
        found = prm.in_process(work, 1, 1 if record.small else 3, record.device.type)
        reported(record, found, "the bare forward")


@contextlib.contextmanager
def prepared(record: Record) -> Iterator[prm.Work]:
    """A running Ray, and a PRM in a folder with responses for it. The folder stays for the stages that follow."""
    folder = record.folder / "models" / ("small" if record.small else "7b")
    (folder / "policy").mkdir(parents=True, exist_ok=True)
    dtype = torch.float32 if record.small else torch.bfloat16
    shapes.save_prm(folder / "prm", record.small, record.device, dtype)
    if record.device.type == "cuda":
        torch.cuda.empty_cache()
    work = prm.Work.build(Path(folder), 12 if record.small else 192, (4, 24))
    gpus = {} if record.device.type == "cpu" else {"num_gpus": 1}
    # By itself Ray takes the address of the host's name, which without a network may lead nowhere.
    local = {"_node_ip_address": "127.0.0.1"}
    ray.init(num_cpus=8, include_dashboard=False, log_to_driver=False, **gpus, **local)
    try:
        yield work
    finally:
        ray.shutdown()


def reported(record: Record, found: prm.Comparison, bare: str) -> None:
    """Add the rows of a comparison."""
    speed = found.tokens_per_second
    record.row(f"{bare}, as token ids", speed["bare"], "tokens/s")
    record.row("through the manager, from the policy's token ids", speed["manager"], "tokens/s")
    record.row("one request per response", speed["single"], "tokens/s")
    # Small shapes measure Ray.
    least, times = (None, None) if record.small else (prm.TARGET_BARE, prm.TARGET_SINGLE)
    record.row(f"manager against {bare}", found.of_bare, "", least=least)
    record.row("manager against one request per response", found.of_single, "", least=times)
