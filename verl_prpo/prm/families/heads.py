# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The check that a checkpoint holds the trunk and the head of a family's model, and nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any

from verl_prpo.prm.families.base import PrmError


def require_complete(loading: Mapping[str, Any], model_path: str, head: str, wanted: str, mend: str) -> None:
    """Check that a checkpoint held every weight of the family's model and no other.

    Args:
        loading: what transformers reports with `output_loading_info`.
        model_path: of the checkpoint.
        head: how the names of the head's weights begin.
        wanted: the model, for the message.
        mend: the setting to change.

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
            f"would mean nothing. {mend}"
        )


def _some(keys: Sequence[str]) -> str:
    return ", ".join(keys[:4]) + (f" and {len(keys) - 4} more" if len(keys) > 4 else "") if keys else "none"
