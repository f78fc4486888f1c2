# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A calibration for people: a table, its verdict, and the settings that it suggests."""

from typing import TYPE_CHECKING

from verl_prpo.calibration.unread import SAID
from verl_prpo.console.findings import terminal

if TYPE_CHECKING:
    from verl_prpo.calibration.fitness import Fitness
    from verl_prpo.calibration.measured import Calibration
    from verl_prpo.calibration.responses import Responses
    from verl_prpo.prm.open_prm import OpenPrm


def print_calibration(
    calibration: "Calibration",
    fitness: "Fitness",
    prm: "OpenPrm | None",
    middle: float,
    found: "Responses",
    picture: str | None,
) -> None:
    """Print a calibration, the verdict, and the settings to paste where the verdict allows any.

    Args:
        calibration: what was found.
        fitness: the verdict on it.
        prm: the PRM that scored, None for scores recorded in the dump.
        middle: middle of the score's range.
        found: all responses in the input.
        picture: file of the histogram, if there is one.
    """
    from rich.table import Table
    from rich.text import Text

    from verl_prpo.calibration.fitness import VERDICTS, Verdict

    console = terminal()
    table = Table(show_header=False, show_lines=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(calibration, prm, middle, found):
        table.add_row(Text(name), Text(value))
    console.print(table)
    if picture:
        print(f"histogram: {picture}")
    styles = {Verdict.FIT: "bold green", Verdict.DOUBT: "bold yellow", Verdict.NOT: "bold red"}
    console.print(Text(f"\nverdict: {VERDICTS[fitness.verdict]}", style=styles[fitness.verdict]))
    for reason in fitness.reasons:
        console.print(Text(f"- {reason}"), soft_wrap=True)
    if fitness.verdict is Verdict.FIT:
        print("Next: --probe finds what it pays a policy for drifting. step_labels show how many wrong steps it finds.")
    unseen = len(found) - calibration.responses - sum(calibration.failures.values())
    for one in calibration.trust:
        more = f". --limit can score {unseen} more responses of the input" if one.more_groups and unseen > 0 else ""
        console.print(Text(f"\n++algorithm.prpo.credit=trust: {one}{more}"), soft_wrap=True)
    if not fitness.prior:
        return
    when = "To train with it" if fitness.verdict is Verdict.FIT else "Should the doubt be settled"
    mean, std = f"{calibration.prior_mean:.5g}", f"{calibration.prior_std:.5g}"
    print(
        f"\n{when}: PRPO takes z = (score - prior_mean) / prior_std for every token. With the mean and\n"
        "standard deviation of the scores, long segments counting for more, z has mean 0 and\n"
        "variance 1 on these responses, so the PRM pushes neither all up nor all down\n"
        "(credit=trust reads no prior):\n\n"
        f"++algorithm.prpo.prior_mean={mean} ++algorithm.prpo.prior_std={std}"
    )


def _rows(
    calibration: "Calibration", prm: "OpenPrm | None", middle: float, found: "Responses"
) -> list[tuple[str, str]]:
    scored = f"{calibration.responses} scored, to {calibration.prompts} prompts, of {len(found)} in the input"
    unread = [f"{count} {SAID[kind]}" for kind, count in calibration.unread_kinds.items()]
    rows = [
        ("PRM", "scores recorded in the dump" if prm is None else f"{prm.family.name}, {prm.where}"),
        ("responses", scored),
        ("segments", ", ".join([f"{calibration.segments} scores", *(unread or ["none without one"])])),
    ]
    if calibration.unfinished:
        rows.append(("unfinished", f"{calibration.unfinished} last segments of responses that were cut off"))
    if calibration.failures:
        rows.append(("failed", ", ".join(f"{count} {kind}" for kind, count in sorted(calibration.failures.items()))))
    quantiles = [f"{level:.0%} {value:.3g}" for level, value in calibration.quantiles.items()]
    rows.append(("quantiles", "\n".join(["  ".join(quantiles[:4]), "  ".join(quantiles[4:])])))
    own = "" if prm is None else f" (family: {prm.family.prior_mean:.4g} and {prm.family.prior_std:.4g})"
    rows.append(("mean and std", f"{calibration.mean:.4g} and {calibration.std:.4g}{own}"))
    rows += _outcome_rows(calibration, found.verdict_source) + _step_rows(calibration, middle)
    return rows


def _outcome_rows(calibration: "Calibration", source: str) -> list[tuple[str, str]]:
    known = f"{calibration.outcomes_right} right, {calibration.outcomes_wrong} wrong; {source}"
    rows = [("outcomes", known)]
    if calibration.area_of_mean is None or calibration.area_of_min is None:
        return rows
    rows.append(("AUROC of mean step score", str(calibration.area_of_mean)))
    rows.append(("AUROC of min step score", str(calibration.area_of_min)))
    within = "" if calibration.area_within is None else f"{calibration.area_within}, "
    rows.append(("AUROC within a prompt", f"{within}{calibration.mixed} prompts with right and wrong responses"))
    return rows


def _step_rows(calibration: "Calibration", middle: float) -> list[tuple[str, str]]:
    steps = calibration.steps
    if steps is None:
        return [("step labels", "none in the input")]
    rows = [("step labels", f"{steps.right} right, {steps.wrong} wrong")]
    if steps.area is not None:
        rows.append(("AUROC of step scores", f"{steps.area:.3f}"))
    if steps.informed is not None:
        rows.append((f"informedness at {middle:g}", str(steps.informed)))
    for name, found in ((f"wrong steps at {middle:g}", steps.at_middle), ("wrong steps, best F1", steps.best)):
        if found is not None:
            precision = "-" if found.precision is None else f"{found.precision:.3f}"
            shown = f"recall {found.recall:.3f}, precision {precision}, F1 {found.f1:.3f}"
            rows.append((name, f"{shown} (score below {found.threshold:.4g})"))
    return rows
