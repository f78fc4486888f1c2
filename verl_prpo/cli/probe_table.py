# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A probe for people: a table of what each drift is paid, and the drifts that are flagged."""

import math
from typing import TYPE_CHECKING, Any

from verl_prpo.cli.report import terminal

if TYPE_CHECKING:
    from verl_prpo.cli.open_prm import OpenPrm
    from verl_prpo.probe.report import Probe
    from verl_prpo.probe.verdict import Finding

SHOWN = 60
"""Characters of a segment that an example shows."""

COLUMNS = ("perturbation", "n", "z at the change", "z, mean", "z, sum", "score", "verdict")


def print_probe(probe: "Probe", prm: "OpenPrm", responses: str, tokenizer: str | None) -> None:
    """Print a probe.

    Args:
        probe: what was found.
        prm: that scored.
        responses: how many were probed and which.
        tokenizer: that counted tokens; None for the estimate.
    """
    from rich.table import Table
    from rich.text import Text

    from verl_prpo.probe.verdict import Verdict

    styles = {Verdict.OK: "green", Verdict.UNCLEAR: "yellow", Verdict.FLAG: "bold red"}
    console = terminal()
    print(f"PRM: {prm.family.name}, {prm.where}")
    print(f"responses: {responses}; {probe.unscored} texts without scores")
    counted = "an estimate" if tokenizer is None else tokenizer
    print(f"z = (score - {probe.prior.mean:.4g}) / {probe.prior.std:.4g}; steps are cut by text; tokens by {counted}")
    if probe.mean_z is not None:
        print(f"mean z of the responses as they are: {probe.mean_z}")
    print("\nperturbed less original, with 95% intervals; n responses; score: mean over segments")
    score_digits = max(2, 1 - math.floor(math.log10(probe.prior.std)))  # the prior's second digit shows
    table = Table(show_lines=False)
    for name in COLUMNS:
        table.add_column(name, no_wrap=True, justify="left" if name in ("perturbation", "verdict") else "right")
    for finding in probe.findings:
        table.add_row(*_row(finding, score_digits), Text(finding.verdict.value, style=styles[finding.verdict]))
    console.print(table)
    for finding in probe.findings:
        if finding.reason:
            print(f"{finding.verdict.value} {finding.perturbation} ({finding.meaning}): {finding.reason}")
        if finding.example is not None:
            print(_example(finding.example))
        if finding.recall is not None:
            print(f"{finding.perturbation}: recall on wrong steps {finding.recall}")
    if probe.mean_z is not None and probe.mean_z.high < 0:
        print(
            "The mean z is below 0: every token is pushed down, so that the shorter of two responses loses less. Take\n"
            "algorithm.prpo.prior_mean from `verl-prpo calibrate` without --probe."
        )
    flagged = [finding.perturbation for finding in probe.findings if finding.verdict is Verdict.FLAG]
    print(f"\nflagged: {', '.join(flagged)}" if flagged else "\nnothing flagged")


def _row(finding: "Finding", score_digits: int) -> list[str]:
    figures = [(finding.at_change, 2), (finding.mean, 2), (finding.total, 0)]
    shown = ["-" if figure is None else figure.rounded(digits) for figure, digits in figures]
    scores = (finding.score_before, finding.score_after)
    score = " -> ".join("-" if score is None else f"{score:.{score_digits}f}" for score in scores)
    return [finding.perturbation, str(finding.responses), *shown, score]


def _example(example: dict[str, Any]) -> str:
    return (
        f"    {_short(example['perturbed'])} gets z {example['perturbed_z']:.2f} "
        f"where {_short(example['original'])} got {example['original_z']:.2f}"
    )


def _short(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 3] + "...")
