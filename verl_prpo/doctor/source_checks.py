# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A check of whether verl's own scorer knows the problems. It goes by their column `data_source`, and stops at a name
that it does not know."""

import ast
import contextlib
import difflib
import importlib
import inspect
import io
import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from verl_prpo.console.findings import CheckFailed, Finding, State
from verl_prpo.settings.prpo import MANAGER, needs_prm, prm_config, prpo_config, uses_prpo
from verl_prpo.trainer.reward_model import uses_reward_model

COLUMN = "data_source"

MOST_LINES = 100_000
"""Most lines that are looked at in a file of JSON lines. In a parquet file the whole column is looked at."""


def scorer(config: DictConfig) -> Finding:
    """Compare the sources of the problems with those that verl's own scorer takes, where that scorer is used.

    Raises:
        CheckFailed: it would stop at the first problem of a source, with the settings that give another scorer.
    """
    other = _other_scorer(config)
    if other:
        return Finding(f"verl's own scorer is not used: {other}", State.SKIPPED)
    found: dict[str, list[str]] = {}
    wrong, near = [], ""
    for setting in ("data.train_files", "data.val_files"):
        named = OmegaConf.select(config, setting)
        for file in list(named) if isinstance(named, (list, ListConfig)) else [named]:
            sources = _sources(Path(str(file)))
            if sources is None:
                continue
            found[str(file)] = sorted(map(str, sources))
            refused = sorted((source for source in sources if not takes(source)), key=str)
            if refused:
                wrong.append(f"{setting}={file}: {COLUMN} {', '.join(map(repr, refused))}")
                near = near or _nearest(refused)
            elif not sources:
                wrong.append(f"{setting}={file}: no column {COLUMN}")
    if not found:
        return Finding("no file of problems could be read", State.SKIPPED)
    details = {"sources": found}
    if not wrong:
        listed = ", ".join(sorted({source for sources in found.values() for source in sources}))
        return Finding(f"verl's own scorer knows {listed}", details=details, value=True)
    said = "verl's own scorer (verl.utils.reward_score) does not know these problems, and stops at the first:"
    advice = (
        "for answers of mathematics set reward.reward_manager.name=math_verifier; else name a function of yours with "
        f"reward.custom_reward_function.path{near}"
    )
    text = "\n".join([said, *wrong])
    if OmegaConf.select(config, "actor_rollout_ref.rollout.agent.agent_loop_config_path"):
        advice = f"all right if your agent loop gives the rewards itself; {advice}"
        return Finding(text, State.WARNING, advice, details, value=True)
    raise CheckFailed(text, advice, details)


def takes(source: Any) -> bool:
    """Return whether verl's own scorer has a rule for a source.

    Unless the scorer's code names the source, the scorer is called with it and with nothing to score.
    """
    score = importlib.import_module("verl.utils.reward_score").default_compute_score
    if source in known_sources():
        return True
    if not isinstance(source, str):
        return False
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            score(source, "", "")
        except NotImplementedError:
            return False
        except Exception:  # of a rule that wants more than nothing
            return True
    return True


def known_sources() -> set[str]:
    """Read from the code of verl's own scorer the sources that it compares with."""
    score = importlib.import_module("verl.utils.reward_score").default_compute_score
    compared = [node for node in ast.walk(ast.parse(inspect.getsource(score))) if isinstance(node, ast.Compare)]
    constants = (part for node in compared for one in node.comparators for part in ast.walk(one))
    return {part.value for part in constants if isinstance(part, ast.Constant) and isinstance(part.value, str)}


def _other_scorer(config: DictConfig) -> str:
    """Return the setting that puts another scorer in the place of verl's, or "" where none does."""
    reward: Any = config.reward
    custom = OmegaConf.select(config, "reward.custom_reward_function.path")
    if custom:
        return f"reward.custom_reward_function.path={custom}"
    if OmegaConf.select(config, "data.custom_cls.path"):
        return f"data.custom_cls.path={config.data.custom_cls.path} reads the problems"
    is_prm = uses_prpo(config) and needs_prm(prpo_config(config.algorithm)) and uses_reward_model(prm_config(reward))
    if reward.reward_model.enable and not is_prm:
        return "reward.reward_model.enable=True gives the rewards"
    manager: Any = reward.reward_manager
    if manager.source == "register" and manager.name == MANAGER:
        manager = (reward.get("prm") or {}).get("outcome_reward_manager") or {"name": "naive"}
    if manager.get("source", "register") != "register":
        return f"reward.reward_manager.source={manager.source}"
    importlib.import_module("verl.experimental.reward_loop.reward_manager")
    registry = importlib.import_module("verl.experimental.reward_loop.reward_manager.registry").REWARD_MANAGER
    owner = str(getattr(registry.get(manager["name"]), "__module__", ""))
    return "" if owner.startswith("verl.") else f"reward.reward_manager.name={manager['name']}"


def _sources(file: Path) -> set[Any] | None:
    """Return the distinct values of the column `data_source`.

    The set is empty where the column is missing. The result is None where the file cannot be read.
    """
    try:
        if file.suffix == ".parquet":
            import pyarrow.parquet

            table = pyarrow.parquet.ParquetFile(file)
            if COLUMN not in table.schema_arrow.names:
                return set()
            batches = table.iter_batches(columns=[COLUMN])
            return {source for batch in batches for source in batch.column(0).unique().to_pylist()}
        with file.open(encoding="utf-8") as lines:
            first = lines.read(1)
            lines.seek(0)
            if first == "[":
                rows = json.load(lines)
            else:
                rows = [json.loads(line) for line in itertools.islice(lines, MOST_LINES) if line.strip()]
        return {row.get(COLUMN) for row in rows if isinstance(row, dict) and COLUMN in row} if rows else None
    except Exception:  # of Arrow, JSON or the file system; the row on the problems reports it
        return None


def _nearest(refused: Iterable[Any]) -> str:
    for source in map(str, refused):
        near = difflib.get_close_matches(source, sorted(known_sources()), n=1, cutoff=0.55)
        if near:
            return f" (or, if {source!r} is {near[0]!r}, write that into the column {COLUMN})"
    return ""
