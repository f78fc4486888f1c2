# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A local Ray, a PRM that notes what it is asked, and the configuration of the reward-loop workers that ask it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
import verl_configs
from omegaconf import DictConfig, open_dict
from tiny_models import qwen_math_prm, qwen_tokenizer

from verl_prpo.prm.families.qwen_math import QwenMathPrm
from verl_prpo.prm.in_process.engine import InProcessEngine
from verl_prpo.settings.prpo import PrmConfig, prm_config

# A sound PRM that can be watched from another process, and made to hang or to refuse by a text: no real one offers it.
OBSERVED = """
import json
import time

from verl_prpo.prm.families.qwen_math import QwenMathPrm


class Observed(QwenMathPrm):
    name = "observed"

    def encode(self, messages, segments):
        with open({log!r}, "a") as log:
            log.write(json.dumps("".join(segments)) + "\\n")
        if "unreadable" in "".join(segments):
            raise ValueError("this text cannot be read")
        return super().encode(messages, segments)

    def forward(self, batch):
        for row in batch:
            text = self.dialogue.tokenizer.decode(row.input_ids)
            if "wait " in text:
                time.sleep(float(text.split("wait ")[1].split(";")[0]))
        return super().forward(batch)
"""


@contextmanager
def local_ray(namespace: str) -> Iterator[None]:
    """A Ray of this process alone, with 4 logical CPUs and 1 logical GPU."""
    ray.init(
        num_cpus=4,
        num_gpus=1,
        namespace=namespace,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=200 * 2**20,
    )
    try:
        yield
    finally:
        ray.shutdown()


@dataclass
class Parts:
    """Folders of one tiny PRM, of the policy's tokenizer, and the log of what the PRM was asked."""

    prm: Path
    policy: Path
    family: Path
    log: Path

    @classmethod
    def build(cls, folder: Path, context: int = 256) -> "Parts":
        parts = cls(folder / "prm", folder / "policy", folder / "observed.py", folder / "asked.jsonl")
        qwen_math_prm(parts.prm, context=context)
        qwen_tokenizer(separator=None).save_pretrained(parts.policy)
        parts.family.write_text(OBSERVED.format(log=str(parts.log)))
        return parts

    def section(self, **settings: Any) -> dict[str, Any]:
        """`reward.prm` for this PRM."""
        return {
            "model_path": str(self.prm),
            "custom_family": {"path": str(self.family), "name": "Observed"},
            "num_cpus_per_replica": 0.5,
            "timeout": 120.0,
            "startup_timeout": 300.0,
            **settings,
        }

    def prm_config(self, **settings: Any) -> PrmConfig:
        return prm_config({"prm": self.section(**settings)})

    def config(self, *overrides: str, **settings: Any) -> DictConfig:
        """verl's whole configuration with this PRM and this policy's tokenizer."""
        config = verl_configs.prpo(f"actor_rollout_ref.model.path={self.policy}", "trainer.device=cpu", *overrides)
        with open_dict(config):
            config.reward.prm = self.section(**settings)
        return config

    def engine(self) -> InProcessEngine:
        """The same PRM in this process."""
        return InProcessEngine(QwenMathPrm.load(str(self.prm), device=torch.device("cpu"), dtype=torch.float32), 4096)

    def forget(self) -> None:
        self.log.unlink(missing_ok=True)

    def asked(self) -> list[str]:
        """The responses that the PRM was asked to score since `forget`."""
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []
