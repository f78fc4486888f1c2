# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""When responses are cut and scored: as each finishes (stream) or all together after old_log_prob (batch)."""

import hashlib

from omegaconf import DictConfig, open_dict

from verl_prpo.settings.prpo import ConfigError, PrmConfig, PrpoConfig, prm_config, prpo_config
from verl_prpo.trainer.checks.verl_symbols import STREAMING, require

STREAMING_MANAGER = "verl_prpo.trainer.agent_loop.StreamingAgentLoopManager"
"""The agent loop manager whose workers give a reward manager what it needs to cut a finished response."""


def segmenter_of(config: DictConfig) -> str:
    """Return the segmenter in effect. Where bypass mode computes no entropy, surprisal takes its place."""
    segmenter = prpo_config(config.algorithm).segmenter
    bypass = (config.algorithm.get("rollout_correction") or {}).get("bypass_mode", False)
    return segmenter.replace("entropy", "surprisal") if bypass else segmenter


def signal_of(config: DictConfig) -> str | None:
    """Return what the segmenter in effect cuts at: entropy, surprisal, or None for one that needs neither."""
    segmenter = segmenter_of(config)
    return next((signal for signal in ("entropy", "surprisal") if segmenter.endswith(signal)), None)


_FORMAT = 3
"""Number of the plain-data format of `verl_prpo.step.messages.Scores`. Scores in another format are discarded."""


def keeps_log_probs(config: DictConfig) -> bool:
    """Return whether the rollout keeps the log-probabilities of sampled tokens. Surprisal is then read from them."""
    return bool(config.actor_rollout_ref.rollout.get("calculate_log_probs", False))


def schedule_of(config: DictConfig) -> tuple[str, str | None]:
    """Decide the schedule, and under `reward.prm.schedule=auto` say what stands against streaming.

    Args:
        config: a whole verl configuration that uses a PRM.

    Returns:
        "stream" and None, or "batch" and the reason. The reason is None when the user asked for batch.

    Raises:
        ConfigError: `reward.prm.schedule=stream` cannot be used, with the keys to change.
    """
    asked = prm_config(config.reward).schedule
    if asked == "batch":
        return "batch", None
    obstacle = _obstacle(config)
    if obstacle is None:
        return "stream", None
    if asked == "stream":
        raise ConfigError(
            f"reward.prm.schedule=stream cannot be used: {obstacle}. Set ++reward.prm.schedule=auto or batch."
        )
    return "batch", obstacle


def start_streaming(config: DictConfig) -> bool:
    """Decide whether responses are scored as they finish, and print the decision.

    If they are, set the agent loop manager that streams. A second call changes nothing.

    Args:
        config: the whole verl configuration. `actor_rollout_ref.rollout.agent` is changed in place.
    """
    schedule, obstacle = schedule_of(config)
    if schedule == "batch":
        print(f"[verl-prpo] responses are scored by batch, after old_log_prob{f': {obstacle}' if obstacle else ''}")
        return False
    require(STREAMING)  # here and not in the workers, which would fail one by one
    with open_dict(config.actor_rollout_ref.rollout):
        config.actor_rollout_ref.rollout.agent.agent_loop_manager_class = STREAMING_MANAGER
    print("[verl-prpo] each response is cut and scored as it finishes, while others are generated")
    return True


def fingerprint(prpo: PrpoConfig, prm: PrmConfig) -> str:
    """Hash every setting that affects segments or scores.

    Scores with another hash come from an earlier run and are discarded.
    """
    cut = (prpo.segmenter, prpo.max_anchors, prpo.min_gap, prpo.anchor_rule, prpo.num_segments)
    marks = (prpo.delimiters, prpo.delimiter_token_ids, prpo.tokens_per_anchor, prpo.anchor_bounds)
    custom = (prm.custom_family.path, prm.custom_family.name)
    judge = (prm.model_path, prm.family, sorted(prm.family_options.items(), key=str), custom, prm.overlong)
    function = (prm.score_function.path, prm.score_function.name, sorted(prm.score_function.kwargs.items(), key=str))
    read = (prm.window_context, prm.thinking)
    return hashlib.blake2b(repr((_FORMAT, cut, marks, judge, function, read)).encode(), digest_size=8).hexdigest()


def _obstacle(config: DictConfig) -> str | None:
    segmenter, signal = segmenter_of(config), signal_of(config)
    if signal == "entropy":
        return (
            f"algorithm.prpo.segmenter={segmenter} needs the entropy, which the policy computes after the rollout "
            f"(++algorithm.prpo.segmenter={segmenter.replace('entropy', 'surprisal')} needs the rollout's log-probs "
            "alone)"
        )
    if signal == "surprisal" and not keeps_log_probs(config):
        return (
            f"algorithm.prpo.segmenter={segmenter} needs the rollout's log-probs "
            "(set actor_rollout_ref.rollout.calculate_log_probs=True)"
        )
    reward_model = config.reward.get("reward_model") or {}
    if reward_model.get("enable", False) and not reward_model.get("enable_resource_pool", False):
        return (
            "a colocated reward model (reward.reward_model.enable_resource_pool=False) gives rewards only after the "
            "rollout"
        )
    manager = (config.actor_rollout_ref.rollout.get("agent") or {}).get("agent_loop_manager_class")
    if manager not in (None, "", STREAMING_MANAGER):
        return f"actor_rollout_ref.rollout.agent.agent_loop_manager_class={manager} is not the one that streams"
    return None
