# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""verl's own checks of a configuration, as many of them as can be run before Ray starts."""

import contextlib
import copy
import difflib
import functools
import importlib
import inspect
import io
import linecache
import re
import traceback
import warnings
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

_ASKED = re.compile(r"self\.(\w+) (?:not )?in \(?\[(.+)\]")
"""A line of verl's that compares a field with the values it may have."""


def verl_refusal(config: DictConfig, here: bool = False) -> str:
    """Return what verl refuses about a configuration, in verl's words, or "" when verl takes it.

    This runs the `__post_init__` of the sections' dataclasses, `validate_config`, and the constructor of the trainer,
    which holds the checks of its mode. The configuration stays as it is.

    Args:
        config: the whole verl configuration.
        here: whether packages that are not installed in this environment count, as they do where training runs.
    """
    for what, check in _checks(_plain_copy(config)):
        try:
            with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of verl's, on what this run does not use
                check()
        except Exception as error:
            if here or not _while_importing(error):
                return f"{what}: {_said(error)}"
    return ""


def _plain_copy(config: DictConfig) -> DictConfig:
    """Return a copy that asks for verl's own trainers, not this package's, and that loads no code of the user's."""
    plain = copy.deepcopy(config)
    with open_dict(plain):
        plain.algorithm.adv_estimator = "grpo"
        plain.critic.enable = need_critic(config)
        plain.trainer.checkpoint_callback_class = None
        if OmegaConf.select(plain, "trainer.v1.sampler.custom_sampler") is not None:
            plain.trainer.v1.sampler.custom_sampler = None
    return plain


def need_critic(config: DictConfig) -> bool:
    """Return whether verl trains a critic."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bool(importlib.import_module("verl.trainer.ppo.utils").need_critic(config))


def _checks(config: DictConfig) -> Iterator[tuple[str, Callable[[], Any]]]:
    settings = importlib.import_module("verl.utils.config")
    importlib.import_module("verl.utils.device").auto_set_device(config)
    utils = importlib.import_module("verl.trainer.ppo.utils")
    for section in _sections(config):
        yield section, functools.partial(settings.omega_conf_to_dataclass, OmegaConf.select(config, section))
    validate = inspect.unwrap(settings.validate_config)  # this package's part has been, or will be, run by itself
    yield (
        "verl's validate_config",
        lambda: validate(
            config=config,
            use_reference_policy=utils.need_reference_policy(config),
            use_critic=utils.need_critic(config),
        ),
    )
    if config.trainer.get("use_v1", True):
        mode = str(config.trainer.v1.trainer_mode)
        trainers = importlib.import_module("verl.trainer.ppo.v1")
        yield f"verl's trainer {mode}", lambda: trainers.get_trainer_cls(mode)(config)


def _sections(config: DictConfig) -> Iterator[str]:
    """List the sections that verl makes dataclasses of when its workers start."""
    yield "actor_rollout_ref.actor"
    yield "actor_rollout_ref.rollout"
    if config.critic.enable:
        yield "critic"
    if config.reward.reward_model.enable:
        yield "reward.reward_model.rollout"
    if (config.get("distillation") or {}).get("enabled", False):
        yield "distillation"


def _said(error: Exception) -> str:
    """Write an error of verl's for people.

    A bare assertion gives its line of source, with the nearest of the values that it allows.
    """
    root: BaseException = error
    while root.__cause__ is not None:
        root = root.__cause__
    key = re.search(r"full_key: (\S+)", str(error))
    where = f"in {key[1]}: " if key else ""
    text, frame, line = str(root).strip(), *_where(root)
    asked = _ASKED.search(line)
    if not text and asked is not None and frame is not None:
        value = getattr(frame.f_locals.get("self"), asked[1], None)
        return f"{where}{asked[1]}={value} is not known{_nearest(value, _words(asked[2]))} (one of {asked[2]})"
    if not text:
        return f"{where}{type(root).__name__}: {line}"
    allowed = [] if frame is None else [str(w) for v in frame.f_locals.values() if _is_words(v) for w in v]
    allowed += [word for listed in re.findall(r"\[(.+?)\]", text) for word in _words(listed)]
    wrong = re.search(r": '?([\w+-]+)'?(?:[,.]|$)", text.splitlines()[0])
    near = _nearest(wrong[1], allowed) if wrong and wrong[1] not in allowed else ""
    return f"{where}{type(root).__name__}: {text}{near}"


def _while_importing(error: Exception) -> bool:
    """Return whether an error arose as a module was loaded.

    Such an error is about what is installed, not about the settings.
    """
    return isinstance(error, ImportError) or any(
        frame.f_code.co_name == "<module>" for frame, _ in traceback.walk_tb(error.__traceback__)
    )


def _where(error: BaseException) -> tuple[FrameType | None, str]:
    """Find the innermost frame of an error and its line of source."""
    trace = error.__traceback__
    if trace is None:
        return None, ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame, linecache.getline(trace.tb_frame.f_code.co_filename, trace.tb_lineno).strip()


def _is_words(value: Any) -> bool:
    return isinstance(value, (list, tuple, set)) and bool(value) and all(isinstance(word, str) for word in value)


def _words(listed: str) -> list[str]:
    return re.findall(r"""["']([^"']+)["']""", listed)


def _nearest(value: Any, allowed: list[str]) -> str:
    near = difflib.get_close_matches(str(value), allowed, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""
