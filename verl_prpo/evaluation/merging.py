# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""verl's shards as one Hugging Face model, by verl's own merger, kept for the next evaluation."""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from verl_prpo.evaluation import EvaluationError
from verl_prpo.evaluation.checkpoint import FoundModel
from verl_prpo.settings.timeouts import MERGE_TIMEOUT

_TAIL_LINES = 15


def merged_model(found: FoundModel, cache: Path, trust_remote_code: bool = False) -> tuple[Path, bool]:
    """The Hugging Face model of a checkpoint, merged unless it is in the cache.

    verl's merger rounds the weights to bfloat16. A LoRA adapter is added to the weights it was trained on.

    Args:
        found: a checkpoint with a backend.
        cache: folder of merged models; each has one of its own, named for the checkpoint and its files.
        trust_remote_code: whether the model's own code may run.

    Returns:
        Its folder, and whether it was there already.

    Raises:
        EvaluationError: the merger fails, or hangs; with the end of its log.
    """
    digest = hashlib.sha256(json.dumps(found.identity()).encode()).hexdigest()[:10]
    source = Path(found.where)
    target = cache / f"{source.parent.parent.name}-{source.parent.name}-{digest}"
    if target.is_dir():
        return target, True
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{target.name}.unfinished-", dir=cache) as folder:
        unfinished = Path(folder) / "model"
        _merge(found, unfinished, cache / f"{target.name}.log", trust_remote_code)
        try:
            unfinished.rename(target)
        except OSError:  # another evaluation of the same checkpoint was faster
            if not target.is_dir():
                raise
    return target, False


def _merge(found: FoundModel, unfinished: Path, log: Path, trust_remote_code: bool) -> None:
    unfinished.mkdir()
    command = [sys.executable, "-m", "verl.model_merger", "merge", "--backend", str(found.backend)]
    command += ["--local_dir", found.where, "--target_dir", str(unfinished)]
    command += ["--trust-remote-code"] if trust_remote_code else []
    _run(command, log, f"{found.said} cannot be merged")
    if (unfinished / "lora_adapter").is_dir():
        _add_adapter(unfinished, found)


def _run(command: list[str], log: Path, failing: str) -> None:
    with log.open("wb") as output:
        try:
            ended = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, timeout=MERGE_TIMEOUT, check=False)
        except subprocess.TimeoutExpired as error:
            raise EvaluationError(
                f"{failing}: verl's merger did not end within {MERGE_TIMEOUT:g} s, see {log}"
            ) from error
    if ended.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
        raise EvaluationError(
            f"{failing}: verl's merger ended with status {ended.returncode}; the end of {log}:\n{tail}"
        )


def _add_adapter(folder: Path, found: FoundModel) -> None:
    """verl's merger leaves a LoRA adapter beside the weights it was trained on, which alone are not the policy."""
    import torch
    from safetensors import safe_open
    from transformers import AutoModelForCausalLM

    try:
        from peft import PeftModel
    except ModuleNotFoundError as error:
        raise EvaluationError(f"{found.said} has a LoRA adapter: pip install peft") from error

    names = {name for file in folder.glob("*.safetensors") for name in safe_open(file, framework="pt").keys()}
    if not names:
        raise EvaluationError(
            f"{found.said} holds a LoRA adapter without the weights it was trained on; train without "
            "actor_rollout_ref.actor.checkpoint.save_lora_only"
        )
    adapter = folder / "lora_adapter"
    if not json.loads((adapter / "adapter_config.json").read_text()).get("lora_alpha"):
        raise EvaluationError(f"{found.said}: no lora_alpha in lora_train_meta.json, so the adapter's scale is unknown")
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    whole = PeftModel.from_pretrained(base, adapter).merge_and_unload()
    for file in folder.glob("*.safetensors*"):
        file.unlink()
    whole.save_pretrained(folder)
    shutil.rmtree(adapter)
