# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A check of whether the hub can be reached. It is asked once, and never again when it cannot be reached."""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from verl_prpo.console.findings import CheckFailed, Finding, State, within
from verl_prpo.settings.prm import GENERATED_VERDICTS
from verl_prpo.settings.prpo import PrmConfig
from verl_prpo.settings.timeouts import PROBE_TIMEOUT


@contextlib.contextmanager
def quiet_hub() -> Iterator[None]:
    """Keep the hub's client from printing its retries, and put back afterwards what `hub` changed."""
    from huggingface_hub import constants

    offline = constants.HF_HUB_OFFLINE
    loggers = [logging.getLogger(name) for name in ("huggingface_hub", "httpx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def is_hub_name(path: Any) -> bool:
    """Return whether a path is the name of a model on the hub, and not a folder."""
    return isinstance(path, str) and not path.startswith(("/", ".", "~", "hdfs://")) and path.count("/") <= 1


def names_of(config: DictConfig, prm: PrmConfig | None) -> list[str]:
    """List the models of a run that are names on the hub and that the doctor opens."""
    if prm is None:
        return []
    named = [prm.family_options.get("reference_model_path"), config.actor_rollout_ref.model.path]
    if prm.family != GENERATED_VERDICTS:  # a judge's name is that at its servers
        named.insert(0, prm.model_path)
    found = [str(path) for path in named if is_hub_name(path) and not Path(str(path)).exists()]
    return list(dict.fromkeys(found))


def hub(names: Sequence[str]) -> Finding:
    """Ask the hub for a sign of life. When none comes, everything after this reads the hub's cache alone.

    Args:
        names: the names on the hub that the command uses.
    """
    from huggingface_hub import constants

    if not names:
        return Finding("no name of the hub is used", State.SKIPPED)
    listed, are = ", ".join(names), "is" if len(names) == 1 else "are"
    if constants.HF_HUB_OFFLINE:
        return Finding(f"HF_HUB_OFFLINE is set: {listed} {are} looked for in the cache alone", value=True)
    try:
        within(PROBE_TIMEOUT, "an answer of the hub", _probe)
    except Exception as error:
        constants.HF_HUB_OFFLINE = True
        reason = str(error) if isinstance(error, CheckFailed) else f"{type(error).__name__}: {error}"
        return Finding(
            f"{constants.ENDPOINT} cannot be reached from here ({reason.splitlines()[0]}): {listed} {are} looked for "
            "in the cache alone",
            State.WARNING,
            "all right if the training machine reaches it; else download the models and name their folders",
            value=True,
        )
    return Finding(f"{constants.ENDPOINT} answers", value=True)


def _probe() -> None:
    from huggingface_hub import constants, get_session

    get_session().head(constants.ENDPOINT, timeout=PROBE_TIMEOUT)
