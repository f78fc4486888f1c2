# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The full stack's runs next to the light trainer's, as Markdown and JSON."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from study.plan import Run
from study.statistics import final, late
from study.tables import number, percent, points, table
from study.trainer import Row


@dataclass(frozen=True)
class Trained:
    """A finished run.

    Attributes:
        trainer: "full stack" or "light".
        run: what was run.
        rows: of its steps, see `study.trainer.train`.
    """

    trainer: str
    run: Run
    rows: list[Row]


def write_table(trained: Sequence[Trained], path: Path) -> None:
    """Write `path`.md and `path`.json."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").write_text(json.dumps([asdict(each) for each in trained], indent=1) + "\n")
    path.with_suffix(".md").write_text(markdown(trained))


def markdown(trained: Sequence[Trained]) -> str:
    """Held-out accuracy of every run as it trained, and how PRPO compares with GRPO by either trainer."""
    looks = sorted({int(row["step"]) for each in trained for row in each.rows if "greedy" in row})
    head = ["seed", "arm", "lr", "trainer", *map(str, looks), "training accuracy", "length", "PRM mean"]
    lines = []
    for each in sorted(trained, key=lambda t: (t.run.settings.seed, t.run.settings.arm, t.trainer)):
        settings, greedy = each.run.settings, {row["step"]: row["greedy"] for row in each.rows if "greedy" in row}
        judged = any("prm_mean" in row for row in each.rows)
        lines.append(
            [
                *(str(settings.seed), settings.arm, f"{settings.lr:g}", each.trainer),
                *(percent(greedy[step]) if step in greedy else "" for step in looks),
                *(percent(late(each.rows, "accuracy")), number(late(each.rows, "length"))),
                number(late(each.rows, "prm_mean")) if judged else "",
            ]
        )
    first = trained[0].run
    about = (
        f"Task {first.task}, PRM {first.prm}. Held-out accuracy (greedy, %) by step, then means over the last quarter "
        "of the steps: training accuracy (%), response length (tokens), mean segment score of the PRM. GRPO has no PRM "
        "on the full stack."
    )
    return "\n\n".join([about, table(head, lines), *_differences(trained)]) + "\n"


def _differences(trained: Sequence[Trained]) -> list[str]:
    """PRPO less GRPO at the end, by trainer, for the seeds that have both."""
    ends: dict[str, dict[int, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for each in trained:
        ends[each.trainer][each.run.settings.seed][each.run.settings.arm] = final(each.rows, "greedy")
    told = []
    for trainer, seeds in sorted(ends.items()):
        found = [arms["prpo"] - arms["grpo"] for _, arms in sorted(seeds.items()) if len(arms) == 2]
        if found:
            by_seed = ", ".join(map(points, found))
            told.append(f"PRPO less GRPO, held out, after the last step, {trainer}: {by_seed} points")
    return ["\n".join(f"- {line}" for line in told)] if told else []
