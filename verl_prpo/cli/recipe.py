# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo recipe`: list the recipes, print one, copy one."""

import argparse
import importlib.util
import json
import re
import shlex
from pathlib import Path

from verl_prpo.console.choices import nearest
from verl_prpo.console.findings import say

SUMMARY = "list the recipes, print or copy one"

_TRAIN = "python -m verl.trainer.main_ppo --config-dir {} --config-name {}"


def parser(prog: str) -> argparse.ArgumentParser:
    """Make the parser of the command's arguments."""
    made = argparse.ArgumentParser(
        prog=prog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Without NAME lists the recipes. With it prints the file of the recipe, or copies it.\n\n"
        "The values after overrides, and verl's defaults among them, are printed by the training command:\n"
        f"  {_TRAIN.format('DIR', 'NAME')} OVERRIDES --cfg job --resolve\n"
        "`verl-prpo doctor` with the same arguments checks them.\n\n"
        "Exit status: 0 done, 2 no such recipe, or a file that is already there.",
    )
    made.add_argument("name", nargs="?", metavar="NAME", help="the recipe's file name without .yaml")
    made.add_argument("overrides", nargs="*", help=argparse.SUPPRESS)
    made.add_argument("--short", action="store_true", help=argparse.SUPPRESS)
    made.add_argument(
        "--copy", type=Path, metavar="FILE", help="write a copy to FILE.yaml, with FILE as trainer.experiment_name"
    )
    made.add_argument("--config-dir", "-cd", type=Path, metavar="DIR", help="a folder of your own, as for main_ppo")
    made.add_argument("--path", action="store_true", help="print the folder of the recipes, for --config-dir")
    return made


def run(arguments: argparse.Namespace) -> int:
    """Run the command and print the list, the recipe, or where its copy is."""
    try:
        return _run(arguments)
    except BrokenPipeError:
        raise
    except (RecipeError, OSError) as error:
        say(str(error))
        return 2


class RecipeError(ValueError):
    """A recipe that is not there, or that cannot be copied as asked."""


def installed_folder() -> Path:
    """Return the folder of this package's recipes, in a checkout or an installed package.

    Raises:
        RecipeError: the package was installed without them.
    """
    spec = importlib.util.find_spec("verl_prpo.recipes")
    if spec is None or not spec.submodule_search_locations:
        raise RecipeError("this installation has no recipes. Run pip install verl-prpo anew")
    return Path(next(iter(spec.submodule_search_locations))).resolve()


def summary(text: str) -> str:
    """Say in a line what a recipe is.

    The line is the beginning of the header's first paragraph that is neither the license nor a launch command.
    """
    header = re.match(r"(?:#.*\n)*", text)
    for paragraph in re.split(r"^#\s*$", header[0] if header else "", flags=re.MULTILINE):
        if "SPDX-License-Identifier" not in paragraph and "-m verl.trainer.main_ppo" not in paragraph:
            words = " ".join(line.removeprefix("#").strip() for line in paragraph.strip().splitlines())
            return words.split(". ")[0].split(": ")[0].removesuffix(".")
    return ""


def copied(text: str, file: Path) -> str:
    """Rewrite the text of a recipe for another file.

    Its launch command and its `trainer.experiment_name`, under which checkpoints are kept, become those of the file.

    Args:
        text: the text of the recipe.
        file: the file that it is written to.

    Raises:
        RecipeError: the recipe has no `trainer.experiment_name`, so the copy would resume checkpoints of another run.
    """
    folder, name = shlex.quote(str(file.parent)), shlex.quote(file.stem)
    word = r"(?:'[^'\n]*'|\S+)"
    launch = re.compile(rf"^(#.*-m verl\.trainer\.main_ppo) --config-dir {word} --config-name {word}", re.MULTILINE)
    text = launch.sub(lambda found: f"{found[1]} --config-dir {folder} --config-name {name}", text, count=1)
    if "# @package" in text:  # an overlay names no run
        return text
    experiment = re.compile(r"^(  experiment_name:).*$", re.MULTILINE)
    text, count = experiment.subn(lambda found: f"{found[1]} {json.dumps(file.stem)}", text)
    if count != 1:
        raise RecipeError("the recipe sets no trainer.experiment_name of its own: copy the file and add one")
    return text


def _run(arguments: argparse.Namespace) -> int:
    folder = arguments.config_dir or installed_folder()
    if not folder.is_dir():
        raise RecipeError(f"--config-dir {folder} is not a folder")
    if arguments.path:
        print(folder)
        return 0
    if arguments.name is None:
        if arguments.copy is not None or arguments.short:
            raise RecipeError("name the recipe: verl-prpo recipe NAME --copy FILE.yaml")
        files = sorted(folder.glob("*.yaml"))
        width = max((len(file.stem) for file in files), default=0)
        for file in files:
            print(f"{file.stem:{width}}  {summary(file.read_text(encoding='utf-8'))}".rstrip())
        return 0
    name = arguments.name.removesuffix(".yaml")
    text = _text(folder, name)
    _refuse_what_was(arguments, folder, name)
    if arguments.copy is None:
        print(text, end="")
        return 0
    return _copy(text, arguments.copy)


def _text(folder: Path, name: str) -> str:
    file = folder / f"{name}.yaml"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    group, _, option = name.partition("/")
    if option and group in ("base", "method", "policy"):
        raise RecipeError(f"{name} is no file any more: each recipe holds all of its settings (docs/recipes.md)")
    known = [path.stem for path in sorted(folder.glob("*.yaml"))]
    raise RecipeError(
        f"{name} is not among the recipes in {folder}{nearest(name, known) if known else ', which has none'}"
    )


def _refuse_what_was(arguments: argparse.Namespace, folder: Path, name: str) -> None:
    """Refuse `--short` and overrides, and say what took their place."""
    if arguments.short:
        raise RecipeError(
            f"--short is no option any more: `verl-prpo recipe {name}` prints the recipe's own file, which is short. "
            "--copy FILE.yaml makes a copy of it"
        )
    if arguments.overrides:
        given = shlex.join(arguments.overrides)
        raise RecipeError(
            f"a recipe is printed as its file stands, without {given}. To see the values after overrides: "
            f"{_TRAIN.format(shlex.quote(str(folder)), name)} {given} --cfg job --resolve. To check them: verl-prpo "
            "doctor with the same arguments"
        )


def _copy(text: str, file: Path) -> int:
    if file.suffix != ".yaml":
        raise RecipeError(f"--copy {file}: Hydra looks for .yaml. Write --copy {file}.yaml")
    text = copied(text, file)
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise RecipeError(f"{file} is already there. Choose another name") from None
    launch = next((line for line in text.splitlines() if "-m verl.trainer.main_ppo" in line), "")
    print(f"written: {file}" + (f"\ntrain with: {launch.removeprefix('#').strip()}" if launch else ""))
    return 0
