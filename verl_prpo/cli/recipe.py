# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo recipe`: the recipes there are, and any of them as one file to keep and change."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from verl_prpo.console.choices import nearest
from verl_prpo.console.findings import say

if TYPE_CHECKING:
    from omegaconf import DictConfig

SUMMARY = "list the recipes, print one as a file of its own"


def parser(prog: str) -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog=prog,
        description="Without NAME lists the recipes. With it prints the whole configuration that `python -m "
        "verl.trainer.main_ppo --config-name NAME OVERRIDES` would train with, as a file that does the same. Exit "
        "status: 0 done, 2 no such recipe, or one that does not compose or that training would refuse.",
    )
    made.add_argument("name", nargs="?", metavar="NAME", help="the recipe's file name without .yaml")
    made.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="such as data.train_batch_size=64")
    made.add_argument("--short", action="store_true", help="only what differs from verl's ppo_trainer")
    made.add_argument("--config-dir", "-cd", type=Path, metavar="DIR", help="a folder of your own, as for main_ppo")
    made.add_argument("--path", action="store_true", help="print the folder of the recipes, for --config-dir")
    return made


def run(arguments: argparse.Namespace) -> int:
    """Run the command and print the list or the recipe."""
    from verl_prpo.cli import recipe_text

    try:
        folder = arguments.config_dir or recipe_text.installed_folder()
    except ModuleNotFoundError as error:
        say(str(error))
        return 2
    if not folder.is_dir():
        say(f"--config-dir {folder} is not a folder")
        return 2
    known = recipe_text.names(folder)
    if arguments.path:
        print(folder)
    elif arguments.name is None:
        width = max(map(len, known), default=0)
        for name in known:
            print(f"{name:{width}}  {recipe_text.summary(folder / f'{name}.yaml')}".rstrip())
    else:
        name = arguments.name.removesuffix(".yaml")
        if name in known:
            return _print(folder, name, arguments.overrides, arguments.short)
        say(_unknown(folder, name, known))
        return 2
    return 0


def _unknown(folder: Path, name: str, known: list[str]) -> str:
    group, _, option = name.rpartition("/")
    if group and (folder / f"{name}.yaml").is_file():
        if group == "switch":
            return f"{name} is an overlay, to put on a recipe: verl-prpo recipe NAME +switch={option}"
        return f"{name} is a part of recipes and none by itself; `verl-prpo recipe` lists the recipes"
    return f"{name} is not among the recipes in {folder}{nearest(name, known) if known else ', which has none'}"


def _print(folder: Path, name: str, overrides: list[str], short: bool) -> int:
    from hydra.errors import HydraException

    from verl_prpo.cli import recipe_overrides, recipe_text
    from verl_prpo.settings.training_config import TrainingArguments, compose
    from verl_prpo.settings.typed import ConfigError

    def composed(*words: str) -> "DictConfig":
        return compose(TrainingArguments(words, config_dir=str(folder), config_name=name))

    try:
        config = composed(*overrides)
        notes = recipe_overrides.check(config)
        if overrides:
            recipe_overrides.check_with_verl(config)
        if short:
            engine = config.get("model_engine", "dp")
            text = recipe_text.short_recipe(config, compose(TrainingArguments((f"model_engine={engine}",))))
        else:
            text = recipe_text.as_yaml(recipe_text.whole_recipe(config))
    except HydraException as error:
        say(f"{name}: {recipe_overrides.refused_override(str(error), overrides, composed)}")
        return 2
    except ConfigError as error:
        say(f"{name}: training would refuse it: {error}")
        return 2
    except Exception as error:  # of Hydra or OmegaConf, whatever the files or overrides deserve
        say(f"{name}: {error}")
        return 2
    for note in notes:
        say(f"{name}: {note}")
    print(f"{recipe_text.copy_header(folder / f'{name}.yaml', overrides)}\n{text}", end="")
    return 0
