# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A probe for people: a table of what each drift is paid, with the drifts that are flagged."""

import math
from typing import TYPE_CHECKING, Any

from verl_prpo.console.findings import terminal

if TYPE_CHECKING:
    from verl_prpo.prm.open_prm import OpenPrm
    from verl_prpo.probe.report import Probe
    from verl_prpo.probe.verdict import Finding

SHOWN = 60
"""The most characters of a segment that an example shows."""

COLUMNS = ("perturbation", "n", "z at the change", "free, share", "z, mean", "score", "verdict")

NORMS = {
    "group_mean": "takes the mean from the group: the difference at the change is the same,\n"
    "that of the mean is smaller by about the response's own share of the group.",
    "group": "takes mean and standard deviation from the group: training's z is not this one.",
}
"""What z of the prior means where `algorithm.prpo.process_norm` is not `prior`."""

STEP_ENDS = (
    "stop_early: the flag is expected of a PRM that reads a step's score at the step's end, for it does not see that\n"
    "nothing follows. The outcome can punish it: keep ++algorithm.prpo.credit=prpo, not process, and leave groups out\n"
    "in which it cannot either with ++algorithm.prpo.skip_all_equal_groups=true."
)


TRUST = (
    "algorithm.prpo.credit=trust takes scores relative to their group: differences are these up to a factor, and the\n"
    "mean z has no part. They count in groups that are all right or all wrong, with the weight that the PRM earns."
)
"""What z of the prior means under `credit=trust`."""


def print_probe(
    probe: "Probe", prm: "OpenPrm", responses: str, tokenizer: str | None, process_norm: str, credit: str = "prpo"
) -> None:
    """Print a probe.

    Args:
        probe: what was found.
        prm: the PRM that scored.
        responses: how many were probed and which.
        tokenizer: name of the tokenizer that counted tokens, None for the estimate.
        process_norm, credit: settings of the training that is to come.
    """
    from rich.table import Table
    from rich.text import Text

    from verl_prpo.probe.verdict import Verdict

    styles = {Verdict.OK: "green", Verdict.UNCLEAR: "yellow", Verdict.FLAG: "bold red"}
    console = terminal()
    print(f"PRM: {prm.family.name}, {prm.where}")
    print(f"responses: {responses}, and {probe.unscored} texts without scores")
    if probe.failure is not None:
        print(f"the first without: {probe.failure}")
    counted = "an estimate" if tokenizer is None else tokenizer
    print(
        f"z = (score - {probe.prior.mean:.4g}) / {probe.prior.std:.4g}. "
        f"Steps are cut by text, and tokens are counted by {counted}"
    )
    trust = credit == "trust"
    if trust:
        print(TRUST)
    elif process_norm in NORMS:
        print(f"algorithm.prpo.process_norm={process_norm} {NORMS[process_norm]}")
    if probe.mean_z is not None:
        print(f"mean z of the responses as they are: {probe.mean_z}")
    print("\nperturbed less original, with 95% intervals; n responses; score: mean over segments")
    print(
        f"free: of the responses that had z >= 0 at the change, the share that loses less than {probe.margin:g} there"
    )
    score_digits = max(2, 1 - math.floor(math.log10(probe.prior.std)))  # the prior's second digit shows
    table = Table(show_edge=False, pad_edge=False)
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
    flagged = [finding.perturbation for finding in probe.findings if finding.verdict is Verdict.FLAG]
    if "stop_early" in flagged and not trust:
        print(STEP_ENDS)
    if process_norm == "prior" and not trust and probe.mean_z is not None and probe.mean_z.high < 0:
        print(
            "The mean z is below 0: every token is pushed down, so that the shorter of two responses loses less. Take\n"
            "algorithm.prpo.prior_mean from `verl-prpo calibrate` without --probe."
        )
    print(f"\nflagged: {', '.join(flagged)}" if flagged else "\nnothing flagged")


def _row(finding: "Finding", score_digits: int) -> list[str]:
    shown = ["-" if figure is None else str(figure) for figure in (finding.at_change, finding.free, finding.mean)]
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
