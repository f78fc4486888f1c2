# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""verl's extension of vLLM's workers, for a server that holds a process reward model.

verl masks logits on every server it launches. A model with a head of its own, such as Qwen2ForProcessRewardModel, has
no logits, so its launch would fail. vLLM takes the class by name (`worker_extension_cls`).
"""

from verl.workers.rollout.vllm_rollout.utils import vLLMColocateWorkerExtension


class PrmWorkerExtension(vLLMColocateWorkerExtension):
    """verl's worker extension, without what only a policy needs."""

    def monkey_patch_model(self, vocab_size: int, banned_token_ids: list[int] | None = None) -> None:
        """Leave the model as it is: a PRM samples no token that would have to be masked, and gets no new weights."""
