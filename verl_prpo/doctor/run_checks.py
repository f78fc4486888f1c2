# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Checks that a training command's problems and policy are there, and that its batches divide."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from verl_prpo.console.findings import CheckFailed, Finding, State
from verl_prpo.data.problem_sets import SETS
from verl_prpo.prm.families.checkpoints import local_file
from verl_prpo.trainer.checks.batch_sizes import BATCH, MINI, TENSOR, Fault, N, shares, size_faults
from verl_prpo.trainer.checks.layouts import dividing, shown_sizes

FORMATS = (".parquet", ".json", ".jsonl")
"""Endings of the files that verl's own dataset reads."""

REMOTE = "hdfs://"


def problems(config: DictConfig) -> Finding:
    """Check that every file of `data.train_files` and `data.val_files` is there, and that the problems fill a batch.

    Raises:
        CheckFailed: files that are missing or of another format, or fewer problems than a batch takes.
    """
    custom = OmegaConf.select(config, "data.custom_cls.path")
    if custom:
        return Finding(f"not checked: data.custom_cls.path={custom} reads them", State.SKIPPED)
    found, wrong, advice = [], [], []
    rows: dict[str, int | None] = {}
    for setting in ("data.train_files", "data.val_files"):
        rows[setting] = 0
        named = OmegaConf.select(config, setting)
        for file in list(named) if isinstance(named, (list, ListConfig)) else [named]:
            fault, remedy, counted = _problem_file(setting, file)
            if fault:
                wrong.append(fault)
                advice.append(remedy)
            else:
                here = "is there" if counted is None else f"{counted} problems"
                found.append(f"{setting}={file}: {'on HDFS, not checked' if str(file).startswith(REMOTE) else here}")
            known = rows[setting]
            rows[setting] = None if known is None or counted is None else known + counted
    if wrong:
        raise CheckFailed("\n".join(wrong), "; ".join(dict.fromkeys(advice)))
    size, limit = int(config.data.train_batch_size), int(config.data.get("train_max_samples") or -1)
    count = rows["data.train_files"]
    if count is not None and limit > 0:
        count = min(count, limit)
    if count is not None and count < size:
        raise CheckFailed(
            f"{count} problems to train on do not fill one batch of data.train_batch_size={size}, and verl drops the "
            "rest of an epoch",
            f"set data.train_batch_size to {count} or less (and actor_rollout_ref.actor.ppo_mini_batch_size with it)",
        )
    return Finding("\n".join(found), details={"problems": rows}, value=True)


def policy(config: DictConfig) -> Finding:
    """Check that the policy's folder holds a config.json. A name on the hub is looked for in the hub's cache alone.

    Raises:
        CheckFailed: a folder that is not there, or holds no model.
    """
    path = str(config.actor_rollout_ref.model.path)
    said = f"actor_rollout_ref.model.path={path}"
    if path.startswith(REMOTE):
        return Finding(f"{said}: on HDFS, not checked", State.SKIPPED)
    if path.startswith("~"):
        raise CheckFailed(
            f"{said}: verl takes the ~ as it stands and finds no such folder",
            f"write actor_rollout_ref.model.path={Path(path).expanduser()}",
        )
    folder = Path(path)
    if folder.exists() or path.startswith(("/", ".")) or path.count("/") > 1:
        if (folder / "config.json").is_file():
            return Finding(f"{said} has a config.json", value=True)
        lacks = "a folder without a config.json" if folder.is_dir() else "no such folder"
        raise CheckFailed(
            f"{said}: {lacks}",
            "set actor_rollout_ref.model.path to a folder in Hugging Face format, or to a name on the hub",
        )
    if local_file(path, "config.json"):
        return Finding(f"{said} is in the hub's cache", value=True)
    return Finding(
        f"{said}: neither a folder here nor in the hub's cache; not looked up",
        State.WARNING,
        "all right if the training machine reaches the hub, which then downloads it; or give a folder",
        value=True,
    )


def sizes(config: DictConfig) -> Finding:
    """Check the sizes that must divide, as far as verl looks at them only once its workers are up.

    Raises:
        CheckFailed: sizes at which verl stops, some of them only after the first rollout.
    """
    faults, heads = size_faults(config), list(_head_faults(config))
    if faults or heads:
        together = shown_sizes(dividing(config)) if faults else ""
        advice = [f"set {together}"] if together else [fault.advice for fault in faults]
        advice += [fault.advice for fault in heads]
        raise CheckFailed("\n".join(fault.found for fault in (*faults, *heads)), "; ".join(advice))
    cut, actor = shares(config), config.actor_rollout_ref.actor
    n, mini, batch = (
        int(config.actor_rollout_ref.rollout.n),
        int(actor.ppo_mini_batch_size),
        config.data.train_batch_size,
    )
    text = f"a mini-batch of {mini * n} responses ({MINI}={mini} x {N}={n}) over {cut.ranks} data-parallel processes"
    details = {
        "processes": cut.processes, "data_parallel": cut.ranks, "mini_batch": mini * n, "batch": int(batch) * n,
    }  # fmt: skip
    if int(batch) % mini:
        ways = shown_sizes(dividing(config)) or f"{BATCH} to a multiple of {MINI}"
        return Finding(
            f"{text}\n{BATCH}={batch} is no multiple of {MINI}={mini}: verl fills the last mini-batch with padding",
            State.WARNING,
            f"set {ways}",
            details,
            value=True,
        )
    return Finding(text, details=details, value=True)


def _head_faults(config: DictConfig) -> Iterator[Fault]:
    """Find parallel sizes that cut the policy's attention heads unevenly, where its config.json is on this machine."""
    file = local_file(str(config.actor_rollout_ref.model.path), "config.json")
    if file is None:
        return
    try:
        heads = int(json.loads(file.read_text(encoding="utf-8"))["num_attention_heads"])
    except (OSError, ValueError, TypeError, KeyError):
        return  # not here, or of a shape that says nothing; the policy's check reports what is missing
    cut = shares(config)
    sequence = cut.parallel if "ulysses" in cut.meaning else 1
    tensor = int(config.actor_rollout_ref.rollout.tensor_model_parallel_size)
    for size, setting in ((tensor, f"{TENSOR}={tensor}"), (sequence, cut.meaning)):
        if heads % size:
            yield Fault(f"the policy's {heads} attention heads do not divide over {setting}", f"lower {setting}")


def _problem_file(setting: str, file: Any) -> tuple[str, str, int | None]:
    """Return what is wrong with a file, what fixes it, and its number of rows.

    The first two are "" when nothing is wrong. The number is None where it is not known.
    """
    if not file:
        return f"{setting} names no file", f"set {setting}", None
    said, path = f"{setting}={file}", Path(os.path.expanduser(str(file)))
    if str(file).startswith(REMOTE):
        return "", "", None
    if str(file).startswith("~"):
        return f"{said}: verl takes the ~ as it stands and finds no such file", f"write {setting}={path}", None
    if not path.is_file():
        if path.stem in SETS and path.suffix == ".parquet":
            advice = f"verl-prpo data {path.stem} --out {path.parent}"
        else:
            advice = f"set {setting} (what prepares a recipe's data stands in the head of the recipe)"
        return f"{said}: {'a folder, not a file' if path.is_dir() else 'no such file'}", advice, None
    if path.suffix not in FORMATS:
        return f"{said}: verl reads {', '.join(FORMATS)}", f"set {setting}", None
    if path.suffix != ".parquet":
        return "", "", None
    import pyarrow.parquet

    try:
        return "", "", int(pyarrow.parquet.read_metadata(path).num_rows)
    except Exception as error:  # of Arrow or of the file system
        return f"{said} cannot be read: {type(error).__name__}: {error}", f"write {path} anew", None
