# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A check of whether the folders that a run writes can be written. It leaves nothing in them."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from verl_prpo.console.findings import CheckFailed, Finding, State


def folders(config: DictConfig, of_hydra: str | None) -> Finding:
    """Try every folder that training writes.

    Args:
        config: the whole verl configuration.
        of_hydra: `hydra.run.dir`, None when it is not known.

    Raises:
        CheckFailed: folders that cannot be made or written, with the reason.
    """
    wrong, found, tildes = [], [], []
    for key, path in _written(config, of_hydra):
        fault = unwritable(Path(path))
        if fault:
            wrong.append((key, f"{key}={path}: {fault}"))
        else:
            found.append(f"{key}={path}")
        if path.startswith("~"):
            tildes.append(f"{key}={Path(path).expanduser()}")
    if wrong:
        raise CheckFailed(
            "\n".join(said for _, said in wrong),
            f"set {' and '.join(key for key, _ in wrong)} to a folder that you may write",
        )
    if tildes:
        advice = f"verl takes the ~ as it stands and makes a folder of that name: write {' '.join(tildes)}"
        return Finding("\n".join(found), State.WARNING, advice, value=True)
    return Finding("can be written: " + ", ".join(found), value=True)


def unwritable(path: Path) -> str:
    """Say why a folder cannot be made or written, or return "" when it can.

    The test makes and removes a folder in the nearest one that exists.
    """
    nearest = path if path.is_absolute() else Path.cwd() / path
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        return f"{nearest} is a file"
    try:
        with tempfile.TemporaryDirectory(prefix=".verl-prpo-", dir=nearest):
            pass
    except OSError as error:
        return f"nothing can be written in {nearest}: {error.strerror or error}"
    return ""


def _written(config: DictConfig, of_hydra: str | None) -> Iterator[tuple[str, str]]:
    trainer: Any = config.trainer
    profiler: Any = config.get("global_profiler") or {}
    if of_hydra:
        yield "hydra.run.dir", of_hydra
    if int(trainer.get("save_freq") or -1) > 0:
        yield "trainer.default_local_dir", str(trainer.default_local_dir)
    for key in ("trainer.rollout_data_dir", "trainer.validation_data_dir"):
        if OmegaConf.select(config, key):
            yield key, str(OmegaConf.select(config, key))
    if profiler.get("tool") and profiler.get("save_path"):
        yield "global_profiler.save_path", str(profiler.save_path)
    for name in ("rollout", "rollout_tq"):
        section: Any = (config.get("skip") or {}).get(name) or {}
        if section.get("enable") and section.get("dump_dir"):
            yield f"skip.{name}.dump_dir", os.path.expanduser(str(section.dump_dir))
