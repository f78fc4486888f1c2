# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The list of what the package takes of verl: each symbol, the module that holds it, and why.

verl names no stable interface for most of it. So the list is checked where the plugin hooks in, when verl itself
imports that module. Without the check, a method that verl renames would be overridden in vain, and a run would train
without process rewards or without its dump. `import verl` loads nothing of this. docs/verl.md is drawn from the list,
and a test compares it with the imports and overrides in the code.
"""

import importlib
import inspect
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

ESTIMATOR = "advantage estimator prpo"
MANAGER = "reward manager prm"
VERIFIER = "reward manager math_verifier"
TRAINER = "trainer modes"
SETTINGS = "settings check"
STREAMING = "scores as responses finish"
LAUNCHED = "a PRM that verl launches"
CHECKS = "checks before a run"
COMMANDS = "commands"
CPU = "CPU platform"

PARTS = {
    ESTIMATOR: "`algorithm.adv_estimator=prpo`, registered as verl's own are",
    MANAGER: "`reward.reward_manager.name=prm`",
    VERIFIER: "`reward.reward_manager.name=math_verifier`",
    TRAINER: "every mode of `trainer.v1.trainer_mode` becomes a subclass of verl's own",
    SETTINGS: "the plugin's checks run before verl's validation of a configuration",
    STREAMING: "`reward.prm.schedule=stream`: agent loop workers that hand a finished response to the PRM",
    LAUNCHED: "`reward.prm.engine=reward_model`",
    CHECKS: "what would stop a run later is found before Ray starts. `verl-prpo doctor` asks the same",
    COMMANDS: "`verl-prpo doctor`, `eval` and `data`",
    CPU: "`VERL_PLATFORM=cpu` alone",
}
"""The parts of the package that need verl, with what each is for. The first five are the plugin's hooks."""


class VerlLacks(ImportError):
    """The installed verl lacks what a part of the package takes of it."""


@dataclass(frozen=True)
class Taken:
    """A symbol of verl's.

    Attributes:
        part: the part, of `PARTS`, that needs it.
        module: the module that holds it.
        symbol: its name there, dotted for a method, "" for the module itself.
        why: what it is used for.
        takes: names of its arguments that the package gives or overrides.
        sets: attributes that its methods set on an instance, and that the package reads or sets.
    """

    part: str
    module: str
    symbol: str
    why: str
    takes: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Module and symbol in one."""
        return f"{self.module}.{self.symbol}" if self.symbol else self.module

    def faults(self, whole: str = "") -> list[str]:
        """List what the installed verl lacks of the symbol.

        Args:
            whole: a module that has run to its end, though its import goes on, as in a hook behind it.

        Raises:
            Exception: the error of a module that cannot be imported here for a reason that is not verl's, such as a
                package that is not installed.
        """
        try:
            found: Any = importlib.import_module(self.module)
        except ModuleNotFoundError as error:
            if str(error.name).partition(".")[0] != "verl":
                raise
            return [f"the module {error.name}"]
        if getattr(found.__spec__, "_initializing", False) and self.module != whole:  # what it will hold is not known
            return []
        for part in self.symbol.split(".") if self.symbol else ():
            if not hasattr(found, part):
                return [self.name]
            found = getattr(found, part)
        return [*self._lacking_arguments(found), *self._lacking_attributes(found)]

    def _lacking_arguments(self, function: Any) -> Iterator[str]:
        taken = inspect.signature(inspect.unwrap(function)).parameters if self.takes else {}
        if not any(each.kind is each.VAR_KEYWORD for each in taken.values()):
            yield from (f"the argument {name} of {self.name}" for name in self.takes if name not in taken)

    def _lacking_attributes(self, cls: Any) -> Iterator[str]:
        known = set(_attributes(cls)) if self.sets else set()
        yield from (f"the attribute {name} of {self.name}" for name in self.sets if name not in known)


_LOOP = "verl.experimental.reward_loop"
_MANAGERS = f"{_LOOP}.reward_manager"
_BASE = f"{_MANAGERS}.base"
_V1 = "verl.trainer.ppo.v1"
_MODES = f"{_V1}.trainer_base"
_STREAMS = f"{_V1}.agent_loop_tq"
_WORKER = "AgentLoopWorkerTQ.__ray_actor_class__"
_REWARD = "verl.trainer.ppo.reward"
_ALGORITHMS = "verl.trainer.ppo.core_algos"
_PLATFORM = "verl.plugin.platform"
_CONFIG = "verl.utils.config"
_SCORES = "verl.utils.reward_score"

TAKEN = (
    Taken(ESTIMATOR, _ALGORITHMS, "register_adv_est", "puts `prpo` beside verl's estimators", ("name_or_enum",)),
    Taken(MANAGER, "verl", "DataProto", "what a manager is given"),
    Taken(MANAGER, _MANAGERS, "register", "puts `prm` beside verl's managers"),
    Taken(MANAGER, _BASE, "RewardManagerBase", "the base class", ("config", "tokenizer", "compute_score")),
    Taken(MANAGER, _BASE, "RewardManagerBase.run_single", "scores one response", ("data",)),
    Taken(MANAGER, _REWARD, "load_reward_manager", "makes the manager that gives the outcome", ("config", "tokenizer")),
    Taken(VERIFIER, "verl", "DataProto", "what a manager is given"),
    Taken(VERIFIER, _MANAGERS, "register", "puts `math_verifier` beside verl's managers"),
    Taken(VERIFIER, _BASE, "RewardManagerBase", "the base class", ("config", "tokenizer", "compute_score"), ("loop",)),
    Taken(VERIFIER, _BASE, "RewardManagerBase.run_single", "scores one response", ("data",)),
    Taken(TRAINER, _V1, "", "once it is imported, its modes are replaced"),
    Taken(TRAINER, _MODES, "TRAINER_REGISTRY", "the modes by name"),
    Taken(
        TRAINER,
        _MODES,
        "PPOTrainer",
        "the base class of every mode",
        ("config",),
        ("config", "tokenizer", "global_steps", "reward_loop_manager"),
    ),
    Taken(TRAINER, _MODES, "PPOTrainer._setup", "starts the PRM's replicas once verl's workers are there"),
    Taken(TRAINER, _MODES, "PPOTrainer.get_reward_handles", "who gives rewards as responses finish"),
    Taken(TRAINER, _MODES, "PPOTrainer._compute_reward_colocate", "left out where the PRM is the model", ("batch",)),
    Taken(TRAINER, _MODES, "PPOTrainer.on_sample_begin", "how long responses were waited for"),
    Taken(TRAINER, _MODES, "PPOTrainer.on_sample_end", "how long responses were waited for"),
    Taken(TRAINER, _MODES, "PPOTrainer.step", "adds up counts over the updates of a step", ("metrics", "timing_raw")),
    Taken(
        TRAINER,
        _MODES,
        "PPOTrainer._compute_old_log_prob",
        "the process pass begins here, when entropies are known",
        ("batch", "metrics"),
    ),
    Taken(
        TRAINER,
        _MODES,
        "PPOTrainer._compute_advantage",
        "process scores are collected and handed to the estimator",
        ("batch", "metrics"),
    ),
    Taken(TRAINER, _MODES, "PPOTrainer._compute_metrics", "watches the metrics of a step", ("batch", "metrics")),
    Taken(
        TRAINER,
        _MODES,
        "PPOTrainer._log_rollout_data",
        "adds the column `prpo` to verl's dump",
        ("batch", "timing_raw", "rollout_data_dir"),
    ),
    Taken(
        TRAINER,
        _MODES,
        "PPOTrainer._dump_generations",
        "adds the column `prpo` to verl's dump",
        ("inputs", "outputs", "gts", "scores", "reward_extra_infos_dict", "dump_path"),
    ),
    Taken(TRAINER, _MODES, "PPOTrainer._save_checkpoint", "keeps what the credit `trust` has earned"),
    Taken(TRAINER, _MODES, "PPOTrainer._load_checkpoint", "brings back what the credit `trust` had earned"),
    Taken(TRAINER, _REWARD, "resolve_reward_manager_cls", "the class of the outcome's manager", ("config",)),
    Taken(
        TRAINER,
        _LOOP,
        "RewardLoopManager",
        "its workers are asked for process scores",
        (),
        ("reward_loop_workers", "reward_manager_cls"),
    ),
    Taken(SETTINGS, _CONFIG, "validate_config", "the plugin's checks run before it", ("config",)),
    Taken(STREAMING, "verl.experimental.agent_loop", "AgentLoopOutput", "a finished response"),
    Taken(
        STREAMING,
        _STREAMS,
        "AgentLoopManagerTQ",
        "starts the workers",
        (),
        ("agent_loop_workers_class",),
    ),
    Taken(STREAMING, _STREAMS, "AgentLoopWorkerTQ", "Ray's actor around the worker class"),
    Taken(STREAMING, _STREAMS, f"{_WORKER}._agent_loop_postprocess", "training or validation", ("output", "validate")),
    Taken(STREAMING, _STREAMS, f"{_WORKER}._compute_score", "a response goes to its manager", ("outputs", "kwargs")),
    Taken(
        LAUNCHED,
        _LOOP,
        "RewardLoopManager",
        "the router before the servers, and their replicas, which sleep and wake",
        (),
        ("reward_router_address", "reward_model_manager"),
    ),
    Taken(LAUNCHED, _SCORES, "default_compute_score", "verl's own outcome function, named by its path"),
    Taken(
        LAUNCHED,
        "verl.workers.rollout.vllm_rollout.utils",
        "vLLMColocateWorkerExtension",
        "what verl adds to vLLM's workers, less what only a policy needs",
    ),
    Taken(CHECKS, _PLATFORM, "get_platform", "which device verl finds"),
    Taken(CHECKS, _CONFIG, "omega_conf_to_dataclass", "whether a section is what its dataclass takes", ("config",)),
    Taken(CHECKS, _CONFIG, "validate_config", "verl's own checks", ("config", "use_reference_policy", "use_critic")),
    Taken(CHECKS, "verl.utils.device", "auto_set_device", "the device, as `main_ppo` sets it", ("config",)),
    Taken(CHECKS, "verl.trainer.ppo.utils", "need_critic", "whether there is a critic", ("config",)),
    Taken(CHECKS, "verl.trainer.ppo.utils", "need_reference_policy", "whether there is a reference", ("config",)),
    Taken(CHECKS, _V1, "get_trainer_cls", "the checks of a mode"),
    Taken(CHECKS, _MANAGERS, "", "registers verl's managers"),
    Taken(CHECKS, f"{_MANAGERS}.registry", "REWARD_MANAGER", "names of reward managers"),
    Taken(CHECKS, "verl.workers.rollout.replica", "RolloutReplicaRegistry._registry", "names of rollout engines"),
    Taken(CHECKS, _LOOP, "migrate_legacy_reward_impl", "where verl moves keys of earlier versions"),
    Taken(COMMANDS, "verl", "__version__", "whether it is of the range that was tested, which the plugin asks too"),
    Taken(COMMANDS, "verl", "__file__", "where its configurations are, and the names in its source"),
    Taken(COMMANDS, _ALGORITHMS, "ADV_ESTIMATOR_REGISTRY", "names of estimators"),
    Taken(COMMANDS, _ALGORITHMS, "POLICY_LOSS_REGISTRY", "names of losses"),
    Taken(COMMANDS, _ALGORITHMS, "get_adv_estimator_fn", "whether the plugin is at work"),
    Taken(COMMANDS, _ALGORITHMS, "kl_penalty", "names of KL penalties"),
    Taken(COMMANDS, _ALGORITHMS, "get_kl_controller", "names of KL controllers"),
    Taken(COMMANDS, _MANAGERS, "get_reward_manager_cls", "the manager whose verdicts an evaluation counts"),
    Taken(COMMANDS, "verl.utils.tracking", "Tracking.supported_backend", "names of loggers"),
    Taken(COMMANDS, "verl.experimental.agent_loop", "", "registers verl's agent loops"),
    Taken(COMMANDS, "verl.experimental.agent_loop.agent_loop", "_agent_loop_registry", "names of agent loops"),
    Taken(COMMANDS, "verl.experimental.agent_loop.tool_parser", "ToolParser._registry", "names of tool formats"),
    Taken(COMMANDS, "verl.checkpoint_engine", "CheckpointEngineRegistry._registry", "names of weight transfers"),
    Taken(COMMANDS, "verl.workers.engine", "EngineRegistry._engines", "names of training engines"),
    Taken(COMMANDS, _REWARD, "get_custom_reward_fn", "whether a reward function can be imported"),
    Taken(COMMANDS, f"{_SCORES}.math_reward", "is_equiv", "a second opinion on answers of MATH"),
    Taken(COMMANDS, "verl.trainer.main_ppo", "", "the training command, which an evaluation starts with val_only"),
    Taken(COMMANDS, "verl.model_merger", "", "merges a checkpoint before its evaluation"),
    Taken(CPU, _PLATFORM, "PlatformBase", "the base class of a platform"),
    Taken(CPU, _PLATFORM, "PlatformRegistry", "puts `cpu` beside verl's platforms"),
    Taken(CPU, f"{_PLATFORM}.platform_manager", "", "the logger that says no accelerator was found"),
    Taken(
        CPU,
        "verl.utils.distributed",
        "initialize_global_process_group_ray",
        "gets one backend for one device",
        ("timeout_second", "backend"),
    ),
    Taken(
        CPU,
        "verl.workers.engine.fsdp.transformer_impl",
        "CPUOffloadPolicy",
        "replaced by one without pinned memory",
    ),
    Taken(CPU, "verl.checkpoint_engine", "CheckpointEngine", "the base class of the transfer over local sockets"),
    Taken(CPU, "verl.checkpoint_engine", "CheckpointEngineRegistry.register", "puts `local_socket` beside verl's"),
)
"""All that the package takes of verl, by part."""


def lacking(parts: Iterable[str], whole: str = "") -> tuple[list[tuple[str, Taken]], list[tuple[str, Taken]]]:
    """List what the installed verl lacks of what parts of the package take, each with the entry of the list.

    Args:
        parts: of `PARTS`.
        whole: see `Taken.faults`.

    Returns:
        What is gone, and what could not be looked at here, with its reason.
    """
    wanted = set(parts)
    gone: list[tuple[str, Taken]] = []
    unseen: list[tuple[str, Taken]] = []
    for taken in TAKEN:
        if taken.part in wanted:
            try:
                gone += [(fault, taken) for fault in taken.faults(whole)]
            except Exception as error:  # of any package that a module of verl's imports
                unseen.append((f"{taken.name} ({type(error).__name__}: {error})", taken))
    return gone, unseen


def require(part: str, whole: str = "") -> None:
    """Check that verl has all that a part of the package takes of it.

    Args:
        part: of `PARTS`.
        whole: see `Taken.faults`.

    Raises:
        VerlLacks: something is gone. The message says what, what it was for, and what to install.
    """
    gone, _ = lacking([part], whole)
    if gone:
        verl = sys.modules.get("verl")
        where = f"verl {getattr(verl, '__version__', '')} ({getattr(verl, '__file__', 'not imported')})"
        listed = "; ".join(f"{fault} (why it is needed: {taken.why})" for fault, taken in gone)
        raise VerlLacks(
            f"{where} lacks what the {part} of verl-prpo takes of it: {listed}. Install a verl that verl-prpo was "
            "tested with, or a verl-prpo made for this one. docs/verl.md lists what is taken"
        )


def _attributes(cls: type) -> Iterator[str]:
    """List the names that the methods of a class read or set on something, and those that the class has itself."""
    for base in cls.__mro__:
        for name, value in vars(base).items():
            yield name
            code = getattr(inspect.unwrap(value), "__code__", None) if callable(value) else None
            yield from code.co_names if code is not None else ()


def main() -> int:
    """Print what the installed verl lacks, and return the exit status."""
    gone, unseen = lacking(PARTS)
    verl = importlib.import_module("verl")
    for fault, taken in gone:
        print(f"GONE: {fault}, for the {taken.part} ({taken.why})")
    for fault, _ in unseen:
        print(f"not looked at: {fault}")
    looked = f"{len(TAKEN)} symbols are taken, {len(gone)} gone, {len(unseen)} not looked at"
    print(f"verl {verl.__version__} ({verl.__file__}): {looked}")
    return 1 if gone else 0


if __name__ == "__main__":
    sys.exit(main())
