# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Build the calculator task: a tiny policy that calls the tool and slips now and then, and problems in verl's format.

    python examples/calculator/build.py --out .quickstart/calculator

A second call finds them and does nothing. It takes one to two minutes on an idle core.
"""

import argparse
import random
import sys
from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm
from transformers import Qwen2ForCausalLM, Qwen2Tokenizer

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "toy")]

from policy import Example, make_policy, teach  # noqa: E402
from talk import CALL, CLOSE, conversation, short_problem  # noqa: E402
from task import Problem  # noqa: E402
from tokenizer import make_tokenizer, prompt_text  # noqa: E402
from tokenizers import AddedToken  # noqa: E402

SLIPS = 0.12
"""How often the solutions that the policy learns from carry a wrong digit on: what it has to unlearn."""
STEPS = 260


def main() -> None:
    """Build what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write")
    parser.add_argument("--steps", type=int, default=STEPS, help="of the policy's training (default: %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    build(arguments.out, arguments.steps)


def build(out: Path, steps: int = STEPS, seed: int = 1) -> None:
    """Write policy/, train.parquet and val.parquet into `out`, each unless it is there."""
    out.mkdir(parents=True, exist_ok=True)
    for name, count in (("train", 2048), ("val", 128)):
        if not (out / f"{name}.parquet").exists():
            rng = random.Random(f"{seed}/{name}")
            write_problems(out / f"{name}.parquet", [short_problem(rng) for _ in range(count)], name)
    if not (out / "policy" / "tokenizer_config.json").exists():
        tokenizer = make_calculator_tokenizer()
        train_policy(tokenizer, steps, seed).save_pretrained(out / "policy")
        tokenizer.save_pretrained(out / "policy")


def write_problems(path: Path, problems: list[Problem], split: str) -> None:
    """Write problems as a data set for verl."""
    rows = [
        {
            "data_source": "toy_calculator",
            "prompt": [{"role": "user", "content": problem.question}],
            "ability": "math",
            "reward_model": {"style": "rule", "ground_truth": problem.answer},
            "extra_info": {"split": split, "index": index},
        }
        for index, problem in enumerate(problems)
    ]
    pd.DataFrame(rows).to_parquet(path)


def make_calculator_tokenizer() -> Qwen2Tokenizer:
    """The toy tokenizer with a token for the two ends of a call and one for the tool's role."""
    tokenizer = make_tokenizer()
    tokenizer.add_tokens([AddedToken(word, special=False, normalized=False) for word in (CALL, CLOSE, "tool")])
    return tokenizer


def train_policy(tokenizer: Qwen2Tokenizer, steps: int, seed: int) -> Qwen2ForCausalLM:
    """Teach a new policy conversations with slips."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    policy = make_policy(tokenizer)
    with tqdm(total=steps, desc="policy", unit="step") as progress:
        teach(policy, lambda: example(tokenizer, rng), steps, lambda _: False, progress, decay=True)
    return policy.eval()


def example(tokenizer: Qwen2Tokenizer, rng: random.Random) -> Example:
    """A conversation as token ids, and which of them the policy says."""
    problem = short_problem(rng)
    ids = tokenizer(prompt_text(tokenizer, problem.question), add_special_tokens=False).input_ids
    own = [False] * len(ids)
    for message in conversation(problem, rng, SLIPS):
        said = tokenizer(message["content"], add_special_tokens=False).input_ids
        if message["role"] == "assistant":
            said = [*said, tokenizer.eos_token_id]
        else:
            head, tail = "\n<|im_start|>tool\n", "<|im_end|>\n<|im_start|>assistant\n"
            said = tokenizer(f"{head}{message['content']}{tail}", add_special_tokens=False).input_ids
        ids += said
        own += [message["role"] == "assistant"] * len(said)
    return ids, own


if __name__ == "__main__":
    main()
