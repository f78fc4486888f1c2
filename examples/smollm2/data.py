# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""GSM8K problems in the form verl trains on, written as train.parquet and val.parquet.

    python examples/smollm2/data.py --out .smollm2/data                       # from the Hugging Face hub
    python examples/smollm2/data.py --out .smollm2/data --source train.jsonl  # offline

A line of the source is {"question": ..., "answer": "... #### 72"}. Rows are those of verl's own preparation script
(`examples/data_preprocess/gsm8k.py`): the same instruction, `data_source` openai/gsm8k, which selects verl's GSM8K
scorer, and the number after `####` as ground truth. One thing differs: a model of 135M parameters hardly ever solves a
long problem, so the problems with the fewest calculations in their solution come first.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

DATA_SOURCE = "openai/gsm8k"
INSTRUCTION = 'Let\'s think step by step and output the final answer after "####".'
CALCULATION = "<<"
"""Opens each calculation in GSM8K's solutions (`<<48/2=24>>`)."""
MAX_QUESTION_CHARS = 300
"""Longest question taken; with chat template and instruction about 130 tokens."""


def ground_truth(answer: str) -> str:
    """The number after `####`, without thousands separators.

    Raises:
        ValueError: there is none.
    """
    _, mark, number = answer.rpartition("####")
    if not mark or not number.strip():
        raise ValueError(f'no "#### <number>" in the answer {answer!r}')
    return number.strip().replace(",", "")


def row(question: str, answer: str, index: int, split: str) -> dict[str, Any]:
    """One problem as verl reads it from parquet."""
    return {
        "data_source": DATA_SOURCE,
        "prompt": [{"role": "user", "content": f"{question} {INSTRUCTION}"}],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": ground_truth(answer)},
        "extra_info": {"split": split, "index": index, "question": question, "answer": answer},
    }


def shortest_first(problems: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    """Problems with a question of moderate length, those with the fewest calculations first; ties keep their order."""
    fitting = [p for p in problems if len(p["question"]) <= MAX_QUESTION_CHARS]
    return sorted(fitting, key=lambda p: p["answer"].count(CALCULATION) or float("inf"))


def read_jsonl(path: Path) -> list[dict[str, str]]:
    """Problems of a JSON-lines file with `question` and `answer`.

    Raises:
        ValueError: a line that is not such a problem, with its number.
    """
    problems = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                problem = json.loads(line)
                problems.append({"question": str(problem["question"]), "answer": str(problem["answer"])})
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                raise ValueError(f'line {number} is not {{"question": ..., "answer": ...}}: {error!r}') from error
    return problems


def read_hub() -> list[dict[str, str]]:
    """The training split of GSM8K from the Hugging Face hub."""
    from datasets import load_dataset
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # one message at the end in place of one for each retry
    return list(load_dataset(DATA_SOURCE, "main", split="train"))


def write(problems: list[dict[str, str]], out: Path, train: int, val: int) -> None:
    """Write the first `train` problems to out/train.parquet and the next `val` to out/val.parquet.

    Raises:
        ValueError: there are too few.
    """
    import pandas as pd

    if len(problems) < train + val:
        raise ValueError(f"{train + val} problems are needed and {len(problems)} are there")
    out.mkdir(parents=True, exist_ok=True)
    for split, part in (("train", problems[:train]), ("val", problems[train : train + val])):
        rows = [row(problem["question"], problem["answer"], i, split) for i, problem in enumerate(part)]
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
        problems = read_jsonl(args.source) if args.source else read_hub()
        write(shortest_first(problems), args.out, args.train, args.val)
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
