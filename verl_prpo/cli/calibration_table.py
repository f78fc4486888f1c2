# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A calibration for people: a table, and the settings that it suggests."""

from typing import TYPE_CHECKING

from verl_prpo.cli.report import terminal

if TYPE_CHECKING:
    from verl_prpo.cli.calibration import Calibration
    from verl_prpo.cli.open_prm import OpenPrm


def print_calibration(
    calibration: "Calibration", prm: "OpenPrm | None", middle: float, found: int, picture: str | None
) -> None:
    """Print a calibration, and the lines to paste.

    Args:
        calibration: what was found.
        prm: that scored; None for scores recorded in the dump.
        middle: of the score's range.
        found: number of responses in the input.
        picture: file of the histogram, if there is one.
    """
    from rich.table import Table
    from rich.text import Text

    console = terminal()
    table = Table(show_header=False, show_lines=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(calibration, prm, middle, found):
        table.add_row(Text(name), Text(value))
    console.print(table)
    if picture:
        print(f"histogram: {picture}")
    if not calibration.suggests:
        print(f"All scores are {calibration.mean:.4g}: a PRM that always says the same teaches nothing; no prior.")
        return
    print(
        "\nPRPO takes z = (score - prior_mean) / prior_std for every token. With the mean and\n"
        "standard deviation of the scores, long segments counting for more, z has mean 0 and\n"
        "variance 1 on these responses, so the PRM pushes neither all up nor all down:\n\n"
        f"algorithm:\n  prpo:\n    prior_mean: {calibration.prior_mean:.5g}\n    prior_std: {calibration.prior_std:.5g}"
    )


def _rows(calibration: "Calibration", prm: "OpenPrm | None", middle: float, found: int) -> list[tuple[str, str]]:
    rows = [
        ("PRM", "scores recorded in the dump" if prm is None else f"{prm.family.name}, {prm.where}"),
        ("responses", f"{calibration.responses} scored, of {found} in the input"),
        ("segments", f"{calibration.segments} scores, {calibration.unread} past the PRM's context"),
    ]
    if calibration.failures:
        rows.append(("failed", ", ".join(f"{count} {kind}" for kind, count in sorted(calibration.failures.items()))))
    quantiles = [f"{level:.0%} {value:.3g}" for level, value in calibration.quantiles.items()]
    rows.append(("quantiles", "\n".join(["  ".join(quantiles[:4]), "  ".join(quantiles[4:])])))
    own = "" if prm is None else f" (family: {prm.family.prior_mean:.4g} and {prm.family.prior_std:.4g})"
    rows.append(("mean and std", f"{calibration.mean:.4g} and {calibration.std:.4g}{own}"))
    rows += _outcome_rows(calibration) + _step_rows(calibration, middle)
    return rows


def _outcome_rows(calibration: "Calibration") -> list[tuple[str, str]]:
    known = f"{calibration.outcomes_right} right, {calibration.outcomes_wrong} wrong"
    if calibration.area_of_mean is None or calibration.area_of_min is None:
        return [("outcomes", f"{known}: agreement needs both kinds")]
    return [
        ("outcomes", known),
        ("AUROC of mean step score", str(calibration.area_of_mean)),
        ("AUROC of min step score", str(calibration.area_of_min)),
    ]


def _step_rows(calibration: "Calibration", middle: float) -> list[tuple[str, str]]:
    steps = calibration.steps
    if steps is None:
        return [("step labels", "none in the input")]
    rows = [("step labels", f"{steps.right} right, {steps.wrong} wrong")]
    if steps.area is not None:
        rows.append(("AUROC of step scores", f"{steps.area:.3f}"))
    for name, found in ((f"wrong steps at {middle:g}", steps.at_middle), ("wrong steps, best F1", steps.best)):
        if found is not None:
            precision = "-" if found.precision is None else f"{found.precision:.3f}"
            shown = f"recall {found.recall:.3f}, precision {precision}, F1 {found.f1:.3f}"
            rows.append((name, f"{shown} (score below {found.threshold:.4g})"))
    return rows
