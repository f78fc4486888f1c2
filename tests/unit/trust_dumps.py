# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Rollout dumps under the credit trust: made-up tensors through the estimator, the report of a step and verl's
writer."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tiny_models import qwen_tokenizer
from verl.trainer.ppo.v1.trainer_base import PPOTrainer

from verl_prpo.settings.prpo import PrpoConfig
from verl_prpo.step.credit import OutcomeRewards, ProcessRewards, advantages_of
from verl_prpo.step.messages import Scores
from verl_prpo.step.scored_batch import Rollouts, ScoredBatch
from verl_prpo.telemetry.rollouts.write import PendingRecord
from verl_prpo.telemetry.step_report import StepReport

Response = tuple[str, bool | None, Sequence[float] | None]
"""Its group, whether it is right, and the scores of its two segments; None where the PRM failed."""

MIXED: list[Response] = [("mixed", True, (0.9, 0.7)), ("mixed", False, (0.8, 0.9)), ("mixed", False, (0.2, 0.1))]
WRONG: list[Response] = [("wrong", False, (0.6, 0.2)), ("wrong", False, (0.1, 0.1)), ("wrong", False, None)]
RIGHT: list[Response] = [("right", True, (0.9, 0.9)), ("right", True, (0.5, 0.9))]
ALONE: list[Response] = [("alone", False, (0.7, 0.3))]
EQUAL: list[Response] = [("equal", False, (0.4, 0.4)), ("equal", False, (0.4, 0.4))]


def write(
    folder: Path, responses: Sequence[Response], weight: float = 0.4, step: int = 1, credit: str = "trust"
) -> Path:
    """Write the dump of a step as a run writes it."""
    tokenizer = qwen_tokenizer()
    parts = [(f"First {n}.", f" Then {n} again, so {n}.") for n in range(len(responses))]
    ids = [[tokenizer.encode(text, add_special_tokens=False) for text in pair] for pair in parts]
    width, n = max(len(a) + len(b) for a, b in ids), len(responses)
    starts, mask = torch.zeros(n, width, dtype=torch.bool), torch.zeros(n, width, dtype=torch.long)
    for row, (first, second) in enumerate(ids):
        starts[row, [0, len(first)]] = True
        mask[row, : len(first) + len(second)] = 1
    uids = np.array([uid for uid, _, _ in responses], dtype=object)
    keys = [f"{uid}_{row}_0" for row, uid in enumerate(uids)]
    rows = Rollouts(
        keys=keys,
        places=list(range(n)),
        batch_size=n,
        messages=[[{"role": "user", "content": f"What of {uid}?"}] for uid in uids],
        response_ids=[first + second for first, second in ids],
        response_mask=mask,
        signal=None,
        truncated=[False] * n,
    )
    results = [
        Scores(texts=list(pair), failure="timeout", detail="no answer", asked=1.0, answered=2.0)
        if scores is None
        else Scores(texts=list(pair), scores=list(scores), asked=1.0, answered=1.5)
        for pair, (_, _, scores) in zip(parts, responses, strict=True)
    ]
    scored = ScoredBatch(rows, starts, results, 0.1, 0.2)
    outcome = torch.tensor([0.0 if right is None else float(right) for _, right, _ in responses])
    verdicts = {uid: {right for other, right, _ in responses if other == uid} for uid in uids}
    agree = torch.tensor([len(verdicts[uid]) == 1 for uid in uids])
    rewards = ProcessRewards(
        scored.token_scores(),
        starts,
        scored.read_tokens(),
        0.5,
        0.25,
        outcomes=OutcomeRewards(outcome, agree, torch.zeros(n, dtype=torch.bool)),
        weights=torch.full((n,), weight),
    )
    settings = PrpoConfig(credit=credit)
    advantages = advantages_of(rewards, settings, outcome, mask, uids)
    report = StepReport(scored, rewards, settings, outcome, advantages, mask, uids, data_sources=["made up"] * n)
    records, outputs, prompts = [], ["".join(pair) for pair in parts], [f"user\nWhat of {uid}?" for uid in uids]
    for row in range(n):
        columns = {"step": step, "input": prompts[row], "output": outputs[row], "gts": "1", "uid": keys[row]}
        right = responses[row][1]
        said = {} if right is None else {"acc": float(right)}
        columns["score"] = outcome[row].item()
        records.append(PendingRecord(report, row, tokenizer, outcome_parts=said, columns=columns))
    brought = {"uid": keys, "prpo": records}
    PPOTrainer._write_generations(prompts, outputs, ["1"] * n, outcome.tolist(), brought, str(folder), step)
    return folder
