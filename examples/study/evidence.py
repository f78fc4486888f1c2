# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Fills the templates of the report's pages with the tables, figures and numbers of finished runs.

What stands between double braces in one is looked up:

    {{table NAME ...}}                     see `Evidence.table`
    {{figure NAME ...}}                    drawn, and shown with its caption, see `Evidence.figure`
    {{diff ARM BASE PRM TASK [FIGURE]}}    paired difference, points, with its interval; TASK: one, several as in
                                           early,words (their mean), or all
    {{least_p FIGURE}}                     least adjusted p-value of the comparisons with GRPO
    {{found TASK PRM}}                     percent of the wrong lines of sampled responses that a learned PRM finds
    {{passed TASK PRM}}                    percent of the right ones that it passes
    {{start TASK FIGURE}}                  accuracy before training, percent; FIGURE: greedy, sampled
    {{mean ARM PRM TASK [FIGURE]}}         mean over seeds, percent; FIGURE: greedy (if none is named), sampled, area
    {{tuned ARM TASK RATE FIGURE}}         percent, of the run that tried a learning rate
    {{late ARM PRM TASK MEASURE}}          mean over seeds of a measure's last quarter; shares are in percent
    {{full_stack}}                         how PRPO compares with GRPO with verl and vLLM
    {{runs}}, {{seeds ARM}}, {{steps}}     how many runs are reported, seeds of an arm, steps of a run
    {{hours}}                              that the runs took, on two cores
    {{parameters}}                         of a policy, in millions
    {{missing}}                            what there is not
"""

import posixpath
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from study import figures, sections, statistics
from study.claims import PAIRS, SUMMARY, answers
from study.policy import new_model
from study.results import Results
from study.runs import Result
from study.sections import FIGURES, Facts
from study.tables import interval, number, percent
from study.tasks import TASKS
from study.vocabulary import Vocabulary

HERE = Path(__file__).parent
PAGES = {"evidence.md": HERE / "evidence.md.in", "evidence/appendix.md": HERE / "appendix.md.in"}
"""Of a whole report: where each lies in its folder, and the template."""
LOOK = {"evidence.md": HERE / "look.md.in"}
"""Of a report that lacks runs: tables, no conclusions."""
NOT_RUN = "(not run)"
CORES = 2
"""Of the machine that a study is meant for."""
SHARES = ("accuracy", "ended_early", "mixed_groups")
"""Measures that are shares of responses or groups."""


class Evidence:
    """Looks up what a template asks for.

    Args:
        reported: runs to report.
        tuning: runs that chose the learning rates.
        facts: see `study.sections.Facts`.
        full_stack: markdown of the runs with verl and vLLM, or nothing.
        folder: figures are written into it; it lies beside the page `evidence.md`.
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
        self.page = "evidence.md"

    def fill(self, template: str, page: str = "evidence.md") -> str:
        """A template with everything looked up.

        Args:
            template: of the page.
            page: where it will lie; links to figures lead from there.

        Raises:
            ValueError: an expression that has no meaning.
        """
        self.page = page
        return re.sub(r"\{\{(.+?)\}\}", lambda found: self.look_up(*found[1].split()), template)

    def look_up(self, what: str, *arguments: str) -> str:
        """What one expression says, or `NOT_RUN`."""
        kinds: dict[str, Callable[..., str]] = {
            "table": self.table,
            "figure": self.figure,
            "diff": self.difference,
            "mean": self.mean,
            "tuned": self.tuned,
            "late": self.late,
            "least_p": self.least_p,
            "start": self.start,
            "found": lambda task, prm: self._judged(task, prm, "on_wrong"),
            "passed": lambda task, prm: self._judged(task, prm, "on_right"),
            "full_stack": lambda: "\n".join(line for line in self.full_stack.splitlines() if line.startswith("- ")),
            "runs": lambda: str(len(self.reported)),
            "seeds": lambda arm: str(len({r.run.settings.seed for r in self.reported if r.run.settings.arm == arm})),
            "steps": lambda: " or ".join(map(str, sorted({r.run.settings.steps for r in self.reported}))),
            "hours": lambda: f"{sum(r.seconds for r in (*self.reported, *self.tuning)) / 3600 / CORES:.0f}",
            "parameters": self.parameters,
            "missing": lambda: self.missing,
        }
        if what not in kinds:
            raise ValueError(f"the template asks for {what!r}; known are {', '.join(kinds)}")
        return kinds[what](*arguments) or NOT_RUN

    def table(self, name: str, *arguments: str) -> str:
        """A table by name."""
        results = self.results
        tables: dict[str, Callable[..., str]] = {
            "learned_prms": lambda: sections.learned_prms(self.facts),
            "probes": lambda: sections.probes(self.facts, results),
            "rates": lambda: sections.rates(self.tuning) if self.tuning else "",
            "summary": lambda: answers(results, SUMMARY, "points over GRPO, mean of the tasks"),
            "pairs": lambda: answers(results, PAIRS, "points, mean of the tasks"),
            "baseline": lambda: sections.baseline(results),
            "differences": lambda figure: sections.differences(results, figure),
            "against": lambda prms, base, *arms: sections.against(results, prms.split(","), base, arms),
            "along_the_way": lambda prm, arm: sections.along_the_way(results, prm, arm),
            "prm_quality": lambda: sections.prm_quality(results),
        }
        return _known(tables, "table", name)(*arguments)

    def figure(self, name: str, *arguments: str) -> str:
        """A figure by name, with its caption."""
        path = self.folder / f"{'_'.join((name, *arguments))}.png"
        results = self.results
        drawn: dict[str, Callable[..., str]] = {
            "differences": lambda figure: sections.forest(results, figure, path),
            "curves": lambda prm: sections.curves(results, prm, path) if results.has(prm, "prpo") else "",
            "scores": lambda prm: figures.scores_and_labels(results, prm, path) if results.has(prm, "prpo") else "",
            "recall": lambda: sections.recall_and_gain(results, self.facts, path),
        }
        caption = _known(drawn, "figure", name)(*arguments)
        link = posixpath.relpath(f"{self.folder.name}/{path.name}", posixpath.dirname(self.page) or ".")
        return f"![{caption.partition('. ')[0]}]({link})\n\n{caption}." if caption else ""

    def difference(self, arm: str, base: str, prm: str, tasks: str, figure: str = "greedy") -> str:
        """Paired difference in points with its interval."""
        of_task = self.results.differences(prm, arm, base, FIGURES[figure])
        wanted = self.results.tasks if tasks == "all" else tasks.split(",")
        if not of_task.keys() >= set(wanted):
            return ""
        return interval(statistics.difference({task: of_task[task] for task in wanted})).replace("**", "")

    def least_p(self, figure: str) -> str:
        """Of the comparisons with GRPO by a figure, after Holm's adjustment."""
        return f"{min((each.adjusted for each in sections.compared(self.results, figure)), default=1.0):.2g}"

    def _judged(self, task: str, prm: str, lines: str) -> str:
        facts = self.facts.get(f"{task} {prm}")
        return percent(facts["sampled"][lines]) if facts else ""

    def start(self, task: str, figure: str) -> str:
        """Accuracy before training, percent."""
        found = self.results.of(task, "oracle", "grpo").values()
        return percent(next(iter(found)).rows[0][figure]) if found else ""

    def mean(self, arm: str, prm: str, task: str, figure: str = "greedy") -> str:
        """Mean over seeds, percent."""
        found = [FIGURES[figure](result) for result in self.results.of(task, prm, arm).values()]
        return percent(float(np.mean(found))) if found else ""

    def tuned(self, arm: str, task: str, rate: str, figure: str) -> str:
        """Of the run that tried a learning rate, percent."""
        found = [
            FIGURES[figure](result)
            for result in self.tuning
            if (result.run.task, result.run.settings.arm, result.run.settings.lr) == (task, arm, float(rate))
        ]
        return percent(float(np.mean(found))) if found else ""

    def late(self, arm: str, prm: str, task: str, measure: str) -> str:
        """Mean over seeds of a measure over the last quarter of the steps."""
        found = [statistics.late(result.rows, measure) for result in self.results.of(task, prm, arm).values()]
        show = percent if measure in SHARES else number
        return show(float(np.mean(found))) if found else ""

    def parameters(self) -> str:
        """Of a policy, in millions."""
        of_task = {new_model(Vocabulary(TASKS[task].WORDS)).num_parameters() for task in self.results.tasks}
        return " to ".join(dict.fromkeys(f"{count / 1e6:.1f}" for count in sorted(of_task)))


def _known(known: dict[str, Callable[..., str]], what: str, name: str) -> Callable[..., str]:
    if name not in known:
        raise ValueError(f"the template asks for the {what} {name!r}; known are {', '.join(known)}")
    return known[name]
