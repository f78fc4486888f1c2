# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Train a PRM that says a label at a tag behind each step, in seconds on a CPU and without any download.

    python examples/label_token/tiny_prm.py --out .label_token

It is a Llama of 100,000 weights that judges sums of small numbers. It is trained as VersaPRM is: on the text

    What is 2 + 2 + 1? \\n\\n2 + 2 = 4. \\n\\n\\n\\n4 + 1 = 5. \\n\\n\\n\\n

as a whole, where it learns to say + or - at each " \\n\\n\\n\\n", which is one token. `look.py` shows how the
options of such a PRM are found.
"""

import argparse
import random
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen2Tokenizer

TAG = " \n\n\n\n"
BATCH = 32
STEPS = 250
LEARNING_RATE = 3e-3
MAX_LENGTH = 256


def written(rng: random.Random) -> tuple[str, list[bool]]:
    """A problem and two steps as the PRM reads them, and whether each step is right.

    Args:
        rng: of the numbers, and of the steps that go wrong. All texts have as many tokens.
    """
    first, *more = (rng.randint(1, 2) for _ in range(3))
    text, right, total = f"What is {first} + {more[0]} + {more[1]}? \n\n", [], first
    for number in more:
        result = total + number
        said = rng.choice([n for n in range(2, 6) if n != result]) if rng.random() < 0.5 else result
        text += f"{total} + {number} = {said}.{TAG}"
        right.append(said == result)
        total = said
    return text, right


def make_tokenizer(rng: random.Random) -> PreTrainedTokenizerFast:
    """A byte-level BPE with a token for each digit, in which the tag is one token."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = Qwen2Tokenizer().backend_tokenizer.pre_tokenizer
    tokenizer.decoder = Qwen2Tokenizer().backend_tokenizer.decoder
    trainer = trainers.BpeTrainer(
        vocab_size=290, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([written(rng)[0] for _ in range(100)], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>", clean_up_tokenization_spaces=False
    )


def train(out: Path, steps: int = STEPS) -> float:
    """Train the PRM and save it.

    Args:
        out: the folder.
        steps: of the optimizer.

    Returns:
        The share of right verdicts in the last ten steps, from 0 to 1.
    """
    rng = random.Random(0)
    torch.manual_seed(0)
    tokenizer = make_tokenizer(rng)
    (tag,) = tokenizer(TAG).input_ids
    plus, minus = (tokenizer(label).input_ids[0] for label in "+-")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=MAX_LENGTH,
        initializer_range=0.1,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    model = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE)
    shares = []
    for _ in range(steps):
        texts, right = zip(*(written(rng) for _ in range(BATCH)), strict=True)
        ids = torch.tensor(tokenizer(list(texts)).input_ids)  # [texts, tokens]
        labels = torch.where(torch.tensor(right).flatten(), plus, minus)  # [texts * 2]
        logits = model(ids).logits[ids == tag]
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        shares.append((logits.argmax(-1) == labels).float().mean().item())
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return sum(shares[-10:]) / len(shares[-10:])


def main() -> None:
    """Train and say how good it has become."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the PRM")
    out = parser.parse_args().out
    torch.set_num_threads(1)  # passes this small are slower on several
    print(f"{train(out):.0%} of its last verdicts are right; saved in {out}")


if __name__ == "__main__":
    main()
