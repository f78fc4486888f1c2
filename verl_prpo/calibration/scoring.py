# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Scores for a command: open the PRM that its arguments choose, and score many responses under a progress bar."""

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from verl_prpo.settings.training_config import compose, forced, training_arguments

if TYPE_CHECKING:
    from verl_prpo.prm.conversation import Heard
    from verl_prpo.prm.open_prm import OpenPrm
    from verl_prpo.prm.results import PrmResult
    from verl_prpo.settings.prpo import PrmConfig, PrpoConfig

CHUNK = 32
"""The number of responses that are asked for at once."""


def chosen_settings(arguments: argparse.Namespace) -> "tuple[PrmConfig, PrpoConfig]":
    """Return `reward.prm` and `algorithm.prpo` of a recipe and the overrides.

    Args:
        arguments: parsed arguments, with those of `training_config.add_arguments`, `overrides` and `prm`.

    Raises:
        ConfigError: the settings cannot work, or name no PRM.
    """
    from verl_prpo.prm.open_prm import with_model_path
    from verl_prpo.settings.prpo import ConfigError, judge_of, prm_config, prpo_config

    named = [f"reward.prm.model_path={arguments.prm}"] if arguments.prm else []
    overrides = [forced(override) for override in (*arguments.overrides, *named)]
    try:
        config = compose(training_arguments(arguments, overrides))
    except Exception as error:
        raise ConfigError(f"{type(error).__name__}: {error}") from error
    settings = with_model_path(prm_config(config.reward), config.reward)
    if not judge_of(settings):
        raise ConfigError(
            "which PRM? Give --prm MODEL or ++reward.prm.model_path=MODEL, or --recorded for a dump's own, or a "
            "function of yours with ++reward.prm.score_function.path=FILE.py ++reward.prm.score_function.name=NAME"
        )
    return settings, prpo_config(config.algorithm)


def open_prm(settings: "PrmConfig", device: str | None) -> "OpenPrm":
    """Open the PRM, here or at its servers, or the score function.

    Args:
        settings: `reward.prm`.
        device: as torch names it, for a PRM in process. None means cuda where there is a GPU.

    Raises:
        PrmError: the PRM cannot be used as configured.
    """
    import torch
    from transformers.utils import logging

    from verl_prpo.prm.families.base import PrmError
    from verl_prpo.prm.open_prm import load_here, open_at_servers, open_function
    from verl_prpo.settings.prm import SCORE_FUNCTION
    from verl_prpo.settings.prpo import engine_of

    logging.disable_progress_bar()
    try:
        if engine_of(settings) == "server":
            return open_at_servers(settings)
        if engine_of(settings) == SCORE_FUNCTION:
            return open_function(settings)
        return load_here(settings, device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except PrmError:
        raise
    except Exception as error:  # of transformers or the hub, on weights that cannot be had
        raise PrmError(
            f"reward.prm.model_path={settings.model_path} cannot be used: {type(error).__name__}: {error}"
        ) from error


def score_all(
    prm: "OpenPrm",
    dialogues: Sequence[tuple[Sequence[Mapping[str, Any]], Sequence[str]]],
    unfinished: Sequence[bool] | None = None,
    heard: Sequence[Sequence["Heard"]] | None = None,
    rows: Sequence[Mapping[str, Any]] | None = None,
) -> list["PrmResult"]:
    """Return one result per dialogue, in their order. The PRM is closed in the end.

    Args:
        prm: an open one.
        dialogues: messages of the prompt, and the segments of the response.
        unfinished: which responses were cut off within their last segment, which is not judged then. None means that no
            response was.
        heard: what tools and others said in the middle of each response. None means that they said nothing.
        rows: rows of the data, for a score function. None means that nothing is known of them.
    """
    from verl_prpo.console.progress import progress
    from verl_prpo.prm.results import PrmRequest

    requests = [
        PrmRequest([dict(message) for message in messages], list(segments), truncated, heard=said, row=row)
        for (messages, segments), truncated, said, row in zip(
            dialogues,
            unfinished or [False] * len(dialogues),
            heard or [()] * len(dialogues),
            rows or [{}] * len(dialogues),
            strict=True,
        )
    ]
    results: list[PrmResult] = []
    try:
        with progress(len(requests), "scoring", "responses") as bar:
            for begin in range(0, len(requests), CHUNK):
                results += prm.score(requests[begin : begin + CHUNK])
                bar.advance(len(results) - bar.done)
    finally:
        prm.close()
    return results


def failure_seen(results: Sequence["PrmResult"]) -> str:
    """Say why there are no scores, by the first failure among the results."""
    failed = next((result for result in results if result.failure is not None), None)
    if failed is None or failed.failure is None:
        return "all responses were empty, or longer than the PRM's context"
    return f"for example {failed.failure.value}: {failed.detail}"
