# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Draws the figures of README.md and docs/.

    python docs/figures/draw.py method                                        # docs/figures/method.png
    python docs/figures/draw.py report .quickstart/prpo/rollouts/8.jsonl    # docs/figures/report.png

`method` takes its cuts from `entropy_segments` and its advantages from `prpo_advantage`. The response, its entropies
and its scores are made up; no policy wrote them. `report` photographs the page that `verl-prpo report` makes of a
rollout dump. It needs Playwright and Chromium.
"""

import argparse
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from verl_prpo.method.advantage import prpo_advantage
from verl_prpo.method.segmentation import entropy_segments

HERE = Path(__file__).parent

TOKENS = (
    "12| apples| are| 4| threes|,| and| 4|·|2|=|8|."
    "| With| the| bag|:| 8|+|1|=|10|."
    "| So| the| answer| is| \\boxed|{|10|}|."
).split("|")
"""A response as the policy wrote it: its second step is wrong (8 + 1 is 9), and so is its answer."""

ENTROPIES = {
    0: 0.4,
    2: 1.25,
    4: 0.5,
    6: 0.7,
    9: 0.2,
    11: 0.1,
    13: 1.9,
    15: 1.35,
    17: 0.3,
    21: 0.5,
    23: 1.7,
    25: 1.1,
    29: 0.2,
}
"""Nats, by token; 0.05 for the others."""

SCORES = (0.93, 0.05, 0.21)
"""Of the PRM, one a segment."""

REWARDS = (-1.0, 1.0, 1.0, -1.0)
"""Outcome rewards of the group; the response is its first."""

MAX_ANCHORS, MIN_GAP = 5, 10


@dataclass(frozen=True)
class WorkedExample:
    """What the package makes of the response; tensors of one value a token.

    Attributes:
        entropy: in nats.
        starts: bool, True at the first token of each segment.
        scores: each token's segment score.
        process: z.
        outcome: the outcome advantage, R less the group's mean.
        prpo: what PRPO pays.
        grpo: what GRPO pays.
    """

    entropy: torch.Tensor
    starts: torch.Tensor
    scores: torch.Tensor
    process: torch.Tensor
    outcome: torch.Tensor
    prpo: torch.Tensor
    grpo: torch.Tensor

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """Half-open token spans of the segments."""
        begins = self.starts.nonzero()[:, 0].tolist()
        return list(zip(begins, [*begins[1:], len(self.starts)], strict=True))


def worked_example() -> WorkedExample:
    """Cut and pay the response of the figure with the package's own functions and the paper's settings."""
    length = len(TOKENS)
    mask = torch.ones(len(REWARDS), length)
    entropy = torch.full((1, length), 0.05)
    for token, nats in ENTROPIES.items():
        entropy[0, token] = nats
    starts = torch.zeros(len(REWARDS), length, dtype=torch.bool)
    starts[:, 0] = True
    starts[0] = entropy_segments(entropy, mask[:1], max_anchors=MAX_ANCHORS, min_gap=MIN_GAP)[0]
    if int(starts[0].sum()) != len(SCORES):
        raise ValueError(f"{int(starts[0].sum())} segments, and {len(SCORES)} scores for them")
    scores = torch.full((len(REWARDS), length), 0.5)
    scores[0] = torch.tensor(SCORES)[starts[0].long().cumsum(0) - 1]

    def paid(**options) -> torch.Tensor:
        return prpo_advantage(scores, starts, torch.tensor(REWARDS), mask, ["group"] * len(REWARDS), **options)[0]

    return WorkedExample(
        entropy=entropy[0],
        starts=starts[0],
        scores=scores[0],
        process=paid(credit="process"),
        outcome=paid(credit="outcome"),
        prpo=paid(),
        grpo=paid(credit="outcome", outcome_norm="mean_std"),
    )


INK, FAINT, GRID, GOOD, BAD, SIGNAL = "#1f2933", "#66727f", "#d5dbe1", "#2f74b5", "#d9621f", "#8794a1"


def draw_method(file: Path) -> None:
    """Draw the response, its cuts, its scores and what each token is paid."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    example = worked_example()
    widths = [len(token) for token in TOKENS]
    left = [sum(widths[:i]) for i in range(len(widths))]
    total = sum(widths)
    plt.rcParams.update({"font.family": "DejaVu Sans", "font.size": 13, "axes.edgecolor": FAINT, "text.color": INK})
    figure, (cut, text, pay) = plt.subplots(
        3, 1, figsize=(13.2, 7.6), sharex=True, height_ratios=(1.25, 1.15, 2.5), gridspec_kw={"hspace": 0.10}
    )
    figure.subplots_adjust(left=0.152, right=0.988, top=0.845, bottom=0.02)
    title = "Problem: 3 apples cost $2 and a bag $1. What do 12 apples and a bag cost?"
    figure.text(0.015, 0.955, title.replace("$", r"\$"), fontsize=14.5, weight="bold")
    about = (
        "One of four responses: its answer is wrong (R = −1). "
        "Two of the four are right, so the mean of R is 0 and β = −1."
    )
    figure.text(0.015, 0.905, about, fontsize=13, color=FAINT)

    for axes in (cut, text, pay):
        axes.set_xlim(-0.3, total + 0.3)
        axes.set_xticks([])
        for side in ("top", "right", "bottom"):
            axes.spines[side].set_visible(False)
        for begin, _ in example.bounds[1:]:
            axes.axvline(left[begin], color=INK, lw=1.3, ls=(0, (4, 3)), zorder=0)

    def label(axes, number: str, words: str) -> None:
        axes.text(-0.168, 0.5, number, transform=axes.transAxes, fontsize=25, weight="bold", va="center", color=FAINT)
        axes.text(-0.139, 0.5, words, transform=axes.transAxes, fontsize=13, va="center", linespacing=1.35)

    # 1 cut
    label(cut, "1", "cut\nwhere the\npolicy was\nuncertain")
    cut.bar(left, example.entropy, widths, align="edge", color=SIGNAL, edgecolor="white", lw=1.2)
    spikes = example.entropy.topk(MAX_ANCHORS).indices.sort().values.tolist()
    for token in spikes:
        kept = bool(example.starts[token])
        at, nats = left[token] + widths[token] / 2, float(example.entropy[token])
        cut.plot(at, nats + 0.28, "v", ms=10, mfc=INK if kept else "white", mec=INK, mew=1.4)
    cut.set_ylim(0, 2.4)
    cut.set_yticks([])
    cut.spines["left"].set_visible(False)
    marks = f"▼ cut      ▽ spike less than {MIN_GAP} tokens after the start or the last cut: no cut"
    cut.text(total, 2.62, marks, ha="right", fontsize=12, color=FAINT)

    # 2 score
    label(text, "2", "score\neach segment\nwith a PRM")
    text.set_ylim(0, 1)
    text.set_yticks([])
    text.spines["left"].set_visible(False)
    for i, token in enumerate(TOKENS):
        text.text(
            left[i] + widths[i] / 2,
            0.76,
            token.strip(),
            ha="center",
            va="center",
            family="DejaVu Sans Mono",
            fontsize=13.5,
        )
    for (begin, end), score in zip(example.bounds, SCORES, strict=True):
        a, b = left[begin] + 0.35, left[end - 1] + widths[end - 1] - 0.35
        colour = GOOD if score > 0.5 else BAD
        text.fill_between([a, b], 0.06, 0.50, color=colour, alpha=0.16, lw=0)
        text.fill_between([a, a + (b - a) * score], 0.06, 0.50, color=colour, alpha=0.45, lw=0)
        text.text((a + b) / 2, 0.275, f"r = {score:.2f}", ha="center", va="center", fontsize=14, weight="bold")

    # 3 pay
    label(pay, "3", "pay\neach token\nA = z + β")
    pay.bar(
        left,
        example.prpo,
        widths,
        align="edge",
        color=[GOOD if a > 0 else BAD for a in example.prpo],
        edgecolor="white",
        lw=1.2,
    )
    pay.axhline(0, color=INK, lw=1)
    grpo = float(example.grpo[0])
    pay.plot([0, total], [grpo, grpo], color=INK, lw=1.6, ls=(0, (1, 1.6)))
    pay.text(0.25, grpo + 0.1, f"GRPO pays every token {grpo:.2f}".replace("-", "−"), va="bottom", fontsize=12.5)
    pay.set_ylim(-3.55, 1.5)
    pay.set_yticks([-2, -1, 0, 1], ["−2", "−1", "0", "+1"], fontsize=12, color=FAINT)
    pay.tick_params(length=0)
    pay.grid(axis="y", color=GRID, lw=0.8)
    pay.set_axisbelow(True)
    for begin, end in example.bounds:
        a, z = float(example.prpo[begin]), float(example.process[begin])
        words = f"A = {a:+.2f}\nz {z:+.2f}, β {float(example.outcome[begin]):+.0f}".replace("-", "−")
        at = (left[begin] + left[end - 1] + widths[end - 1]) / 2
        pay.text(
            at, a + 0.12 if a > 0 else a - 0.12, words, ha="center", va="bottom" if a > 0 else "top", fontsize=13.5
        )
    figure.savefig(file, dpi=150, facecolor="white")
    plt.close(figure)


def draw_report(dump: Path, file: Path) -> None:
    """Photograph the page of `verl-prpo report`, open at a response whose verdict its PRM contradicts."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    from verl_prpo.cli.main import main as verl_prpo

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        made = Path(folder) / "report.html"
        if verl_prpo(["report", str(dump), "-o", str(made)]):
            raise SystemExit(f"no report of {dump}")
        browser = playwright.chromium.launch(executable_path=chromium, args=[] if os.geteuid() else ["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 970}, color_scheme="light", device_scale_factor=1.5)
        page.goto(made.as_uri())
        page.locator("[data-open]").first.click()
        page.locator("#tokens").wait_for()
        page.wait_for_timeout(500)  # the list scrolls to what is open
        page.screenshot(path=file)
        browser.close()
    Image.open(file).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)


def main() -> int:
    """Draw what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="figure", required=True)
    commands.add_parser("method").add_argument("-o", type=Path, default=HERE / "method.png")
    report = commands.add_parser("report")
    report.add_argument("dump", type=Path)
    report.add_argument("-o", type=Path, default=HERE / "report.png")
    arguments = parser.parse_args()
    if arguments.figure == "method":
        draw_method(arguments.o)
    else:
        draw_report(arguments.dump, arguments.o)
    return 0


if __name__ == "__main__":
    sys.exit(main())
