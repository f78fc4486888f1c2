# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Fills `evidence.md.in` or `look.md.in` with the tables, figures and numbers of finished runs.

What stands between double braces in it is looked up:

    {{table NAME ...}}                     a table or figure, see `Evidence.table`
    {{diff ARM BASE PRM TASK [FIGURE]}}    paired difference, points, with its interval; TASK: one, several as in
                                           early,words (their mean), or all
    {{against_oracle PRM TASK [FIGURE]}}   the same of PRPO with a PRM less PRPO with the oracle, on the PRM's seeds
    {{found TASK PRM}}                     percent of the wrong lines of sampled responses that a learned PRM finds
    {{start TASK FIGURE}}                  accuracy before training, percent; FIGURE: greedy, sampled
    {{mean ARM PRM TASK [FIGURE]}}         mean over seeds, percent; FIGURE: greedy (if none is named), sampled, area
    {{late ARM PRM TASK MEASURE}}          mean over seeds of a measure's last quarter
    {{runs}}                               how many runs are reported
    {{missing}}                            what there is not
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from study import figures, sections, statistics
from study.claims import answers
from study.results import Results
from study.runs import Result
from study.sections import FIGURES, Facts
from study.tables import interval, number, percent

TEMPLATE = Path(__file__).with_name("evidence.md.in")
LOOK = Path(__file__).with_name("look.md.in")
"""For reports that lack runs: tables, no conclusions."""
NOT_RUN = "(not run)"


class Evidence:
    """Looks up what a template asks for.

    Args:
        reported: runs to report.
        tuning: runs that chose the learning rates.
        facts: see `study.sections.Facts`.
        full_stack: markdown of the runs with verl and vLLM, or nothing.
        folder: figures are written into it.
        missing: what there is not, for people.
    """

    def __init__(
        self,
        reported: Sequence[Result],
        tuning: Sequence[Result],
        facts: Facts,
        full_stack: str,
        folder: Path,
        missing: str = "",
    ):
        self.results = Results(reported)
        self.reported, self.tuning, self.facts = reported, tuning, facts
        self.full_stack, self.folder, self.missing = full_stack, folder, missing

    def fill(self, template: str) -> str:
        """A template with everything looked up.

        Raises:
            ValueError: an expression that has no meaning.
        """
        return re.sub(r"\{\{(.+?)\}\}", lambda found: self.look_up(*found[1].split()), template)

    def look_up(self, what: str, *arguments: str) -> str:
        """What one expression says, or `NOT_RUN`."""
        kinds: dict[str, Callable[..., str]] = {
            "table": self.table,
            "diff": self.difference,
            "mean": self.mean,
            "late": self.late,
            "against_oracle": self.against_oracle,
            "start": self.start,
            "found": self.found,
            "runs": lambda: str(len(self.reported)),
            "missing": lambda: self.missing,
        }
        if what not in kinds:
            raise ValueError(f"the template asks for {what!r}; known are {', '.join(kinds)}")
        return kinds[what](*arguments) or NOT_RUN

    def table(self, name: str, *arguments: str) -> str:
        """A table or figure by name."""
        results, folder = self.results, self.folder
        tables: dict[str, Callable[..., str]] = {
            "policies": lambda: sections.policies(self.facts),
            "learned_prms": lambda: sections.learned_prms(self.facts),
            "probes": lambda: sections.probes(self.facts, results),
            "tuning": lambda: sections.tuning(self.tuning) if self.tuning else "",
            "answers": lambda prm: answers(results, prm),
            "headline": lambda prm, figure: sections.headline(results, prm, figure),
            "differences": lambda figure: sections.differences(results, figure, folder / f"differences_{figure}.png"),
            "curves": lambda prm: (
                sections.curves(results, prm, folder / f"curves_{prm}.png") if results.has(prm, "prpo") else ""
            ),
            "scores": lambda prm: (
                figures.scores_and_labels(results, prm, folder / f"scores_{prm}.png")
                if results.has(prm, "prpo")
                else ""
            ),
            "behaviour": lambda prm, task: sections.behaviour(results, prm, task),
            "closed_gap": lambda: sections.closed_gap(results),
            "against": lambda prm, base, *arms: sections.against(results, prm, arms, base),
            "against_sampled": lambda prm, base, *arms: sections.against(results, prm, arms, base, "sampled"),
            "along_the_way": lambda prm, arm: sections.along_the_way(results, prm, arm),
            "steps_to_grpo": lambda prm: sections.steps_to_grpo(results, prm),
            "prm_quality": lambda figure: sections.prm_quality(results, figure),
            "recall": lambda: sections.recall_and_gain(results, self.facts, folder / "recall.png"),
            "rollouts": lambda: sections.rollouts(results),
            "full_stack": lambda: self.full_stack,
        }
        if name not in tables:
            raise ValueError(f"the template asks for the table {name!r}; known are {', '.join(tables)}")
        return tables[name](*arguments)

    def difference(self, arm: str, base: str, prm: str, task: str, figure: str = "greedy") -> str:
        """Paired difference in points with its interval."""
        return self._of_tasks(self.results.differences(prm, arm, base, FIGURES[figure]), task)

    def against_oracle(self, prm: str, task: str, figure: str = "greedy") -> str:
        """PRPO with a PRM less PRPO with the oracle, points, with its interval."""
        return self._of_tasks(self.results.differences(prm, "prpo", "prpo", FIGURES[figure], base_prm="oracle"), task)

    def _of_tasks(self, of_task: dict[str, list[float]], tasks: str) -> str:
        wanted = self.results.tasks if tasks == "all" else tasks.split(",")
        if not of_task.keys() >= set(wanted):
            return ""
        return interval(statistics.difference({task: of_task[task] for task in wanted})).replace("**", "")

    def found(self, task: str, prm: str) -> str:
        """What a learned PRM finds of the wrong lines of sampled responses, percent."""
        facts = self.facts.get(f"{task} {prm}")
        return percent(facts["sampled"]["on_wrong"]) if facts else ""

    def start(self, task: str, figure: str) -> str:
        """Accuracy before training, percent."""
        found = self.results.of(task, "oracle", "grpo").values()
        return percent(next(iter(found)).rows[0][figure]) if found else ""

    def mean(self, arm: str, prm: str, task: str, figure: str = "greedy") -> str:
        """Mean over seeds, percent."""
        found = [FIGURES[figure](result) for result in self.results.of(task, prm, arm).values()]
        return percent(float(np.mean(found))) if found else ""

    def late(self, arm: str, prm: str, task: str, measure: str) -> str:
        """Mean over seeds of a measure over the last quarter of the steps."""
        found = [statistics.late(result.rows, measure) for result in self.results.of(task, prm, arm).values()]
        return number(float(np.mean(found))) if found else ""
