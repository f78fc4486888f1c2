# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What PRPO's tensors cost next to verl's GRPO: segmentation + advantage against `compute_grpo_outcome_advantage`.

Both run on the same CPU tensors in the same process, one after the other in every repeat, so that a busy machine slows
both. Times are medians over the repeats; the ratio is the median of the repeats' ratios. Memory is the highest sum of
live allocations during a call, inputs excluded, as torch's profiler records them, in units of one float32 tensor
`[batch, length]`.

    python benchmarks/advantage.py                      # 1024 x 2048 and the growth with batch and length
    python benchmarks/advantage.py --batch 256 --length 512 --repeats 3 --no-growth
    python benchmarks/advantage.py --rule greedy --credit pure

Targets: time ratio at most 1.0, memory at most 4 units. Exit status 1 when one is missed.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from verl_prpo.method.advantage import CREDITS, OUTCOME_NORMS, PROCESS_NORMS, prpo_advantage
from verl_prpo.method.segmentation import ANCHOR_RULES, entropy_segments

MAX_RATIO = 1.0
MAX_MEMORY = 4.0


@dataclass
class Batch:
    """What a trainer holds after the PRM answered: right-padded rows in groups of `rollouts`, in shuffled order."""

    entropy: torch.Tensor  # float32 [bs, L], nats
    process_scores: torch.Tensor  # float32 [bs, L]
    mask: torch.Tensor  # int64 [bs, L], verl's response_mask
    token_level_rewards: torch.Tensor  # float32 [bs, L], the outcome on the last valid token
    index: np.ndarray  # object [bs], uids

    @classmethod
    def random(cls, bs: int, length: int, rollouts: int, seed: int = 0) -> "Batch":
        source = torch.Generator().manual_seed(seed)
        lengths = torch.randint(length // 4, length + 1, (bs, 1), generator=source)
        mask = (torch.arange(length) < lengths).long()
        entropy = torch.empty(bs, length).exponential_(3.0, generator=source) * mask
        segment = entropy_segments(entropy, mask).cumsum(1)
        scores = torch.rand(bs, 8, generator=source).gather(1, segment)
        rewards = torch.zeros(bs, length)
        rewards.scatter_(1, lengths - 1, torch.randint(0, 2, (bs, 1), generator=source) * 2.0 - 1)
        uids = [f"{group:08x}-1f2e-4d3c-8b7a-{group:012x}" for group in range(-(-bs // rollouts))]
        index = np.repeat(np.array(uids, dtype=object), rollouts)[:bs]
        return cls(entropy, scores, mask, rewards, index[torch.randperm(bs, generator=source).numpy()])

    def to(self, device: torch.device) -> "Batch":
        """The same on another device; uids stay where they are."""
        tensors = (self.entropy, self.process_scores, self.mask, self.token_level_rewards)
        return Batch(*(tensor.to(device) for tensor in tensors), self.index)


def one_call(batch: Batch, options: argparse.Namespace) -> torch.Tensor:
    starts = entropy_segments(batch.entropy, batch.mask, rule=options.rule)
    return prpo_advantage(
        batch.process_scores,
        starts,
        batch.token_level_rewards.sum(-1),
        batch.mask,
        batch.index,
        credit=options.credit,
        process_norm=options.process_norm,
        outcome_norm=options.outcome_norm,
    )


def grpo_call(batch: Batch) -> torch.Tensor:
    from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage  # so that the rest runs without verl

    return compute_grpo_outcome_advantage(batch.token_level_rewards, batch.mask, batch.index)[0]


def interleaved(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Milliseconds of each call; every repeat runs all of them in turn, after one unmeasured round."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for repeat in range(repeats + 1):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            if repeat:
                times[name].append((time.perf_counter() - begin) * 1e3)
    return times


def peak_bytes(call: Callable[[], object]) -> int:
    """Highest sum of live tensor allocations during the call, what was allocated before it excluded."""
    call()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        result = call()
    del result
    changes = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    if not changes:
        raise RuntimeError("torch's profiler recorded no allocation; this torch build cannot measure memory")
    live = peak = 0
    for change in sorted(changes, key=lambda e: e.start_ns()):
        live += change.nbytes()
        peak = max(peak, live)
    return peak


def measure(bs: int, length: int, options: argparse.Namespace) -> dict[str, float]:
    batch = Batch.random(bs, length, options.rollouts)
    starts = entropy_segments(batch.entropy, batch.mask, rule=options.rule)
    rewards = batch.token_level_rewards.sum(-1)
    variant = {"credit": options.credit, "process_norm": options.process_norm, "outcome_norm": options.outcome_norm}
    times = interleaved(
        {
            "segmentation": lambda: entropy_segments(batch.entropy, batch.mask, rule=options.rule),
            "advantage": lambda: prpo_advantage(
                batch.process_scores, starts, rewards, batch.mask, batch.index, **variant
            ),
            "prpo": lambda: one_call(batch, options),
            "grpo": lambda: grpo_call(batch),
        },
        options.repeats,
    )
    unit = bs * length * 4
    return {
        **{name: statistics.median(values) for name, values in times.items()},
        "ratio": statistics.median(a / b for a, b in zip(times["prpo"], times["grpo"], strict=True)),
        "memory": peak_bytes(lambda: one_call(batch, options)) / unit,
        "grpo_memory": peak_bytes(lambda: grpo_call(batch)) / unit,
    }


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=1024, help="responses")
    parser.add_argument("--length", type=int, default=2048, help="tokens per padded response")
    parser.add_argument("--rollouts", type=int, default=8, help="responses per prompt")
    parser.add_argument("--repeats", type=int, default=11, help="measured rounds")
    parser.add_argument("--threads", type=int, default=1, help="torch's intra-op threads")
    parser.add_argument("--rule", choices=ANCHOR_RULES, default="paper")
    parser.add_argument("--credit", choices=CREDITS, default="prpo")
    parser.add_argument("--process-norm", choices=PROCESS_NORMS, default="prior")
    parser.add_argument("--outcome-norm", choices=OUTCOME_NORMS, default="mean")
    parser.add_argument("--no-growth", dest="growth", action="store_false", help="the one size only")
    return parser.parse_args()


def main() -> int:
    options = parse_options()
    torch.set_num_threads(options.threads)
    bs, length = options.batch, options.length
    sizes = [(bs, length)]
    if options.growth:
        sizes += [(bs // 4, length), (bs // 2, length), (bs * 2, length), (bs, length // 4), (bs, length // 2)]
        sizes += [(bs, length * 2)]
    print(
        f"{options.credit}, process_norm={options.process_norm}, outcome_norm={options.outcome_norm}, "
        f"rule={options.rule}; groups of {options.rollouts}, {options.threads} threads, medians of {options.repeats}, "
        f"torch {torch.__version__}"
    )
    header = ("batch", "length", "segment ms", "advantage ms", "both ms", "GRPO ms", "ratio", "memory", "GRPO memory")
    print("  ".join(f"{name:>12}" for name in header))
    found = {}
    for size in sizes:
        row = found[size] = measure(*size, options)
        cells = [f"{size[0]:>12}", f"{size[1]:>12}"]
        cells += [f"{row[name]:>12.2f}" for name in ("segmentation", "advantage", "prpo", "grpo", "ratio")]
        cells += [f"{row[name]:>12.2f}" for name in ("memory", "grpo_memory")]
        print("  ".join(cells), flush=True)
    if options.growth:
        by_batch = found[bs * 2, length]["prpo"] / found[bs // 2, length]["prpo"]
        by_length = found[bs, length * 2]["prpo"] / found[bs, length // 2]["prpo"]
        print(f"growth of both: x{by_batch:.1f} for 4 times the batch, x{by_length:.1f} for 4 times the length")
    here = found[bs, length]
    met = True
    for name, value, limit in (("ratio", here["ratio"], MAX_RATIO), ("memory", here["memory"], MAX_MEMORY)):
        reached = value <= limit
        met &= reached
        print(f"{name} {value:.2f}, limit {limit:.1f}: target {'met' if reached else 'missed'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
