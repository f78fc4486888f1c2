# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Follow the trust of a run in its PRM. It is measured on each batch, logged, and kept with checkpoints.

`credit=trust` uses it. It is measured under every credit that asks a PRM, so a run under another credit shows what this
one would give. The statistics are in `verl_prpo.method.trust`.
"""

import json
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from verl_prpo.method.trust import Agreement, Trust, agreement
from verl_prpo.settings.prpo import PrpoConfig
from verl_prpo.step.credit import ProcessRewards

FILE = "prpo_trust.json"
"""Name of the file in the folder of a checkpoint."""
SILENCE = 10
"""Least number of steps between two lines on the same data source."""


@dataclass(frozen=True)
class Judged:
    """What the outcomes of a batch say of its responses, rollout by rollout.

    Attributes:
        right: True or False, or None where nothing says which.
        uids: uid of each rollout's group.
        data_sources: verl's `data_source` of each.
    """

    right: Sequence[bool | None]
    uids: Sequence[Hashable]
    data_sources: Sequence[str]


class RunTrust:
    """Follows the trust of a run, step by step."""

    def __init__(self, settings: PrpoConfig):
        self._settings = settings
        self._trust = Trust()
        self._said: dict[str, tuple[int, bool]] = {}

    def weights(
        self, step: int, batch: Hashable, rewards: ProcessRewards, response_mask: Tensor, judged: Judged
    ) -> Tensor:
        """Take up a batch, and give each of its responses the weight of its process advantage.

        Args:
            step: of the training.
            batch: what identifies the batch. A batch that comes again in a step counts once.
            rewards: scores of its rollouts.
            response_mask: int `[n, L]`.
            judged: what the outcomes say of its rollouts.

        Returns:
            w, float32 `[n]`: the weight that was earned, or `algorithm.prpo.process_weight` where that is a number.
        """
        sources = np.asarray([str(source) for source in judged.data_sources], dtype=object)
        right = torch.tensor([math.nan if fine is None else float(fine) for fine in judged.right])
        uids = np.asarray([str(uid) for uid in judged.uids], dtype=object)
        left_out = None if rewards.outcomes is None else rewards.outcomes.truncated
        found = {}
        for source in dict.fromkeys(sources):
            rows = torch.from_numpy(np.flatnonzero(sources == source))
            found[source] = agreement(
                rewards.process_scores[rows],
                right[rows],
                response_mask[rows],
                uids[rows.numpy()],
                scored=rewards.scored[rows],
                left_out=None if left_out is None else left_out[rows],
            )
        self._trust.observe(step, batch, found)
        if self._settings.process_weight != "auto":
            return torch.full((len(sources),), float(self._settings.process_weight))
        return torch.tensor([self._trust.weight(source) for source in sources], dtype=torch.float32)

    @property
    def of(self) -> dict[str, Agreement]:
        """The agreement that was measured so far, by data source."""
        return self._trust.of

    def lines(self, step: int) -> list[str]:
        """Write lines for people: which data source's weight left 0 or fell back to it, under `process_weight=auto`."""
        if self._settings.credit != "trust" or self._settings.process_weight != "auto":
            return []
        said = []
        for source, sums in self._trust.of.items():
            before, trusted = self._said.get(source, (-SILENCE, False))
            if (sums.weight > 0) == trusted or step - before < SILENCE:
                continue
            self._said[source] = (step, not trusted)
            on = f" on {source}" if len(self._trust.of) > 1 else ""
            seen = f"its scores and the outcomes correlate by {sums.correlation:.2f} +- {sums.standard_error:.2f}"
            what = (
                f"the process advantage has earned a weight of {sums.weight:.2f}{on}. It acts in all-equal groups"
                if sums.weight > 0
                else f"the process advantage has lost its weight{on}. Training is GRPO"
            )
            said.append(f"{what} ({seen}, over about {sums.groups:.0f} mixed groups)")
        return said

    def save(self, folder: Path) -> None:
        """Write the trust beside a checkpoint."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_text(json.dumps(self._trust.state(), indent=1))

    def load(self, folder: Path) -> str | None:
        """Go on from what a checkpoint holds.

        Returns:
            None, or a line on why trust is measured from the start again.
        """
        path = folder / FILE
        anew = "trust in the PRM is measured anew, and the first steps are GRPO's"
        try:
            self._trust.restore(json.loads(path.read_text()))
        except FileNotFoundError:
            return f"{path} is not there: {anew}"
        except (ValueError, TypeError, AttributeError, OSError) as error:
            return f"{path} cannot be used ({error}): {anew}"
        return None
