# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Load a causal language model whole, and get its logits at the tokens that matter."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from verl_prpo.prm.encoding.tensors import padded_ids
from verl_prpo.prm.families.base import Encoded, PrmError
from verl_prpo.prm.families.checkpoints import read_model_config
from verl_prpo.prm.families.registry import claiming_families, register_built_in_families

_HEADS = ("score.", "v_head.", "value_head.", "reward_head.", "classifier")
"""How the names of the weights of a reward model's head begin. A causal language model loads without such weights."""


def load_causal_lm(
    model_path: str,
    family: str,
    *,
    device: torch.device,
    dtype: torch.dtype,
    trust_remote_code: bool,
    setting: str = "reward.prm.model_path",
) -> Any:
    """Load a causal language model in evaluation mode, with all its weights and no head beside the output embeddings.

    Args:
        model_path: a local folder or hub name in Hugging Face format.
        family: the name of the family that reads it, for messages.
        device: where the weights go.
        dtype: of the weights.
        trust_remote_code: passed on to transformers.
        setting: the one that names the model, for messages.

    Raises:
        PrmError: weights are missing, or there is a head that would not be read.
    """
    model, loading = AutoModelForCausalLM.from_pretrained(
        model_path, dtype=dtype, trust_remote_code=trust_remote_code, output_loading_info=True
    )
    if loading["missing_keys"]:
        raise PrmError(
            f"{setting}={model_path} lacks weights of a causal language model "
            f"({', '.join(sorted(loading['missing_keys'])[:4])}), as which the family {family} reads it. Choose "
            "another model, or set reward.prm.family to the family of this one"
        )
    heads = sorted(key for key in loading["unexpected_keys"] if key.startswith(_HEADS))
    if heads:
        raise PrmError(
            f"{setting}={model_path} is a reward model or classifier: it has a head ({heads[0]}) which the family "
            f"{family} would not read. Set reward.prm.family or reward.prm.custom_family to the family of this model, "
            "or choose another model"
        )
    return model.to(device).eval()


def refuse_known_prm(model_path: str, family: str, setting: str = "reward.prm.model_path") -> None:
    """Check that no other family claims a model by its config.

    Raises:
        PrmError: another family claims it.
    """
    register_built_in_families()
    others = [name for name in claiming_families(read_model_config(model_path)) if name != family]
    if others:
        raise PrmError(
            f"{setting}={model_path} is a process reward model ({', '.join(others)}), not a language model that the "
            f"family {family} could read. Leave reward.prm.family unset"
        )


def logits_at(
    model: Any, batch: Sequence[Encoded], where: tuple[torch.Tensor, torch.Tensor], family: str
) -> torch.Tensor:
    """Return the logits of the next token `[positions, vocabulary]`, in the model's dtype, by one padded forward pass.

    Args:
        model: a causal language model.
        batch: the dialogues.
        where: row and column (int64, `[positions]` each) of the tokens after which the logits are wanted.
        family: the name of the family, for messages.

    Raises:
        PrmError: the model's logits do not come from its output embeddings.
    """

    def only_where(_: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (args[0][where], *args[1:])  # [rows, longest, hidden] -> [positions, hidden]

    # Logits over the vocabulary at every position would outweigh the model. The hook leaves what models do to their
    # logits (scaling, soft caps) in place, which reading the hidden states would not.
    hook = model.get_output_embeddings().register_forward_pre_hook(only_where)
    try:
        logits = model(input_ids=padded_ids(batch, model.device), use_cache=False).logits
    finally:
        hook.remove()
    if logits.shape[:-1] != where[0].shape:
        raise PrmError(
            f"{type(model).__name__} does not put its hidden states through its output embeddings, which the family "
            f"{family} relies on. Choose another model for reward.prm.model_path"
        )
    return logits
