# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The full stack's runs next to the light trainer's, as Markdown and JSON."""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
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
    """PRPO less GRPO, by trainer, for the seeds that have both: held out at the end, and in training."""
    told = []
    figures: dict[str, Callable[[Sequence[Row]], float]] = {
        "held out, greedy, after the last step": lambda rows: final(rows, "greedy"),
        "training accuracy, last quarter": lambda rows: late(rows, "accuracy"),
    }
    for title, figure in figures.items():
        of_trainer: dict[str, dict[int, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
        for each in trained:
            of_trainer[each.trainer][each.run.settings.seed][each.run.settings.arm] = figure(each.rows)
        for trainer, seeds in sorted(of_trainer.items()):
            found = [arms["prpo"] - arms["grpo"] for _, arms in sorted(seeds.items()) if len(arms) == 2]
            if found:
                by_seed = ", ".join(map(points, found))
                told.append(f"{title}, {trainer}: {by_seed} points, mean {points(sum(found) / len(found))}")
    return ["PRPO less GRPO:\n\n" + "\n".join(f"- {line}" for line in told)] if told else []
