# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The study's tasks: those that rules and settings are chosen on, and those that show whether the choice holds."""

from study.tasks import seen, unseen
from study.tasks.seen import Task, held_out, held_out_problems, training_problem


class Tasks(dict[str, Task]):
    """The tasks that rules are chosen on; any other is found by its name and does not come up unasked."""

    def __missing__(self, name: str) -> Task:
        return unseen.UNSEEN[name]


TASKS = Tasks(seen.TASKS)
UNSEEN = unseen.UNSEEN
"""Tasks that no rule was chosen on."""

__all__ = ["TASKS", "UNSEEN", "Task", "Tasks", "held_out", "held_out_problems", "training_problem"]
