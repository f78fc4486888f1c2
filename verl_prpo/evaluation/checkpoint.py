# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Find what the user means by MODEL, and make one Hugging Face folder of it that verl can load on any number of GPUs.

A checkpoint of verl could also be loaded by `trainer.resume_from_path`. That also needs the base model, and as many
GPUs as the training had. So checkpoints go through `verl.model_merger`, which needs neither.
"""

import hashlib
import json
import re
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from verl_prpo.evaluation import EvaluationError
from verl_prpo.evaluation.process import run_guarded
from verl_prpo.settings.timeouts import MERGE_TIMEOUT

LATEST = "latest_checkpointed_iteration.txt"

_STEP = re.compile(r"global_step_(\d+)")
_SHARD = re.compile(r"model_world_size_(\d+)_rank_(\d+)\.pt")
_WEIGHTS = re.compile(r".*\.safetensors|pytorch_model.*\.bin")
_SETTINGS = re.compile(r"(config|generation_config|adapter_config)\.json|chat_template\.jinja")


@dataclass(frozen=True)
class FoundModel:
    """Where a model's weights are.

    Attributes:
        where: a folder, or a name on the Hugging Face hub.
        backend: "fsdp" or "megatron" for shards that must be merged first, None for a Hugging Face model.
        said: what was chosen, in words for people.
        files: the weights and settings, by whose sizes and times a change shows. It is empty for a hub name.
    """

    where: str
    backend: str | None
    said: str
    files: tuple[Path, ...] = ()

    def identity(self) -> dict[str, object]:
        """Return what two evaluations of the same model share: the place, and each file's name, size and time of
        change.
        """
        stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in self.files]
        return {"where": self.where, "files": [list(stat) for stat in stats]}


def find_model(named: str) -> FoundModel:
    """Find a model.

    Args:
        named: a hub name, a folder with a Hugging Face model, or a folder of verl: a run's (its newest checkpoint is
            taken), global_step_N, or the actor's within it.

    Raises:
        EvaluationError: the folder has no complete model. The message says what is missing.
    """
    folder = Path(named).expanduser()
    if folder.is_dir():
        return _in_folder(folder.resolve())
    if folder.exists():
        raise EvaluationError(f"MODEL {named} is a file. Give the folder of the model or checkpoint")
    if named.startswith((".", "/", "~")) or named.count("/") > 1:
        raise EvaluationError(f"MODEL {named}: no such folder")
    return FoundModel(named, None, f"{named} of the Hugging Face hub")


def _in_folder(folder: Path) -> FoundModel:
    steps = {int(match[1]): path for path in folder.iterdir() if (match := _STEP.fullmatch(path.name))}
    if steps:
        newest, why = max(steps), f"the newest of {len(steps)}" if len(steps) > 1 else "the only one"
        latest = (folder / LATEST).read_text().strip() if (folder / LATEST).is_file() else ""
        if latest.isdigit() and int(latest) in steps:
            newest, why = int(latest), f"named in {LATEST}"
        found = _actor(steps[newest] / "actor")
        return replace(found, said=f"{found.said}, {why}")
    if _STEP.fullmatch(folder.name) or (folder / "actor").is_dir():
        return _actor(folder / "actor")
    if folder.name == "actor" or _named(folder, _SHARD):
        return _actor(folder)
    if files := _whole(folder):
        return FoundModel(str(folder), None, str(folder), files)
    here = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
    what = "config.json but no weights" if (folder / "config.json").is_file() else "neither a model nor a checkpoint"
    raise EvaluationError(
        f"MODEL {folder} has {what} (there: {here}). Give a Hugging Face folder with config.json and weights, or one "
        "of verl's: the run's, global_step_N or global_step_N/actor"
    )


def _actor(actor: Path) -> FoundModel:
    """Find the checkpoint of an actor: `huggingface` where verl was asked to save the model whole, else its shards."""
    if not actor.is_dir():
        raise EvaluationError(f"MODEL {actor.parent}: no folder actor in it. Is the checkpoint still being written?")
    if files := _whole(actor / "huggingface"):
        return FoundModel(str(actor / "huggingface"), None, str(actor / "huggingface"), files)
    if (actor / "model").is_dir():
        files = tuple(sorted(path for path in (actor / "model").rglob("*") if path.is_file()))
        return FoundModel(str(actor), "megatron", f"Megatron checkpoint {actor}", files)
    shards, settings = _named(actor, _SHARD), actor / "fsdp_config.json"
    if not shards or not settings.is_file():
        lacks = "fsdp_config.json" if shards else "model_world_size_N_rank_M.pt"
        raise EvaluationError(
            f"MODEL {actor}: no {lacks} in it. A checkpoint of verl has it when actor.checkpoint.save_contents "
            "includes model"
        )
    size = json.loads(settings.read_text())["world_size"]
    wanted = [actor / f"model_world_size_{size}_rank_{rank}.pt" for rank in range(size)]
    if missing := [shard.name for shard in wanted if shard not in shards]:
        raise EvaluationError(
            f"MODEL {actor}: {len(missing)} of {size} shards are missing, such as {missing[0]}. Copy the shards of all "
            "nodes into one folder"
        )
    return FoundModel(str(actor), "fsdp", f"FSDP checkpoint {actor}", (settings, *wanted))


def _named(folder: Path, pattern: re.Pattern[str]) -> tuple[Path, ...]:
    return tuple(sorted(path for path in folder.iterdir() if pattern.fullmatch(path.name)))


def _whole(folder: Path) -> tuple[Path, ...]:
    """Return the settings and weights of a Hugging Face folder, or nothing where one of them is missing."""
    weights = _named(folder, _WEIGHTS) if (folder / "config.json").is_file() else ()
    return (*_named(folder, _SETTINGS), *weights) if weights else ()


def merged_model(found: FoundModel, cache: Path, trust_remote_code: bool = False) -> tuple[Path, bool]:
    """Return the Hugging Face model of a checkpoint, merged by verl unless it is in the cache.

    verl's merger rounds the weights to bfloat16. It leaves a LoRA adapter in `lora_adapter/` beside the weights that it
    was trained on, see `adapter_overrides`.

    Args:
        found: a checkpoint with a backend.
        cache: folder of merged models. Each model has a folder of its own in it, named for the checkpoint and its
            files.
        trust_remote_code: whether the model's own code may run.

    Returns:
        The model's folder, and whether it was there already.

    Raises:
        RunFailed: the merger fails or hangs. The message shows the end of its log.
    """
    digest = hashlib.sha256(json.dumps(found.identity()).encode()).hexdigest()[:10]
    source = Path(found.where)
    target = cache / f"{source.parent.parent.name}-{source.parent.name}-{digest}"
    if target.is_dir():
        return target, True
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{target.name}.unfinished-", dir=cache) as folder:
        unfinished = Path(folder) / "model"
        command = [sys.executable, "-m", "verl.model_merger", "merge", "--backend", str(found.backend)]
        command += ["--local_dir", found.where, "--target_dir", str(unfinished)]
        command += ["--trust-remote-code"] if trust_remote_code else []
        run_guarded(command, cache / f"{target.name}.log", MERGE_TIMEOUT, f"{found.said} cannot be merged")
        adapter_overrides(unfinished)
        try:
            unfinished.rename(target)
        except OSError:  # another evaluation of the same checkpoint was faster
            if not target.is_dir():
                raise
    return target, False


def adapter_overrides(model: Path) -> list[str]:
    """Return verl's settings for a LoRA adapter that its merger left beside the weights. The list is empty without one.

    Raises:
        EvaluationError: the adapter lacks the weights it was trained on, or its scale is unknown.
    """
    adapter = model / "lora_adapter"
    if not adapter.is_dir():
        return []
    if not _named(model, _WEIGHTS):
        raise EvaluationError(
            "the checkpoint holds a LoRA adapter without the weights it was trained on. Train without "
            "actor_rollout_ref.actor.checkpoint.save_lora_only"
        )
    settings = json.loads((adapter / "adapter_config.json").read_text())
    if not settings.get("lora_alpha"):
        raise EvaluationError("no lora_alpha in the checkpoint's lora_train_meta.json: the adapter's scale is unknown")
    return [
        f"actor_rollout_ref.model.lora_adapter_path={adapter}",
        f"actor_rollout_ref.model.lora_rank={settings['r']}",
        f"actor_rollout_ref.model.lora_alpha={settings['lora_alpha']}",
        "++actor_rollout_ref.model.lora.merge=True",
    ]
