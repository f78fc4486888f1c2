# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""verl's configuration from the arguments of `python -m verl.trainer.main_ppo`, composed as that command does."""

import argparse
import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import DictConfig, open_dict

SECTIONS = ("reward.prm", "algorithm.prpo")
"""The sections of this package. verl's YAML does not have them."""


@dataclass(frozen=True)
class TrainingArguments:
    """The arguments of `python -m verl.trainer.main_ppo`.

    Attributes:
        overrides: of Hydra, such as `algorithm.adv_estimator=prpo`.
        config_dir: `--config-dir`, searched besides verl's own folder.
        config_path: `--config-path`, in place of verl's own folder.
        config_name: `--config-name`.
    """

    overrides: Sequence[str] = field(default_factory=tuple)
    config_dir: str | None = None
    config_path: str | None = None
    config_name: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add Hydra's options that `main_ppo` takes. Overrides are positional, and the command adds them itself."""
    parser.add_argument("--config-dir", "-cd", help="a folder with recipes, as for main_ppo")
    parser.add_argument("--config-path", "-cp", help="the folder in place of verl's own configurations")
    parser.add_argument("--config-name", "-cn", help="the recipe's name (default ppo_trainer)")


def training_arguments(arguments: argparse.Namespace, overrides: Sequence[str]) -> TrainingArguments:
    """Join the parsed options of `add_arguments` and the overrides."""
    return TrainingArguments(tuple(overrides), arguments.config_dir, arguments.config_path, arguments.config_name)


def compose(arguments: TrainingArguments) -> DictConfig:
    """Compose the configuration that `main_ppo` would train with. Interpolations stay as they stand.

    Raises:
        Exception: of Hydra or OmegaConf, whatever the arguments or files deserve.
        NotADirectoryError: a `--config-dir` or `--config-path` that is no folder.
    """
    return compose_with_folder(arguments)[0]


def compose_with_folder(arguments: TrainingArguments) -> tuple[DictConfig, str | None]:
    """Compose like `compose`, and also return the folder that Hydra makes for the run.

    The folder is None where it is not known before the run starts.
    """
    config = _composed(arguments)
    try:
        folder = str(config.hydra.run.dir)
    except Exception:  # an interpolation that Hydra fills in when it starts the job
        folder = None
    with open_dict(config):
        del config["hydra"]
    return config, folder


def _composed(arguments: TrainingArguments) -> DictConfig:
    """Compose the configuration with Hydra's own section in it."""
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.utils import create_config_search_path
    from hydra.core.config_search_path import SearchPathQuery
    from hydra.core.utils import setup_globals
    from hydra.types import RunMode

    setup_globals()
    trainer = _trainer_folder()
    primary = arguments.config_path or "config"
    if not primary.startswith("pkg://"):
        primary = str(_folder("--config-path", trainer / primary))
    search_path = create_config_search_path(primary)
    if arguments.config_dir is not None:
        folder = f"file://{_folder('--config-dir', Path(os.path.abspath(arguments.config_dir)))}"
        search_path.prepend("command-line", folder, anchor=SearchPathQuery(provider="schema"))
    return ConfigLoaderImpl(search_path).load_configuration(
        arguments.config_name or "ppo_trainer", list(arguments.overrides), run_mode=RunMode.RUN
    )


def config_folders(arguments: TrainingArguments) -> list[Path]:
    """List the folders in which a `--config-name` is looked for, in order.

    There are none when `--config-path` names a package.
    """
    if (arguments.config_path or "").startswith("pkg://"):
        return []
    primary = _trainer_folder() / (arguments.config_path or "config")
    return [primary] if arguments.config_dir is None else [Path(os.path.abspath(arguments.config_dir)), primary]


def forced(override: str) -> str:
    """Write an override of a key of this package so that Hydra takes it whether a recipe has the key or not."""
    bare = override.lstrip("+")
    return f"++{bare}" if bare.startswith(tuple(f"{section}." for section in SECTIONS)) else override


def _trainer_folder() -> Path:
    """Find verl's folder `trainer` without importing verl."""
    spec = importlib.util.find_spec("verl")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("verl is not installed here. Run pip install 'verl>=0.9.1,<=0.10.0.dev0'")
    return Path(spec.origin).parent / "trainer"


def _folder(option: str, path: Path) -> Path:
    if not path.is_dir():
        raise NotADirectoryError(f"{option}: {path} is not a folder")
    return path
