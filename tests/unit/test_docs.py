# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Every command of README.md, CONTRIBUTING.md and the pages below docs/ is run here, or says why not.

The convention for whoever writes a page:

- A command stands in a fenced block whose language is `bash`, never in an indented one. `...some words...` stands for
  overrides of the reader's own; a backslash continues a line, `#` begins a remark.
- Training commands and `verl-prpo doctor` are composed, and verl and the plugin validate them. `verl-prpo data` is run,
  on small files in place of the hub and of `--source`. Commands in `RUN` are run as they are. Nothing is to be done.
- For any other, say why it is not run: an HTML comment directly above the block, `<!-- not run: needs GPUs -->`; or
  where it is run, `<!-- run by: tests/unit/test_cli_eval.py -->`, a test file that holds the words of the command.
  What is the same on every page (installing, Ray, vLLM, the examples that train) is in `NOT_RUN` here.

Whatever the reason: `verl-prpo` commands must have arguments that their parser takes, training commands must validate,
scripts must exist and name their options.
"""

import ast
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from verl_configs import RUNNABLE, compose, validate

from verl_prpo.cli.main import COMMANDS, main
from verl_prpo.data.problem_sets import SETS, HubSplit
from verl_prpo.trainer.checks.config_check import check_config

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]

NOT_RUN = {
    "pip install": "changes the environment of this test",
    "python -m venv": "makes an environment",
    "source examples/setup_env.sh": "makes an environment of several GB",
    "ray start": "starts a cluster",
    "ray status": "needs a cluster",
    "ray stop": "would end the cluster of others",
    "vllm serve": "loads weights from the hub onto a GPU",
    "python -m verl_prpo.cpu.serve": "serves until it is stopped; tests/serve runs it",
    "bash examples/": "installs packages and trains for minutes",
    "python examples/": "trains, or shows what a training left; the example's own tests run it",
    "bash tests/run.sh": "this very suite",
    "bash tests/against_verl.sh": "needs a source tree of verl, and minutes",
    "python -m pytest": "a part of this very suite",
    "mkdocs build": "tests/unit/test_docs_site.py builds the site",
    "python -m pip install": "changes the environment of this test",
    "python -m build": "takes a minute; tests/unit/test_recipes.py builds the wheel",
    "/tmp/clean/bin/": "needs an environment of its own",
    "cd /tmp": "leads to one",
    "python benchmarks/": "measures for minutes",
    "bash benchmarks/gpu/run.sh": "measures for minutes; tests/unit/test_gpu_benchmark.py runs it on a CPU",
    "pip wheel": "downloads packages",
    "verl-prpo calibrate": "needs rollouts and a PRM; tests/unit/test_cli_calibrate.py runs it",
    "verl-prpo report": "needs a rollout dump; tests/unit/test_report_page.py runs it",
    "verl-prpo compare": "needs logs of runs; tests/unit/test_compare_command.py runs it",
    "verl-prpo eval": "needs a model and vLLM; tests/e2e/test_evaluation.py runs it",
    "export": "sets a variable of the reader's shell",
}
"""By how a command begins, environment variables before it apart."""

RUN = ("python -c", "verl-prpo --version", "verl-prpo --help", "verl-prpo recipe")
"""By how it begins: a command that is run as it is, in a folder of its own that holds a link to recipes/."""

COMMAND_LINE = re.compile(r"^(?:\w+=\S* )*(?:python3?|verl-prpo|vllm|bash|source|pip|ray|torchrun|export|git)\b")
VARIABLE = re.compile(r"\w+=\S*")
OWN_OVERRIDES = "@@"


@dataclass(frozen=True)
class Command:
    """One command of a page.

    Attributes:
        page: name of the file.
        line: where it begins, from 1.
        words: as a shell splits it.
        not_run: reason given on the page, or None.
        run_by: test file named on the page, or None.
    """

    page: str
    line: int
    words: tuple[str, ...]
    not_run: str | None
    run_by: str | None

    @property
    def text(self) -> str:
        """The command without the environment variables before it."""
        words = list(self.words)
        while words and VARIABLE.fullmatch(words[0]):
            words.pop(0)
        return " ".join(words).replace("python3 ", "python ")

    def begins(self, starts: Iterable[str]) -> bool:
        """Whether one of the starts begins it."""
        return any(self.text.startswith(start) for start in starts)


def commands_of(page: Path) -> Iterator[Command]:
    """All commands in the fenced bash blocks of a page."""
    lines = page.read_text(encoding="utf-8").splitlines()
    fence, comment, number = None, "", 0
    while number < len(lines):
        line, at = lines[number], number + 1
        number += 1
        if fence is None:
            opening = re.match(r"\s*```(\w*)", line)
            if opening:
                fence = opening.group(1)
            elif line.strip():
                comment = line.strip()
            continue
        if line.strip().startswith("```"):
            fence, comment = None, ""
            continue
        if fence != "bash":
            continue
        while line.endswith("\\") and number < len(lines):
            line = line[:-1] + " " + lines[number].strip()
            number += 1
        line = re.sub(r"\.\.\.[^.]+\.\.\.", OWN_OVERRIDES, line).replace(" ... ", f" {OWN_OVERRIDES} ")
        words = shlex.split(re.sub(r" \.\.\.$", f" {OWN_OVERRIDES}", line), comments=True)
        reason = re.fullmatch(r"<!-- not run: (.+) -->", comment)
        runner = re.fullmatch(r"<!-- run by: (.+) -->", comment)
        while words:
            end = next((i for i, word in enumerate(words) if word in ("&&", ";", "|", "&")), len(words))
            own = tuple(itertools.takewhile(lambda word: word not in (">", ">>"), words[:end]))
            if own:
                given = (reason and reason.group(1), runner and runner.group(1))
                yield Command(os.path.relpath(page, ROOT), at, own, *given)
            words = words[end + 1 :]


ALL = [command for page in PAGES for command in commands_of(page)]


def _id(command: Command) -> str:
    return f"{command.page}:{command.line}"


def _training_arguments(words: list[str]) -> tuple[str, list[str], Path | None]:
    """Config name, overrides and folder of the arguments of main_ppo."""
    name, folder, overrides = "ppo_trainer", None, []
    rest = iter(part for word in words for part in (word.split("=", 1) if word.startswith("--config") else [word]))
    for word in rest:
        if word == "--config-name":
            name = next(rest).removesuffix(".yaml")
        elif word == "--config-dir":
            folder = ROOT / next(rest).replace("$(verl-prpo recipe --path)", "recipes")
        elif word == OWN_OVERRIDES:
            overrides += [*RUNNABLE, "algorithm.adv_estimator=grpo"]
        elif "=" in word or word.startswith("~"):
            overrides.append(word)
        elif word not in ("--cfg", "job", "--resolve"):
            raise AssertionError(f"{word} is no override")
    return name, overrides, folder


def _validated(name: str, overrides: list[str], folder: Path | None) -> None:
    last = {override.split("=")[0].lstrip("+"): override for override in overrides}  # a later one replaces an earlier
    config = compose(name, list(last.values()), folder)
    validate(config)
    check_config(config)


def _small_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every problem set of the hub is a folder with two problems, and so are the files that commands name."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "cache")
    for at, (name, problem_set) in enumerate(list(SETS.items())):
        rows = [
            {"problem": f"What is {at} + {n}?", "solution": f"It is $\\boxed{{{at + n}}}$.", "answer": str(at + n)}
            if "gsm8k" not in name
            else {"question": f"Is {at} + {n} odd?", "answer": f"Count.\n#### {at + n}"}
            for n in (10, 20)
        ]
        (folder / f"{name}_hub").mkdir()
        (folder / f"{name}_hub" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        hub = (HubSplit(str(folder / f"{name}_hub"), None, "train"),)
        monkeypatch.setitem(SETS, name, replace(problem_set, hub=hub, size=2))


def _run_data(words: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stands_for = {"--source": words[0], "--without": SETS[words[0]].without}
    for option, file in itertools.pairwise(words):
        if option in stands_for:
            (folder / file).write_text((folder / f"{stands_for[option]}_hub" / "train.jsonl").read_text())
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder / "home"))
    assert main(["data", *(os.path.expandvars(word) for word in words)]) == 0


def _run_or_reason(command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if command.begins(["python -m verl.trainer.main_ppo"]):
        arguments = _training_arguments(_words(command)[3:])
        if not (command.not_run and arguments[2] and not arguments[2].is_dir()):  # a folder of the reader's own
            _validated(*arguments)
        return
    if command.begins(["verl-prpo doctor"]):
        given = COMMANDS["doctor"].parser("doctor").parse_intermixed_args(_words(command)[2:])
        options = [f"--config-{key}={value}" for key, value in (("dir", given.config_dir), ("name", given.config_name))]
        _validated(*_training_arguments([*(o for o in options if not o.endswith("None")), *given.overrides]))
        return
    if command.begins(["verl-prpo data"]):
        _small_hub(folder, monkeypatch)
        _run_data(_words(command)[2:], folder, monkeypatch)
        return
    if command.not_run or command.begins(NOT_RUN):
        return
    if command.run_by:
        test = ROOT / command.run_by
        assert test.is_file(), f"{command.page}, line {command.line}: no {command.run_by}"
        word = _words(command)[1] if command.begins(["verl-prpo"]) else Path(_words(command)[-1]).name
        assert word in test.read_text(), f"{command.run_by} says nothing of {word}"
        return
    assert command.begins(RUN), (
        f"{command.page}, line {command.line}: {command.text} is not run and gives no reason; see the top of this file"
    )
    (folder / "recipes").symlink_to(ROOT / "recipes")
    words = _words(command)
    words = [sys.executable, *words[1:]] if words[0] == "python" else words
    words = [sys.executable, "-m", "verl_prpo.cli.main", *words[1:]] if words[0] == "verl-prpo" else words
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ALL, ids=_id)
def test_a_command_is_run_or_says_why_not(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _run_or_reason(command, tmp_path, monkeypatch)


@pytest.mark.parametrize("command", [c for c in ALL if c.begins(["verl-prpo "])], ids=_id)
def test_the_parser_of_a_command_takes_its_arguments(command: Command) -> None:
    words = [word for word in _words(command)[1:] if word != OWN_OVERRIDES]
    if words[0].startswith("-"):
        return
    assert words[0] in COMMANDS, f"verl-prpo has no command {words[0]}"
    COMMANDS[words[0]].parser(words[0]).parse_intermixed_args(words[1:])


@pytest.mark.parametrize("command", [c for c in ALL if re.match(r"(python|bash|source) \S+/\S+", c.text)], ids=_id)
def test_a_script_is_there_and_has_the_options(command: Command) -> None:
    words = _words(command)
    script = ROOT / words[1]
    assert script.is_file(), f"no {words[1]}"
    text = script.read_text() + "".join(path.read_text() for path in script.parent.glob("*.py"))
    for word in words[2:]:
        if word.startswith("--"):
            assert word.split("=")[0] in text, f"{words[1]} has no {word}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_stand_in_fenced_blocks_only(page: Path) -> None:
    fenced, stray = False, []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        fenced ^= line.strip().startswith("```")
        if not fenced and line.startswith("    ") and COMMAND_LINE.match(line.strip()):
            stray.append(f"{number}: {line.strip()}")
    assert not stray, f"{page.name} has commands in indented blocks, which no test sees: {stray}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_that_a_page_names_exist(page: Path) -> None:
    from verl_prpo.settings.reference import settings

    known = {setting.key for section in settings().values() for setting in section}
    named = r"(?:algorithm\.prpo|reward\.prm|reward\.math_verifier)\.(?:(?:server|custom_family|score_function)\.)?\w+"
    for key in re.findall(named, page.read_text(encoding="utf-8")):
        assert key in known, f"{page.name} names {key}"


_ADVICE = re.compile(
    r"\b(?:set|add|keep|use|take|give|write|or|and|such as)\s+`?"
    r"((?:algorithm\.prpo|reward\.(?:prm|math_verifier))\.[a-z_.]+=)",
    re.IGNORECASE,
)


@pytest.mark.parametrize("file", [*PAGES, *sorted((ROOT / "verl_prpo").rglob("*.py"))], ids=lambda file: file.name)
def test_advice_to_set_a_key_of_this_package_works_where_the_key_is_absent(file: Path) -> None:
    """verl's YAML does not have these keys, and Hydra takes a new one with `++` alone."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        text = "\n".join(_texts(text))
    found = [match.group() for match in _ADVICE.finditer(text)]
    assert found == []


def _texts(source: str) -> Iterator[str]:
    """The texts of a program, with `{}` for what is filled in."""
    tree = ast.parse(source)
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield node.value


def test_the_versions_of_the_install_page_are_those_that_verl_names() -> None:
    pinned = {}
    for line in metadata.requires("verl") or []:
        requirement = Requirement(line)
        if requirement.marker and requirement.marker.evaluate({"extra": "vllm"}) and str(requirement.specifier):
            pinned[requirement.name.lower()] = str(requirement.specifier).removeprefix("==")
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    for package in ("vllm", "torch", "transformers"):
        assert f"{package} {pinned[package]}" in page


@pytest.mark.parametrize(
    ("block", "fault"),
    [
        ("curl http://prm-0:8000/health", "is not run and gives no reason"),
        ("verl-prpo forecast", "is not run and gives no reason"),
        ("python -m verl.trainer.main_ppo ...your overrides... algorithm.adv_estimator=prpo", "process reward model"),
        ("verl-prpo doctor ...your overrides... algorithm.adv_estimater=prpo", "adv_estimater"),
    ],
)
def test_a_new_command_that_is_wrong_or_not_run_is_noticed(
    block: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"Text.\n\n```bash\n{block}\n```\n")
    (command,) = commands_of(page)
    with pytest.raises(Exception, match=fault):
        _run_or_reason(command, tmp_path, monkeypatch)


def test_a_reason_above_its_block_counts_for_that_block_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- not run: needs a server -->\n```bash\ncurl \\\n  one # remark\n```\n\n```bash\nA=1 curl two && ls\n```\n"
    )
    one, two, three = commands_of(page)
    assert (one.text, one.not_run, one.line) == ("curl one", "needs a server", 3)
    assert (two.text, two.not_run) == ("curl two", None) and three.text == "ls"


def _words(command: Command) -> list[str]:
    words = list(command.words)
    while words and VARIABLE.fullmatch(words[0]):
        words.pop(0)
    return words
