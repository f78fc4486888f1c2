# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Read a model's config.json, and load a checkpoint with a head of its own, whole or not at all."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from verl_prpo.prm.families.base import PrmError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def read_model_config(model_path: str) -> dict[str, Any]:
    """Read a model's `config.json`, from its folder or the hub.

    Raises:
        PrmError: there is none, or it holds no JSON object.
    """
    where = f"reward.prm.model_path={model_path}"
    folder = Path(model_path)
    if folder.is_dir():
        path = folder / "config.json"
        if not path.is_file():
            raise PrmError(
                f"{where} is a folder without a config.json. Give the one that holds config and weights"
                + _adapter_hint(folder)
            )
    elif folder.exists():
        raise PrmError(f"{where} is a file. Give the folder in Hugging Face format that it belongs to")
    elif model_path.startswith(("/", ".", "~")):
        raise PrmError(
            f"{where}: there is no such folder on this node. Give the absolute path of one that every node can read, "
            "or a name on the hub"
        )
    else:
        from transformers.utils import cached_file

        try:
            path = Path(cached_file(model_path, "config.json"))
        except Exception as error:  # of the file system, the hub's client, or the network beneath it
            raise PrmError(f"{where} is neither a folder nor a model on the hub with a config.json: {error}") from error
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PrmError(f"the config.json of {where} cannot be read: {type(error).__name__}: {error}") from error
    if not isinstance(config, dict):
        raise PrmError(f"the config.json of {where} holds a {type(config).__name__} where an object belongs")
    return config


def local_file(model_path: str | None, name: str) -> Path | None:
    """Find a file of a model, in its folder or in the hub's cache.

    Nothing is downloaded. Where the file is not on this machine, the result is None.
    """
    if not model_path:
        return None
    folder = Path(model_path).expanduser()
    if not folder.is_dir():
        try:
            from huggingface_hub import try_to_load_from_cache

            cached = try_to_load_from_cache(model_path, name)
        except Exception:  # a path that is no name of a repository
            return None
        return Path(cached) if isinstance(cached, str) else None
    return folder / name if (folder / name).is_file() else None


def _adapter_hint(folder: Path) -> str:
    """Say for a message what to do with a folder that holds an adapter alone, or return "" for any other folder."""
    try:
        adapter = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        base = adapter.get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError):
        return ""
    return (
        f". This one holds a LoRA adapter of {base}: merge it into that model (peft's merge_and_unload), and save the "
        "model with its tokenizer"
    )


def label_count(model_config: dict[str, Any]) -> int:
    """Return the number of classes in a `config.json`, where transformers leaves out its default of two."""
    if isinstance(model_config.get("id2label"), dict):
        return len(model_config["id2label"])
    return model_config.get("num_labels", 2)


def context_length(model_path: str, trust_remote_code: bool) -> int:
    """Return the length of the longest sequence that a model was made for, in tokens.

    Raises:
        PrmError: its config does not say.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(model_path, trust_remote_code=trust_remote_code)
    context = config.get_text_config().to_dict().get("max_position_embeddings")
    if context is None:
        raise PrmError(
            f"the config.json of reward.prm.model_path={model_path} has no max_position_embeddings, so the longest "
            "dialogue it can read is unknown. Choose another model, or set reward.prm.custom_family"
        )
    return context


def load_with_head(
    cls: Any, model_path: str, dtype: torch.dtype, *, head: str, wanted: str, fix: str, **options: Any
) -> "PreTrainedModel":
    """Load a model with a head that gives scores, in evaluation mode on the CPU, with every weight from the checkpoint.

    Args:
        cls: a class of transformers that has `from_pretrained`.
        model_path: a local folder or hub name in Hugging Face format.
        dtype: of the weights.
        head: how the names of the head's weights begin.
        wanted: the model, for messages.
        fix: the setting to change, for messages.
        options: further arguments of `from_pretrained`.

    Raises:
        PrmError: weights are missing, not known or of another shape.
    """
    try:
        model, loading = cls.from_pretrained(
            model_path,
            dtype=dtype,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
            **options,
        )
    except RuntimeError as error:
        raise PrmError(
            f"the weights in reward.prm.model_path={model_path} do not fit {wanted}: {error}. {fix}"
        ) from error
    require_complete(loading, model_path, head, wanted, fix)
    return model.eval()


def require_complete(loading: Mapping[str, Any], model_path: str, head: str, wanted: str, fix: str) -> None:
    """Check that a checkpoint held every weight of the family's model and no other.

    Args:
        loading: what transformers reports with `output_loading_info`.
        model_path: of the checkpoint.
        head: how the names of the head's weights begin.
        wanted: the model, for the message.
        fix: the setting to change.

    Raises:
        PrmError: the weights that are missing, not known or of another shape.
    """
    missing, unexpected = (sorted(loading.get(kind) or ()) for kind in ("missing_keys", "unexpected_keys"))
    misfits = [
        f"{name} {list(there)} where {list(belongs)} belongs"
        for name, there, belongs in sorted(loading.get("mismatched_keys") or ())
    ]
    if missing or unexpected or misfits:
        what = "has no process-reward head" if any(key.startswith(head) for key in missing) else "is not complete"
        raise PrmError(
            f"reward.prm.model_path={model_path} {what} as {wanted} (missing: {_some(missing)}; not known: "
            f"{_some(unexpected)}; of another shape: {_some(misfits)}). With random weights in their place its scores "
            f"would mean nothing. {fix}"
        )


def _some(keys: Sequence[str]) -> str:
    return ", ".join(keys[:4]) + (f" and {len(keys) - 4} more" if len(keys) > 4 else "") if keys else "none"
