# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Throughput of the PRM through the reward manager, against the bare engine and against one request per response.

    VERL_PLATFORM=cpu python benchmarks/prm.py [--engine in_process] [--engine server] [--responses 96] [--rounds 3]

For each engine three ways to score the same responses take turns, round by round:

- bare: the engine alone, given the token ids: packed forward passes in a process of its own, or requests of many
  dialogues to the vLLM server;
- manager: what training does: verl's reward-loop workers, the reward manager `prm`, the client, the engine, from token
  ids of the policy to scores on its tokens;
- single: one request per response, one after another, each with text.

Ratios are of medians over the rounds of one run. The PRM is random: its speed is that of its size. Every way must give
the same scores. Memory is the largest resident set of the processes that take part.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import psutil
import ray
import sized_prm
import torch
from hydra import compose, initialize_config_module
from omegaconf import open_dict
from verl.experimental.reward_loop.reward_loop import RewardLoopWorker

from verl_prpo.method.segmentation import segment_bounds, uniform_segments
from verl_prpo.prm.families.base import Encoded
from verl_prpo.prm.families.qwen_math import QwenMathPrm
from verl_prpo.prm.in_process.engine import InProcessEngine
from verl_prpo.prm.replicas.start import start_replicas, stop_replicas
from verl_prpo.prm.results import PrmRequest
from verl_prpo.settings.prpo import prm_config, tokens_per_forward
from verl_prpo.step.scored_batch import Rollouts
from verl_prpo.text.decoding import segment_texts
from verl_prpo.trainer import process_pass
from verl_prpo.trainer.reward_manager import wire

QUESTION = [{"role": "user", "content": "How many apples are in the basket?"}]
TARGET_BARE = 0.95
TARGET_SINGLE = 3.0
NUM_SEGMENTS = 8
ROUND_TIMEOUT = 900.0
DTYPES = {"cpu": "float32", "cuda": "bfloat16"}
TOLERANCE = {"cpu": 1e-3, "cuda": 0.05}
"""Most by which scores of two ways may differ: in bfloat16 they change with the rows of a batch."""
Scores = list[list[float]]


class BarePrm:
    """The engine without anything around it, in a process like that of a replica."""

    def load(self, model: str, max_tokens: int, device: str = "cpu") -> None:
        """Load the weights, in the dtype that the package would choose."""
        dtype = getattr(torch, DTYPES[device])
        self.family = QwenMathPrm.load(model, device=torch.device(device), dtype=dtype)
        self.max_tokens = max_tokens

    def packed(self, dialogues: list[Encoded]) -> Scores:
        """Scores of dialogues of like length, packed up to `max_tokens` with padding."""
        scores: list[Any] = [None] * len(dialogues)
        batch: list[int] = []
        with torch.inference_mode():
            for i in sorted(range(len(dialogues)), key=lambda i: len(dialogues[i].input_ids)):
                if batch and (len(batch) + 1) * len(dialogues[i].input_ids) > self.max_tokens:
                    self._forward(dialogues, batch, scores)
                    batch = []
                batch.append(i)
            self._forward(dialogues, batch, scores)
        return scores

    def single(self, request: PrmRequest) -> list[float]:
        """Scores of one response from its text."""
        (result,) = InProcessEngine(self.family, self.max_tokens).score([request])
        return result.scores  # type: ignore[return-value]

    def _forward(self, dialogues: list[Encoded], batch: list[int], scores: list[Any]) -> None:
        for i, row in zip(batch, self.family.forward([dialogues[i] for i in batch]), strict=True):
            scores[i] = row


class Memory:
    """The largest resident set, in MiB, of processes whose title holds one of the names."""

    def __init__(self, *names: str):
        self.names = names
        self.largest = 0.0
        self._stop = threading.Event()

    def __enter__(self) -> "Memory":
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        self._thread.join(timeout=10)

    def _watch(self) -> None:
        while not self._stop.wait(0.2):
            for process in psutil.process_iter():
                try:
                    title = " ".join(process.cmdline())
                    if any(name in title for name in self.names):
                        self.largest = max(self.largest, process.memory_info().rss / 2**20)
                except psutil.Error:
                    continue


def manager_pass(response_ids: list[list[int]], workers: list[Any], timeout: float) -> list[list[float]]:
    """Score a batch as the trainer does."""
    width = max(map(len, response_ids))
    mask = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in response_ids])
    keys = [f"response_0_{i}" for i in range(len(response_ids))]
    rows = Rollouts(
        keys, list(range(len(keys))), len(keys), [QUESTION] * len(keys), response_ids, mask, None, [False] * len(keys)
    )
    starts = uniform_segments(mask, NUM_SEGMENTS)
    scored = process_pass.collect(process_pass.launch(rows, starts, workers), timeout)
    if scored.failure_summary():
        raise RuntimeError(scored.failure_summary())
    return [list(result.scores) for result in scored.scores]  # type: ignore[union-attr,arg-type]


async def bare_server(url: str, model: str, dialogues: list[Encoded], per_request: int, concurrency: int) -> Scores:
    """All dialogues to `/pooling`, many in a request, over one session."""
    scores: list[Any] = [None] * len(dialogues)
    turn = asyncio.Semaphore(concurrency)
    order = sorted(range(len(dialogues)), key=lambda i: -len(dialogues[i].input_ids))

    async def ask(session: aiohttp.ClientSession, indices: list[int]) -> None:
        body = {"model": model, "task": "token_classify", "input": [dialogues[i].input_ids for i in indices]}
        async with turn, session.post(f"{url}/pooling", json=body) as answer:
            answer.raise_for_status()
            data = (await answer.json())["data"]
        for i, entry in zip(indices, data, strict=True):
            scores[i] = [classes[1] for classes in entry["data"]]

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ROUND_TIMEOUT)) as session:
        chunks = [order[at : at + per_request] for at in range(0, len(order), per_request)]
        await asyncio.gather(*(ask(session, chunk) for chunk in chunks))
    return scores


def single_server(url: str, model: str, texts: list[str]) -> Scores:
    """One request after another, each with the text of one dialogue."""
    scores = []
    for text in texts:
        body = json.dumps({"model": model, "task": "token_classify", "input": text}).encode()
        request = urllib.request.Request(f"{url}/pooling", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=ROUND_TIMEOUT) as answer:
            (entry,) = json.load(answer)["data"]
        scores.append([classes[1] for classes in entry["data"]])
    return scores


@dataclass(frozen=True)
class Comparison:
    """Speeds of the ways, medians over the rounds.

    Attributes:
        tokens_per_second: of each way.
        of_bare: speed of the manager, as a share of the bare engine's.
        of_single: the same of one request per response.
    """

    tokens_per_second: dict[str, float]
    of_bare: float
    of_single: float

    @property
    def met(self) -> bool:
        """Whether both targets are met."""
        return self.of_bare >= TARGET_BARE and self.of_single >= TARGET_SINGLE


def compare(
    name: str, ways: dict[str, Callable[[], Scores]], rounds: int, tokens: int, memory: Memory, tolerance: float
) -> Comparison:
    """Let the ways take turns, and print their speeds and ratios."""
    scores = {way: run() for way, run in ways.items()}  # also warms up
    for way, rows in scores.items():
        worst = max(
            abs(a - b) for mine, bare in zip(rows, scores["bare"], strict=True) for a, b in zip(mine, bare, strict=True)
        )
        if worst > tolerance:
            raise RuntimeError(f"{name}: scores of {way} differ from the bare engine's by {worst:.2g}")
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds):
        for way in list(ways) if number % 2 == 0 else reversed(list(ways)):
            began = time.perf_counter()
            ways[way]()
            seconds[way].append(time.perf_counter() - began)
    count = len(scores["bare"])
    print(f"\n{name}: {count} responses, {tokens} tokens in the PRM's tokenizer, {rounds} rounds")
    print(f"{'':10}{'seconds':>9}{'least':>8}{'most':>8}{'responses/s':>14}{'tokens/s':>11}")
    for way, taken in seconds.items():
        middle = median(taken)
        row = f"{way:10}{middle:9.2f}{min(taken):8.2f}{max(taken):8.2f}"
        print(row + f"{count / middle:14.1f}{tokens / middle:11.0f}")
    middles = {way: median(taken) for way, taken in seconds.items()}
    found = Comparison(
        {way: tokens / middle for way, middle in middles.items()},
        middles["bare"] / middles["manager"],
        middles["single"] / middles["manager"],
    )
    for label, ratio, target in (
        ("manager against bare", found.of_bare, TARGET_BARE),
        ("manager against one request per response", found.of_single, TARGET_SINGLE),
    ):
        print(f"{label}: {ratio:.2f}, target at least {target}: {'met' if ratio >= target else 'NOT met'}")
    print(f"largest process: {memory.largest:.0f} MiB ({', '.join(memory.names)})")
    return found


@dataclass
class Work:
    """What all ways score: in the policy's tokens, as requests, and as dialogues in the PRM's tokens."""

    folder: Path
    response_ids: list[list[int]]
    requests: list[PrmRequest]
    dialogues: list[Encoded]
    family: QwenMathPrm

    @classmethod
    def build(cls, folder: Path, count: int, sentences: tuple[int, int]) -> "Work":
        policy = sized_prm.tokenizer(separator=False)
        policy.save_pretrained(folder / "policy")
        response_ids = [policy(text).input_ids for text in sized_prm.responses(count, sentences)]
        family = QwenMathPrm.open(str(folder / "prm"))
        requests = [_request(policy, ids) for ids in response_ids]
        dialogues = [family.encode(request.messages, request.segments) for request in requests]
        return cls(folder, response_ids, requests, dialogues, family)

    @property
    def tokens(self) -> int:
        return sum(len(dialogue.input_ids) for dialogue in self.dialogues)

    def section(self, **settings: Any) -> dict[str, Any]:
        """`reward.prm`; nothing is remembered, so that every round scores."""
        return {"model_path": str(self.folder / "prm"), "cache_size": 0, "timeout": ROUND_TIMEOUT, **settings}


def in_process(work: Work, num_workers: int, rounds: int, device: str = "cpu") -> Comparison:
    """The transformers engine: one replica with one CPU, against a bare process of the same kind. On a GPU each has
    half of it, and they take turns."""
    half = 0 if device == "cpu" else 0.5
    section = work.section(num_gpus_per_replica=half)
    bare = ray.remote(BarePrm).options(num_cpus=1, num_gpus=half).remote()
    limit = tokens_per_forward(prm_config({"prm": section}), device)
    ray.get(bare.load.remote(section["model_path"], limit, device), timeout=ROUND_TIMEOUT)
    ways: dict[str, Callable[[], Scores]] = {
        "bare": lambda: ray.get(bare.packed.remote(work.dialogues), timeout=ROUND_TIMEOUT),
        "single": lambda: [ray.get(bare.single.remote(r), timeout=ROUND_TIMEOUT) for r in work.requests],
    }
    with through_manager(work, section, num_workers, device) as ways["manager"], Memory("ray::PrmReplica") as memory:
        found = compare("in_process", ways, rounds, work.tokens, memory, TOLERANCE[device])
    ray.kill(bare)
    return found


def server(work: Work, num_workers: int, rounds: int, device: str = "cpu") -> Comparison:
    """A vLLM server on this machine."""
    model = str(work.folder / "prm")
    step = json.dumps({"tok_pooling_type": "STEP", "step_tag_id": work.family.separator_id})
    with sized_prm.served(
        work.folder / "prm", work.folder / "server.log", "--pooler-config", step, device=device
    ) as url:
        section = work.section(server={"urls": [url]})
        settings = prm_config({"prm": section})
        per_request, concurrency = settings.server.prompts_per_request, settings.server.concurrency
        # Decoded token by token, from which the server reads the same ids.
        texts = [work.family.dialogue.tokenizer.decode(dialogue.input_ids) for dialogue in work.dialogues]
        ways: dict[str, Callable[[], Scores]] = {
            "bare": lambda: asyncio.run(bare_server(url, model, work.dialogues, per_request, concurrency)),
            "single": lambda: single_server(url, model, texts),
        }
        with (
            through_manager(work, section, num_workers, device) as ways["manager"],
            Memory("VLLM::EngineCore") as memory,
        ):
            return compare("server", ways, rounds, work.tokens, memory, TOLERANCE[device])


@contextmanager
def through_manager(
    work: Work, section: dict[str, Any], num_workers: int, device: str = "cpu"
) -> Iterator[Callable[[], Scores]]:
    """Replicas and reward-loop workers as in training, and the pass through them."""
    with initialize_config_module("verl.trainer.config", version_base=None):
        overrides = [f"actor_rollout_ref.model.path={work.folder / 'policy'}", "algorithm.adv_estimator=prpo"]
        config = compose("ppo_trainer", overrides)
    with open_dict(config):
        config.reward.prm = section
    wire(config)
    replicas = start_replicas(prm_config(config.reward), device)  # they live as long as somebody holds them
    workers = [ray.remote(RewardLoopWorker).remote(config, None) for _ in range(num_workers)]
    try:
        yield lambda: manager_pass(work.response_ids, workers, ROUND_TIMEOUT)
    finally:
        for actor in (*workers, *replicas):
            ray.kill(actor)
        stop_replicas()


ENGINES = {"in_process": in_process, "server": server}


def main() -> int:
    """The command line; the exit status is 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", action="append", choices=list(ENGINES), help="default: all")
    parser.add_argument("--responses", type=int, default=96)
    parser.add_argument("--sentences", type=int, nargs=2, default=(4, 24), help="least and most of a response")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hidden", type=int, default=256, help="of the PRM, a multiple of 64")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--workers", type=int, default=1, help="reward-loop workers")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        weights = sized_prm.build(Path(scratch) / "prm", given.hidden, given.layers)
        work = Work.build(Path(scratch), given.responses, tuple(given.sentences))
        print(f"PRM of {weights / 1e6:.1f} million weights in float32")
        ray.init(num_cpus=8, include_dashboard=False, log_to_driver=False)
        try:
            engines = given.engine or list(ENGINES)
            met = [ENGINES[engine](work, given.workers, given.rounds).met for engine in engines]
        finally:
            ray.shutdown()
    return 0 if all(met) else 1


def _request(policy: Any, ids: list[int]) -> PrmRequest:
    starts = uniform_segments(torch.ones(1, len(ids), dtype=torch.int64), NUM_SEGMENTS)
    return PrmRequest(QUESTION, segment_texts(policy, ids, segment_bounds(starts[0], len(ids))))


if __name__ == "__main__":
    sys.exit(main())
