# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The advantage estimator `prpo`: from verl's estimator signature to `verl_prpo.method.advantage`.

verl hands a custom estimator rewards, mask, uids and the `algorithm` section, and nothing else. The process scores come
through `handed_over`, which the trainer opens around verl's own call.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from torch import Tensor

from verl_prpo.settings.prpo import ConfigError, needs_prm, prpo_config
from verl_prpo.step.credit import ProcessRewards, advantages_of, weighted_outcome, without_process_rewards

_handed_over: ContextVar[ProcessRewards | None] = ContextVar("verl_prpo_process_rewards", default=None)


@contextmanager
def handed_over(process_rewards: ProcessRewards | None) -> Iterator[None]:
    """Make the batch's process rewards visible to the estimator for the duration of verl's advantage call."""
    token = _handed_over.set(process_rewards)
    try:
        yield
    finally:
        _handed_over.reset(token)


def compute_prpo_advantage(
    token_level_rewards: Tensor,
    response_mask: Tensor,
    index: np.ndarray,
    config: Any = None,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """Compute PRPO's advantages in the form of verl's estimators.

    Args:
        token_level_rewards: float `[bs, L]`. The outcome reward of a row is its sum, as in verl's GRPO. So a KL penalty
            in the reward (`algorithm.use_kl_in_reward`) becomes part of the outcome.
        response_mask: int `[bs, L]`. Tokens that rollout correction rejected may be gone from it.
        index: object `[bs]`, verl's uids.
        config: verl's `algorithm` section with its `prpo`.

    Returns:
        Advantages and returns, the same float `[bs, L]` tensor twice, 0 where the mask is 0.

    Raises:
        ConfigError: process scores are missing, or `algorithm.prpo` cannot work. The message names the setting to
            change.
        ValueError: scores cannot be used. The message names the row.
    """
    settings = prpo_config(config)
    given = _handed_over.get()
    if given is None:
        if needs_prm(settings):
            raise ConfigError(
                "algorithm.adv_estimator=prpo got no process scores: the trainer that runs is not process-aware. Use "
                "verl's v1 trainer (trainer.use_v1=True) with trainer.v1.trainer_mode sync, colocate_async or "
                "separate_async."
            )
        given = without_process_rewards(response_mask)
    rewards = weighted_outcome(settings, token_level_rewards.sum(-1), given.outcomes)
    advantages = advantages_of(given, settings, rewards, response_mask, index)
    return advantages, advantages
