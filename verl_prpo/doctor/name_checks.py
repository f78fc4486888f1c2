# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A check of the names that verl looks up only once it trains. They are compared with verl's own registries."""

import ast
import contextlib
import difflib
import importlib
import importlib.util
import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from verl_prpo.trainer.checks.verl_rules import need_critic


@dataclass(frozen=True)
class UnknownName:
    """A name that verl does not know: what was found, and the nearest names that it knows."""

    found: str
    advice: str


def unknown_names(config: DictConfig, files: bool = True) -> list[UnknownName]:
    """List all names that verl would refuse. It would refuse most of them only after Ray and the weights are up.

    Args:
        config: the whole verl configuration.
        files: whether the user's files are looked for. They may be on another machine.
    """
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of engines that are not installed here
        return [
            *_unregistered(config),
            *_refused_by_functions(config),
            *_optimizers(config),
            *(_missing_code(config) if files else ()),
        ]


def nearest_of(key: str, value: Any, known: Sequence[str]) -> UnknownName:
    """Report a name that is not among the known ones, with the nearest of them."""
    if value is None:
        return UnknownName(f"{key} is not set. verl knows {', '.join(known)}", f"set {key} to one of them")
    near = difflib.get_close_matches(str(value), known, n=2, cutoff=0.7)
    near = near or difflib.get_close_matches(str(value), known, n=1, cutoff=0.5)
    advice = f"did you mean {' or '.join(f'{key}={name}' for name in near)}?" if near else f"set {key} to one of them"
    return UnknownName(f"{key}={value}: verl knows {', '.join(known)}", advice)


def _unregistered(config: DictConfig) -> Iterator[UnknownName]:
    for key, known in _registries(config):
        value = OmegaConf.select(config, key)
        names = sorted(map(str, known))
        for name in [value] if isinstance(value, str) or value is None else list(value):
            if str(name) not in names:
                yield nearest_of(key, name, names)


def _registries(config: DictConfig) -> Iterator[tuple[str, Any]]:
    """List every key that names an entry of a registry, with that registry, as far as this configuration reads it."""
    algorithms = importlib.import_module("verl.trainer.ppo.core_algos")
    rollout, trainer = config.actor_rollout_ref.rollout, config.trainer
    yield "algorithm.adv_estimator", algorithms.ADV_ESTIMATOR_REGISTRY
    yield "actor_rollout_ref.actor.policy_loss.loss_mode", algorithms.POLICY_LOSS_REGISTRY
    if trainer.get("use_v1", True):
        yield "trainer.v1.trainer_mode", importlib.import_module("verl.trainer.ppo.v1.trainer_base").TRAINER_REGISTRY
        modes = _declared("trainer/ppo/v1", r"""\.resume_mode == ["'](\w+)["']""")
        yield "trainer.resume_mode", modes
    yield "trainer.logger", [*importlib.import_module("verl.utils.tracking").Tracking.supported_backend, "tracking"]
    servers = importlib.import_module("verl.workers.rollout.replica").RolloutReplicaRegistry._registry
    yield "actor_rollout_ref.rollout.name", servers
    if config.reward.reward_model.enable:
        yield "reward.reward_model.rollout.name", servers
    if config.reward.reward_manager.source == "register":
        importlib.import_module("verl.experimental.reward_loop.reward_manager")
        registry = importlib.import_module("verl.experimental.reward_loop.reward_manager.registry")
        yield "reward.reward_manager.name", registry.REWARD_MANAGER
    yield from _engines(config)
    yield "actor_rollout_ref.rollout.agent.default_agent_loop", _agent_loops(config)
    if rollout.multi_turn.enable:
        parsers = importlib.import_module("verl.experimental.agent_loop.tool_parser").ToolParser
        yield "actor_rollout_ref.rollout.multi_turn.format", parsers._registry
    if not rollout.checkpoint_engine.get("custom_backend_module"):
        engines = importlib.import_module("verl.checkpoint_engine").CheckpointEngineRegistry._registry
        declared = _declared("checkpoint_engine", r"""CheckpointEngineRegistry\.register\(["'](\w+)["']""")
        yield "actor_rollout_ref.rollout.checkpoint_engine.backend", {*engines, *declared}


def _engines(config: DictConfig) -> Iterator[tuple[str, Any]]:
    """List the training engines of this installation, and those for which only a package is missing here."""
    engines = importlib.import_module("verl.workers.engine").EngineRegistry._engines
    listed = _declared("workers/engine", r"@EngineRegistry\.register\([^)]*backend=(\[[^\]]*\]|\"\w+\")")
    declared = {name for names in listed for name in re.findall(r"\w+", names)}
    yield "actor_rollout_ref.actor.strategy", {*engines.get("language_model", {}), *declared}
    if need_critic(config):
        yield "critic.strategy", {*engines.get("value_model", {}), *declared}


def _agent_loops(config: DictConfig) -> set[str]:
    importlib.import_module("verl.experimental.agent_loop")
    known = set(importlib.import_module("verl.experimental.agent_loop.agent_loop")._agent_loop_registry)
    path = config.actor_rollout_ref.rollout.agent.get("agent_loop_config_path")
    if path and Path(str(path)).is_file():
        listed = OmegaConf.load(str(path))
        known |= {str(loop.get("name")) for loop in listed if isinstance(loop, DictConfig)}
    return known


def _declared(package: str, pattern: str) -> set[str]:
    """Find the names that verl's source registers, also those whose import fails for a package that training needs."""
    folder = Path(importlib.import_module("verl").__file__ or "").parent / package
    text = "\n".join(file.read_text(encoding="utf-8") for file in folder.rglob("*.py"))
    return set(re.findall(pattern, text))


def _refused_by_functions(config: DictConfig) -> Iterator[UnknownName]:
    """Try the names that have no registry: verl's own functions are called with them, on tensors of one token."""
    torch = importlib.import_module("torch")
    algorithms = importlib.import_module("verl.trainer.ppo.core_algos")
    one = torch.zeros(1, 1)
    kinds = ("kl", "k1", "abs", "mse", "k2", "low_var_kl", "k3", "full")

    def penalty(name: str) -> Any:
        return algorithms.kl_penalty(one, one, kl_penalty=name)

    if config.actor_rollout_ref.actor.use_kl_loss:
        yield from _taken(config, "actor_rollout_ref.actor.kl_loss_type", kinds, penalty)
    if config.algorithm.use_kl_in_reward:
        yield from _taken(config, "algorithm.kl_penalty", kinds, penalty)
        control = OmegaConf.merge(config.algorithm.kl_ctrl)
        yield from _taken(
            config,
            "algorithm.kl_ctrl.type",
            ("fixed", "adaptive"),
            lambda name: algorithms.get_kl_controller(OmegaConf.merge(control, {"type": name})),
        )


def _taken(config: DictConfig, key: str, known: Sequence[str], call: Callable[[str], Any]) -> Iterator[UnknownName]:
    def takes(name: str) -> bool:
        try:
            call(name)
        except Exception:
            return False
        return True

    value = str(OmegaConf.select(config, key))
    if not takes(value):
        yield nearest_of(key, value, [name for name in known if takes(name)])


def _optimizers(config: DictConfig) -> Iterator[UnknownName]:
    """Look for optimizers, which are classes of a module."""
    sections = ["actor_rollout_ref.actor.optim", *(["critic.optim"] if need_critic(config) else [])]
    for section in sections:
        optimizer = OmegaConf.select(config, section)
        if optimizer.get("optimizer_impl") and optimizer.get("optimizer"):
            try:
                module = importlib.import_module(str(optimizer.optimizer_impl))
            except ImportError as error:
                yield UnknownName(
                    f"{section}.optimizer_impl={optimizer.optimizer_impl} cannot be imported here: {error}",
                    f"correct it, or install its package (verl's default is {section}.optimizer_impl=torch.optim)",
                )
                continue
            if not hasattr(module, str(optimizer.optimizer)):
                classes = [name for name, value in vars(module).items() if isinstance(value, type)]
                yield nearest_of(f"{section}.optimizer", optimizer.optimizer, sorted(classes))


CODE = (
    ("reward.custom_reward_function", "path", "name"),
    ("reward.reward_manager.module", "path", ""),
    ("data.custom_cls", "path", "name"),
    ("trainer.v1.sampler.custom_sampler", "path", "name"),
    ("actor_rollout_ref.rollout.agent", "agent_loop_config_path", ""),
    ("actor_rollout_ref.rollout.multi_turn", "tool_config_path", ""),
    ("actor_rollout_ref.rollout.multi_turn", "function_tool_path", ""),
)
"""Sections that name a file of the user's, and the key that names what is in it."""


def _missing_code(config: DictConfig) -> Iterator[UnknownName]:
    for section, path_key, name_key in CODE:
        given = OmegaConf.select(config, section) or {}
        path, name = given.get(path_key), given.get(name_key) if name_key else None
        if section == "reward.reward_manager.module" and config.reward.reward_manager.source == "importlib":
            name = config.reward.reward_manager.name
        if path:
            yield from _missing_from(f"{section}.{path_key}", str(path), f"{section}.{name_key or 'name'}", name)


def _missing_from(key: str, path: str, name_key: str, name: Any) -> Iterator[UnknownName]:
    """Report a file that is not there, or one that does not define a name. Nothing of the user's is run."""
    path = path.removeprefix("file://")
    if path.startswith("pkg://"):
        try:
            spec = importlib.util.find_spec(path.removeprefix("pkg://"))
        except (ImportError, ValueError):
            spec = None
        if spec is None:
            yield UnknownName(f"{key}={path}: no such module here", f"correct {key}, or install its package")
        return
    file = Path(path)
    if not file.is_file():
        yield UnknownName(
            f"{key}={path}: no such file (looked for from {Path.cwd()})",
            f"set {key} to a file that every node can read"
            + (f", such as {file.expanduser()}; verl takes the ~ as it stands" if path.startswith("~") else ""),
        )
        return
    if name is None or file.suffix != ".py":
        return
    try:
        defined = _defined(ast.parse(file.read_text(encoding="utf-8")))
    except (OSError, SyntaxError, ValueError) as error:
        yield UnknownName(f"{key}={path} cannot be read as Python: {error}", "correct the file")
        return
    if "*" not in defined and str(name) not in defined:
        near = difflib.get_close_matches(str(name), defined, n=1, cutoff=0.5)
        yield UnknownName(
            f"{name_key}={name}: {path} defines no such name",
            f"did you mean {name_key}={near[0]}?" if near else f"it defines {', '.join(sorted(defined)) or 'nothing'}",
        )


def _defined(tree: ast.Module) -> set[str]:
    """Return the names that a module defines. `*` is among them when it imports all of another."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names
