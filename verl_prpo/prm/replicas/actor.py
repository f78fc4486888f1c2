# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Hold one replica of the PRM in a Ray actor, or the connection to the servers that hold it, or a score function.

The actor returns plain data alone: results, a description, and faults as a `PrmError` of text. A family's own types
need not be known in the process that gets them. The actor's log has the tracebacks.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ray
import torch
from transformers import PreTrainedModel

from verl_prpo.prm.families import family_setting
from verl_prpo.prm.families.base import PrmError, PrmFamily
from verl_prpo.prm.in_process.engine import dtype_of, open_in_process_engine
from verl_prpo.prm.results import PrmRequest, PrmResult
from verl_prpo.prm.score_function.engine import FunctionScale, ScoreFunctionEngine, open_score_function
from verl_prpo.prm.served import open_served
from verl_prpo.settings.prm import SCORE_FUNCTION
from verl_prpo.settings.prpo import engine_of, judge_of

if TYPE_CHECKING:
    from verl_prpo.prm.generated.engine import JudgeEngine
    from verl_prpo.prm.server.engine import ServedEngine
    from verl_prpo.settings.prpo import PrmConfig

RAY_RESOURCE = {"npu": "NPU"}
"""Ray's name of the resource, by device type. Every other device that is not a CPU counts as GPU in Ray."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PrmDescription:
    """What the trainer needs to know of the PRM that was loaded.

    Attributes:
        family: its name.
        score_range: least and greatest score.
        prior_mean, prior_std: mean and standard deviation of the prior on the scores, in units of the score.
        max_context: longest dialogue, in tokens. None for a score function, which has no limit.
        model_path: where it was loaded from.
        device, dtype: as torch names them. "" with a server, which has its own, and with a score function.
        engine: in_process, server, reward_model or score_function.
        servers: base URLs, without passwords. Empty where there are no servers.
    """

    family: str
    score_range: tuple[float, float]
    prior_mean: float
    prior_std: float
    max_context: int | None
    model_path: str
    device: str
    dtype: str
    engine: str = "in_process"
    servers: tuple[str, ...] = ()


class PrmReplica:
    """One replica of the PRM in an actor of its own. Call `load` first."""

    def load(self, config: "PrmConfig", device_type: str) -> PrmDescription:
        """Load the configured PRM.

        Args:
            config: `reward.prm`.
            device_type: "cuda", "npu" or "cpu", where the weights go.

        Raises:
            PrmError: the PRM cannot be used as configured.
        """
        where = f"reward.prm.model_path={config.model_path} cannot be loaded with {family_setting(config)}: "
        with _faults_as_text(where):
            device = _own_device(device_type)
            self._engine = open_in_process_engine(config, device)
            if config.compile:
                compile_models(self._engine.family)
            dtype = dtype_of(config, device_type)
            self._description = _description(self._engine.family, config, device=str(device), dtype=dtype)
        return self._description

    def describe(self) -> PrmDescription:
        """Return the description of the PRM that was loaded."""
        return self._description

    def score(self, requests: Sequence[PrmRequest]) -> list[PrmResult]:
        """Return one result per request, see `InProcessEngine.score`.

        Raises:
            PrmError: the device ran out of memory, or the family's forward pass fails.
        """
        with _faults_as_text(""):
            return self._engine.score(requests)


class AsyncReplica:
    """An async actor that passes requests to the PRM's servers, or to the processes of a score function. Call `load`
    first."""

    async def load(self, config: "PrmConfig", urls: Sequence[str]) -> PrmDescription:
        """Check the servers, and load the PRM's tokenizer and config. With a score function, load that.

        Args:
            config: `reward.prm`.
            urls: base URLs of the servers, none with a score function.

        Raises:
            PrmError: a server is not up, or the PRM or the function cannot be used as configured.
        """
        self._engine: ServedEngine | JudgeEngine | ScoreFunctionEngine
        servers: tuple[str, ...] = ()
        if engine_of(config) == SCORE_FUNCTION:
            with _faults_as_text("reward.prm.score_function: "):
                self._engine = await open_score_function(config)
        else:
            where = f"reward.prm.model_path={config.model_path} cannot be opened with {family_setting(config)}: "
            with _faults_as_text(where):
                self._engine = await open_served(config, urls)
                servers = tuple(server.shown for server in self._engine.pool.servers)
        self._description = _description(self._engine.family, config, device="", dtype="", servers=servers)
        return self._description

    async def describe(self) -> PrmDescription:
        """Return the description of the PRM that was opened."""
        return self._description

    async def score(self, requests: Sequence[PrmRequest]) -> list[PrmResult]:
        """Return one result per request, see the engines' `score`. Several calls run at once.

        Raises:
            PrmError: the family fails.
        """
        with _faults_as_text(""):
            return await self._engine.score(requests)


def compile_models(family: PrmFamily) -> None:
    """Put the trunk of every transformers model that the family holds through torch.compile, in place.

    Raises:
        PrmError: the family holds none.
    """
    held = [value for value in vars(family).values() if isinstance(value, torch.nn.Module)]
    models = [m for module in held for m in module.modules() if isinstance(m, PreTrainedModel)]
    trunks = {id(m): m for m in models if not any(isinstance(c, PreTrainedModel) for c in m.children())}
    if not trunks:
        raise PrmError(
            f"reward.prm.compile=true: the PRM family {family.name} holds no transformers model that could be "
            "compiled. Unset it"
        )
    for trunk in trunks.values():
        trunk.compile(dynamic=True)  # batches differ in rows and length


def _description(
    family: PrmFamily | FunctionScale, config: "PrmConfig", device: str, dtype: str, servers: tuple[str, ...] = ()
) -> PrmDescription:
    low, high = family.score_range
    return PrmDescription(
        family=family.name,
        score_range=(float(low), float(high)),
        prior_mean=float(family.prior_mean),
        prior_std=float(family.prior_std),
        max_context=family.max_context,
        model_path=judge_of(config),
        device=device,
        dtype=dtype,
        engine=engine_of(config),
        servers=servers,
    )


@contextmanager
def _faults_as_text(doing: str) -> Iterator[None]:
    try:
        yield
    except PrmError as error:
        raise PrmError(str(error)) from None  # without a subclass, or arguments, that only this process knows
    except Exception as error:
        _log.exception("the PRM replica failed")
        raise PrmError(f"{doing}{type(error).__name__}: {error}") from None


def _own_device(device_type: str) -> torch.device:
    if device_type == "cpu":
        return torch.device("cpu")
    module = torch.get_device_module(device_type)
    resource = RAY_RESOURCE.get(device_type, "GPU")
    assigned = ray.get_runtime_context().get_accelerator_ids().get(resource, [])
    # Ray hides the other devices, unless RAY_EXPERIMENTAL_NOSET_*_VISIBLE_DEVICES says not to.
    hidden = not assigned or module.device_count() <= len(assigned)
    return torch.device(device_type, 0 if hidden else int(assigned[0]))
