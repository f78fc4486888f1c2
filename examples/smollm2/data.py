# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""GSM8K problems in the form verl trains on, written as train.parquet and val.parquet.

    python examples/smollm2/data.py --out .smollm2/data                       # from the Hugging Face hub
    python examples/smollm2/data.py --out .smollm2/data --source train.jsonl  # offline

A line of the source is {"question": ..., "answer": "... #### 72"}. Rows are those of `verl-prpo data gsm8k`: verl's own
instruction for GSM8K, `data_source` openai/gsm8k, which selects verl's GSM8K scorer, and the number after `####` as
ground truth. One thing differs: a model of 135M parameters hardly ever solves a long problem, so the problems with the
fewest calculations in their solution come first.
"""

import argparse
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from verl_prpo.data.prepare import prepare, read_hub, read_source, verl_rows
from verl_prpo.data.problem_sets import SETS
from verl_prpo.data.problems import Problem

GSM8K = SETS["gsm8k"]
CALCULATION = "<<"
"""Opens each calculation in GSM8K's solutions (`<<48/2=24>>`)."""
MAX_QUESTION_CHARS = 300
"""Longest question taken; with chat template and instruction about 130 tokens."""


def shortest_first(problems: Iterable[Problem]) -> list[Problem]:
    """Problems with a question of moderate length, those with the fewest calculations first; ties keep their order."""
    fitting = [p for p in problems if len(p.question) <= MAX_QUESTION_CHARS]
    return sorted(fitting, key=lambda p: p.solution.count(CALCULATION) or float("inf"))


def read(source: Path | None) -> list[Problem]:
    """Problems of a file, or of the training split on the Hugging Face hub.

    Raises:
        ValueError: a row without question or answer.
    """
    if source is None:
        from huggingface_hub.utils import logging

        logging.set_verbosity_error()  # one message at the end in place of one for each retry
    prepared = prepare(read_source(source) if source else read_hub(GSM8K.hub), GSM8K, set())
    if prepared.dropped:
        raise ValueError(", ".join(f"{count} rows: {reason}" for reason, count in prepared.dropped.items()))
    return prepared.problems


def write(problems: list[Problem], out: Path, train: int, val: int) -> None:
    """Write the first `train` problems to out/train.parquet and the next `val` to out/val.parquet.

    Raises:
        ValueError: there are too few.
    """
    import pandas as pd

    if len(problems) < train + val:
        raise ValueError(f"{train + val} problems are needed and {len(problems)} are there")
    out.mkdir(parents=True, exist_ok=True)
    for split, part in (("train", problems[:train]), ("val", problems[train : train + val])):
        rows = verl_rows(part, replace(GSM8K, split=split), GSM8K.template)
        pd.DataFrame(rows).to_parquet(out / f"{split}.parquet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(".smollm2/data"), help="folder for the two parquet files")
    parser.add_argument("--source", type=Path, help="JSON-lines file with question and answer; the hub when not given")
    parser.add_argument("--train", type=int, default=64, help="number of training problems")
    parser.add_argument("--val", type=int, default=8, help="number of validation problems")
    args = parser.parse_args()
    if not args.source and all((args.out / f"{split}.parquet").is_file() for split in ("train", "val")):
        print(f"{args.out} is there already")
        return
    try:
        write(shortest_first(read(args.source)), args.out, args.train, args.val)
    except (OSError, ValueError, ImportError) as error:
        where = args.source or "the Hugging Face hub"
        reason = (str(error).splitlines() or [""])[0]
        print(
            f"cannot read GSM8K from {where} ({type(error).__name__}: {reason}); "
            "give a file with --source PATH (JSON lines with question and answer)",
            file=sys.stderr,
        )
        sys.exit(2)
    print(f"wrote {args.train} training and {args.val} validation problems to {args.out}")


if __name__ == "__main__":
    main()
