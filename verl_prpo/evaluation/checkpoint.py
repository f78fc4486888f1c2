# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What the user means by MODEL: a Hugging Face model, or one of the folders that verl writes its checkpoints to."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from verl_prpo.evaluation import EvaluationError

LATEST = "latest_checkpointed_iteration.txt"
_STEP = re.compile(r"global_step_(\d+)")
_SHARD = re.compile(r"model_world_size_(\d+)_rank_(\d+)\.pt")


@dataclass(frozen=True)
class FoundModel:
    """Where a model's weights are.

    Attributes:
        where: a folder, or a name on the Hugging Face hub.
        backend: "fsdp" or "megatron" for shards that must be merged first, None for a Hugging Face model.
        said: what was chosen, for people.
        files: the weights and settings, by whose sizes and times a change shows; none for a hub name.
    """

    where: str
    backend: str | None
    said: str
    files: tuple[Path, ...] = ()

    def identity(self) -> dict[str, object]:
        """What two evaluations of the same model share: the place, and each file's name, size and time of change."""
        stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in self.files]
        return {"where": self.where, "files": [list(stat) for stat in stats]}


def find_model(named: str) -> FoundModel:
    """Find a model.

    Args:
        named: a hub name, a folder with a Hugging Face model, or a folder of verl: a run's (its newest checkpoint is
            taken), global_step_N, or the actor's within it.

    Raises:
        EvaluationError: a folder without a complete model; says what is missing.
    """
    folder = Path(named).expanduser()
    if folder.is_dir():
        return _in_folder(folder.resolve())
    if folder.exists():
        raise EvaluationError(f"MODEL {named} is a file; give the folder of the model or checkpoint")
    if named.startswith((".", "/", "~")) or named.count("/") > 1:
        raise EvaluationError(f"MODEL {named}: no such folder")
    return FoundModel(named, None, f"{named} of the Hugging Face hub")


def _in_folder(folder: Path) -> FoundModel:
    if _STEP.fullmatch(folder.name) or (folder / "actor").is_dir():
        return _actor(folder / "actor", folder)
    steps = {int(match[1]): path for path in folder.iterdir() if (match := _STEP.fullmatch(path.name))}
    if steps:
        return _newest(folder, steps)
    if folder.name == "actor" or _shards(folder):
        return _actor(folder, folder.parent)
    if weights := _weights(folder):
        settings = [folder / name for name in ("config.json", "generation_config.json", "chat_template.jinja")]
        present = tuple(file for file in settings if file.is_file())
        return FoundModel(str(folder), None, str(folder), (*present, *weights))
    here = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
    what = "config.json but no weights" if (folder / "config.json").is_file() else "neither a model nor a checkpoint"
    raise EvaluationError(
        f"MODEL {folder} has {what} (there: {here}); give a Hugging Face folder with config.json and weights, or one "
        "of verl's: the run's, global_step_N or global_step_N/actor"
    )


def _newest(folder: Path, steps: dict[int, Path]) -> FoundModel:
    newest = max(steps)
    marker = folder / LATEST
    latest = marker.read_text().strip() if marker.is_file() else ""
    why = f"the newest of {len(steps)}" if len(steps) > 1 else "the only one"
    if latest.isdigit() and int(latest) in steps:
        newest, why = int(latest), f"named in {LATEST}"
    found = _actor(steps[newest] / "actor", steps[newest])
    return FoundModel(found.where, found.backend, f"{found.said}, {why}", found.files)


def _actor(actor: Path, step: Path) -> FoundModel:
    """The checkpoint of an actor: `huggingface` where verl was told to save it whole, else its shards."""
    if not actor.is_dir():
        raise EvaluationError(f"MODEL {step}: no folder actor in it; is the checkpoint still being written?")
    if _has_model(whole := actor / "huggingface"):
        return FoundModel(str(whole), None, str(whole), tuple(_weights(whole)))
    if (actor / "model").is_dir():
        files = tuple(sorted(path for path in (actor / "model").rglob("*") if path.is_file()))
        return FoundModel(str(actor), "megatron", f"Megatron checkpoint {actor}", files)
    shards = _shards(actor)
    settings = actor / "fsdp_config.json"
    if not shards or not settings.is_file():
        lacks = "fsdp_config.json" if shards else "model_world_size_N_rank_M.pt"
        raise EvaluationError(
            f"MODEL {actor}: no {lacks} in it; a checkpoint of verl has it when actor.checkpoint.save_contents "
            "includes model"
        )
    world_size = json.loads(settings.read_text())["world_size"]
    names = {f"model_world_size_{world_size}_rank_{rank}.pt" for rank in range(world_size)}
    missing = sorted(names - {shard.name for shard in shards})
    if missing:
        raise EvaluationError(
            f"MODEL {actor}: {len(missing)} of {world_size} shards are missing, such as {missing[0]}; copy the shards "
            "of all nodes into one folder"
        )
    return FoundModel(str(actor), "fsdp", f"FSDP checkpoint {actor}", (settings, *shards))


def _shards(folder: Path) -> list[Path]:
    return _matching(folder.iterdir(), _SHARD)


def _matching(paths: Iterable[Path], pattern: re.Pattern[str]) -> list[Path]:
    return sorted(path for path in paths if pattern.fullmatch(path.name))


def _weights(folder: Path) -> list[Path]:
    return _matching(folder.iterdir(), re.compile(r".*\.safetensors|pytorch_model.*\.bin")) if _has(folder) else []


def _has(folder: Path) -> bool:
    return (folder / "config.json").is_file()


def _has_model(folder: Path) -> bool:
    return folder.is_dir() and bool(_weights(folder))
