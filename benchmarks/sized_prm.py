# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks of the PRM work on: a random PRM of a chosen size, responses, and vLLM servers here."""

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import AddedToken, Qwen2Config, Qwen2ForCausalLM, Qwen2Model, Qwen2Tokenizer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))
from guarded_run import MARK, end_marked, tail

SEPARATOR = "<extra_0>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SERVER_STARTUP = 300.0
"""Seconds in which a server must answer."""


def responses(count: int, sentences: tuple[int, int] = (4, 24), seed: int = 0) -> list[str]:
    """Worked sums in English, of different lengths, no two alike."""
    rng = random.Random(seed)
    made = []
    for number in range(count):
        total = rng.randrange(1000)
        lines = [f"Problem {number} starts with {total} apples in the basket."]
        for _ in range(rng.randint(*sentences)):
            more = rng.randrange(1, 1000)
            lines.append(f"Adding {more} to {total} gives {total + more}, so there are now {total + more} apples.")
            total += more
        made.append("\n\n".join([*lines, f"The answer is \\boxed{{{total}}}."]))
    return made


def tokenizer(separator: bool = True) -> Qwen2Tokenizer:
    """A byte-level BPE trained on such responses, with the special tokens of Qwen2.5-Math-PRM."""
    trained = Tokenizer(BPE())
    trained.pre_tokenizer = Qwen2Tokenizer().backend_tokenizer.pre_tokenizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trained.train_from_iterator(
        responses(64), trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False)
    )
    model = json.loads(trained.to_str())["model"]
    made = Qwen2Tokenizer(
        vocab=model["vocab"],
        merges=[tuple(merge) for merge in model["merges"]],
        unk_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )
    if separator:
        made.add_tokens([AddedToken(SEPARATOR, special=True, normalized=False)], special_tokens=True)
    return made


def build(folder: Path, hidden: int, layers: int, context: int = 4096) -> int:
    """Save a random PRM of the architecture and layout of Qwen2.5-Math-PRM; returns its number of weights."""
    words = tokenizer()
    config = Qwen2Config(
        vocab_size=len(words),
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=hidden // 64,
        max_position_embeddings=context,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    weights = {f"model.{name}": value for name, value in Qwen2Model(config).state_dict().items()}
    weights |= {"score.0.weight": torch.randn(hidden, hidden) * 0.05, "score.0.bias": torch.zeros(hidden)}
    weights |= {"score.2.weight": torch.randn(2, hidden) * 0.05, "score.2.bias": torch.zeros(2)}
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in weights.items()}, folder / "model.safetensors")
    words.save_pretrained(folder)
    content = config.to_dict() | {"architectures": ["Qwen2ForProcessRewardModel"], "torch_dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(content))
    return sum(value.numel() for value in weights.values())


def build_policy(folder: Path, hidden: int = 128, layers: int = 2) -> None:
    """Save a random causal language model with the same words: it ends its responses at random."""
    words = tokenizer(separator=False)
    words.save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(words),
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=hidden // 64,
        max_position_embeddings=1024,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
        bos_token_id=None,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)


@contextlib.contextmanager
def served(model: Path, log: Path, *arguments: str, device: str = "cpu") -> Iterator[str]:
    """The URL of a vLLM server on this machine's CPU, or on a part of its GPU; it is ended on leaving.

    Raises:
        RuntimeError: it ended or did not answer in time, with the tail of its log.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, mark = f"http://127.0.0.1:{port}", uuid.uuid4().hex
    if device == "cpu":
        launch, extra = "verl_prpo.cpu.serve", ["--dtype", "float32"]
        environment = {**os.environ, "VERL_PLATFORM": "cpu", "VLLM_CPU_KVCACHE_SPACE": "1", MARK: mark}
    else:
        launch, extra = "vllm.entrypoints.cli.main", ["--runner", "pooling", "--gpu-memory-utilization", "0.3"]
        environment = {**os.environ, MARK: mark}
    command = [sys.executable, "-m", launch, "serve", str(model), "--host", "127.0.0.1", "--port", str(port)]
    command += [*extra, "--enforce-eager", *arguments]
    try:
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )
        deadline = time.monotonic() + SERVER_STARTUP
        while not _answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the vLLM server did not start; the tail of {log}:\n{tail(log)}")
            time.sleep(1)
        yield url
    finally:
        end_marked(mark)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False
