# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo recipe`: the recipes there are, and any of them as one file to keep and change."""

import argparse
import difflib
from pathlib import Path

from verl_prpo.cli.report import say

SUMMARY = "list the recipes, print one as a file of its own"


def parser(prog: str) -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog=prog,
        description="Without NAME lists the recipes. With it prints the whole configuration that `python -m "
        "verl.trainer.main_ppo --config-name NAME OVERRIDES` would train with, as a file that does the same. Exit "
        "status: 0 done, 2 no such recipe, or one that does not compose.",
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
    known = recipe_text.names(folder)
    if arguments.path:
        print(folder)
    elif arguments.name is None:
        width = max(map(len, known), default=0)
        for name in known:
            print(f"{name:{width}}  {recipe_text.summary(folder / f'{name}.yaml')}".rstrip())
    elif arguments.name not in known:
        near = difflib.get_close_matches(arguments.name, known, n=3, cutoff=0.5)
        say(f"{arguments.name} is not among the recipes in {folder}: {', '.join(near or known) or 'it has none'}")
        return 2
    else:
        return _print(folder, arguments.name, arguments.overrides, arguments.short)
    return 0


def _print(folder: Path, name: str, overrides: list[str], short: bool) -> int:
    from verl_prpo.cli import recipe_text
    from verl_prpo.cli.training_config import TrainingArguments, compose

    try:
        config = compose(TrainingArguments(overrides, config_dir=str(folder), config_name=name))
        if short:
            engine = config.get("model_engine", "dp")
            text = recipe_text.short_recipe(config, compose(TrainingArguments((f"model_engine={engine}",))))
        else:
            text = recipe_text.as_yaml(recipe_text.resolved(config))
    except Exception as error:  # of Hydra or OmegaConf, whatever the files or overrides deserve
        say(f"{name}: {error}")
        return 2
    header = recipe_text.header(folder / f"{name}.yaml")
    if overrides:
        header += f"#\n# Changed from {name}: {' '.join(overrides)}\n"
    print(f"{header}\n{text}" if header else text, end="")
    return 0
