# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""How fast and how often right the outcome verifier is, beside math-verify and verl's own scorers.

Ground truths are made up, and read from a file if there is one. Near misses and other spellings of them are right or
wrong by how they are made (`answer_variants.py`), so that no verifier under test is also the judge.

    python benchmarks/verifier.py                               # 1,000 pairs: this verifier against bare math-verify
    python benchmarks/verifier.py --compare                     # wrong accepted and right rejected, kind by kind
    python benchmarks/verifier.py --compare --truths math.parquet
    python benchmarks/verifier.py --compare --scorers ours --show 5

A file of truths is what `verl-prpo data` writes (parquet), or JSON lines with `answer`, or with a `solution` that ends
in a box. Every scorer reads the same responses: one sentence with the answer in `\\boxed{}`.
"""

import argparse
import contextlib
import io
import json
import logging
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from answer_variants import RIGHT, WRONG, built_in_truths, variants

from verl_prpo.outcome.extract import final_answer
from verl_prpo.outcome.scorer import score_answers

SOURCE = "lighteval/MATH"
BUILT_IN = 480
"""Made-up truths beside those of a file."""
ALONE = 2400
"""Made-up truths where there is no file."""

Pair = tuple[str, str, str]
"""Kind, answer, truth."""
Scorer = Callable[[Sequence[Pair]], list[bool]]


def response(answer: str) -> str:
    """A response that gives the answer in the form that every scorer reads."""
    return f"The answer is $\\boxed{{{answer}}}$."


def ours(pairs: Sequence[Pair]) -> list[bool]:
    """`score_answers` of this package."""
    verdicts = score_answers([(SOURCE, response(answer), truth) for _, answer, truth in pairs])
    return [verdict.correct for verdict in verdicts]


def math_verify(pairs: Sequence[Pair]) -> list[bool]:
    """`parse` and `verify` of math-verify, with its own defaults."""
    from math_verify import parse, verify

    return [bool(verify(parse(f"$\\boxed{{{truth}}}$"), parse(response(answer)))) for _, answer, truth in pairs]


def verl_math_reward(pairs: Sequence[Pair]) -> list[bool]:
    """verl's scorer of MATH, by spelling."""
    from verl.utils.reward_score.math_reward import compute_score

    return [compute_score(response(answer), truth) == 1.0 for _, answer, truth in pairs]


def verl_math_verify(pairs: Sequence[Pair]) -> list[bool]:
    """verl's scorer by math-verify."""
    from verl.utils.reward_score.math_verify import compute_score

    return [float(compute_score(response(answer), truth)) == 1.0 for _, answer, truth in pairs]


def verl_math_dapo(pairs: Sequence[Pair]) -> list[bool]:
    """verl's scorer of DAPO's data, which falls back to the box."""
    from verl.utils.reward_score.math_dapo import compute_score

    return [bool(compute_score(response(answer), truth)["acc"]) for _, answer, truth in pairs]


SCORERS: dict[str, Scorer] = {
    "ours": ours,
    "math-verify": math_verify,
    "verl math_verify": verl_math_verify,
    "verl math_reward": verl_math_reward,
    "verl math_dapo": verl_math_dapo,
}


def read_truths(path: Path) -> list[str]:
    """The different ground truths of a file, in its order."""
    if path.suffix == ".parquet":
        import pandas

        found = [str(row["ground_truth"]) for row in pandas.read_parquet(path)["reward_model"]]
    else:
        rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
        found = [row.get("answer") or final_answer(SOURCE, row.get("solution", "")) for row in rows]
    truths = list(dict.fromkeys(truth for truth in found if isinstance(truth, str) and truth.strip()))
    if not truths:
        sys.exit(f"{path}: no row has an `answer`, or a `solution` that ends in a box")
    return truths


def quietly(scorer: Scorer, pairs: Sequence[Pair]) -> tuple[list[bool], float]:
    """Verdicts and seconds, without what the scorers print."""
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        verdicts = scorer(pairs)
    return verdicts, time.perf_counter() - began


def speed(truths: list[str], seed: int, count: int) -> None:
    """Print seconds for as many near misses as other spellings, and their ratio."""
    pairs = [*variants(truths, WRONG, count, seed), *variants(truths, RIGHT, count, seed)]
    pairs = random.Random(seed).sample(pairs, count)
    quietly(ours, pairs[:4])
    quietly(math_verify, pairs[:4])
    seconds = {name: quietly(SCORERS[name], pairs)[1] for name in ("ours", "math-verify")}
    print(
        f"{count:,} pairs of an answer and a truth on {len(os.sched_getaffinity(0))} CPUs, processes started before\n"
    )
    for name, value in seconds.items():
        print(f"{name:<14}{value:>8.1f} s {1000 * value / count:>8.1f} ms a pair")
    print(f"\nratio {seconds['ours'] / seconds['math-verify']:.2f}")


def table(title: str, pairs: Sequence[Pair], expected: bool, scorers: Sequence[str], show: int) -> None:
    """Print how often each scorer is mistaken, kind by kind."""
    mistakes = {}
    for name in scorers:
        verdicts, seconds = quietly(SCORERS[name], pairs)
        wrong = [pair for pair, verdict in zip(pairs, verdicts, strict=True) if verdict != expected]
        mistakes[name] = Counter(kind for kind, _, _ in wrong)
        print(f"{name}: {seconds:.0f} s", file=sys.stderr)
        for kind, answer, truth in wrong[:show]:
            print(f"  {name} | {kind} | {answer} | {truth}", file=sys.stderr)
    print(f"| {title} | pairs | {' | '.join(scorers)} |")
    print("|---" * (len(scorers) + 2) + "|")
    for kind, total in Counter(kind for kind, _, _ in pairs).items():
        print(f"| {kind} | {total} | {' | '.join(str(mistakes[name][kind]) for name in scorers)} |")
    shares = " | ".join(f"**{sum(mistakes[name].values()) / len(pairs):.1%}**" for name in scorers)
    print(f"| **all** | **{len(pairs):,}** | {shares} |\n")


def main() -> None:
    """Print the speed, or with --compare the two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compare", action="store_true", help="count mistakes instead of seconds")
    parser.add_argument("--truths", type=Path, help="parquet of `verl-prpo data`, or JSON lines")
    parser.add_argument("--near-misses", type=int, default=3000, help="about as many wrong answers (default 3000)")
    parser.add_argument("--spellings", type=int, default=1500, help="about as many right ones (default 1500)")
    parser.add_argument("--pairs", type=int, default=1000, help="of which the speed is measured (default 1000)")
    parser.add_argument("--scorers", nargs="+", choices=SCORERS, default=list(SCORERS), help="default: all")
    parser.add_argument("--show", type=int, default=0, help="mistakes of each scorer to print (default 0)")
    parser.add_argument("--seed", type=int, default=0, help="of truths and variants (default 0)")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    seed = arguments.seed
    truths = read_truths(arguments.truths) if arguments.truths else []
    truths += built_in_truths(seed, BUILT_IN if truths else ALONE)
    random.Random(seed).shuffle(truths)
    if not arguments.compare:
        speed(truths, seed, arguments.pairs)
        return
    wrong = list(variants(truths, WRONG, arguments.near_misses, seed))
    right = list(variants(truths, RIGHT, arguments.spellings, seed))
    table("wrong, accepted: what was changed", wrong, False, arguments.scorers, arguments.show)
    table("right, rejected: how it was written", right, True, arguments.scorers, arguments.show)


if __name__ == "__main__":
    main()
