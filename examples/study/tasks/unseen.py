# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks that no rule is chosen on: plain GRPO has been run on them, to see that it learns, and nothing else."""

from study.tasks import carry, circuit, idle, piles, stack, swaps
from study.tasks.seen import Task

UNSEEN: dict[str, Task] = {task.NAME: task for task in (swaps, piles, idle, carry, stack, circuit)}  # type: ignore[misc]
