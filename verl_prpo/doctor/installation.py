# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Checks of whether the plugin is at work in this environment's verl, and whether the packages beside it have the
versions that verl-prpo and verl name in their own metadata."""

import importlib
import os
import warnings
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement

from verl_prpo import __version__
from verl_prpo.console.findings import CheckFailed, Finding, State
from verl_prpo.cpu.versions import VERL_SERIES, VLLM_SERIES

PACKAGES = ("verl", "vllm", "transformers", "torch", "ray")
CPU_SERIES = {"verl": VERL_SERIES, "vllm": VLLM_SERIES}
"""Release series by package that VERL_PLATFORM=cpu was made for."""
REINSTALL = "pip install verl-prpo in this environment, and see that verl is >=0.9.1,<=0.10.0.dev0"


def plugin() -> Finding:
    """Import verl, and look for all that the plugin registers in it.

    Raises:
        CheckFailed: what is not there.
    """
    found = [point for point in metadata.entry_points(group="verl.plugins") if point.value == "verl_prpo.plugin"]
    if not found:
        raise CheckFailed("no entry point of the group verl.plugins names verl_prpo.plugin", "pip install verl-prpo")
    name = found[0].name
    policy = os.environ.get("VERL_USE_EXTERNAL_PLUGINS", "auto").strip().lower()
    if policy != "auto" and name not in [allowed.strip() for allowed in policy.split(",")]:
        raise CheckFailed(
            f"VERL_USE_EXTERNAL_PLUGINS={policy} keeps verl from loading the plugin {name}",
            f"unset it, or set it to auto or {name}",
        )
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        core_algos = importlib.import_module("verl.trainer.ppo.core_algos")
        managers = importlib.import_module("verl.experimental.reward_loop.reward_manager")
        trainers = importlib.import_module("verl.trainer.ppo.v1")
        settings = importlib.import_module("verl.utils.config")
    reasons = "".join(f"\n{warning.message}" for warning in said if "verl-prpo" in str(warning.message))
    for part, registered in (
        ("the advantage estimator prpo", lambda: core_algos.get_adv_estimator_fn("prpo")),
        ("the reward manager prm", lambda: managers.get_reward_manager_cls("prm")),
        ("the process-aware trainer modes", lambda: _modes(trainers)),
        ("the settings check", lambda: settings.validate_config.__wrapped__),
    ):
        try:
            there = registered()
        except Exception as error:
            raise CheckFailed(
                f"{part} is not registered: {type(error).__name__}: {error}{reasons}", REINSTALL
            ) from error
        if not there:
            raise CheckFailed(f"{part}: not registered{reasons}", REINSTALL)
    modes = _modes(trainers)
    text = f"verl-prpo {__version__}: estimator prpo, reward manager prm, trainer modes {', '.join(modes)}"
    return Finding(text, details={"version": __version__, "trainer_modes": modes}, value=True)


def version(package: str) -> Finding:
    """Compare the installed version of a package with the ranges in the metadata of verl-prpo and verl."""
    distribution, installed = _installed(package)
    if installed is None:
        return Finding(
            "not installed", State.WARNING, f"needed for training; pip install {package} in every node's environment"
        )
    ranges = list(_ranges(package))
    outside = [f"{owner} asks for {wanted}" for owner, wanted, fits in ranges if not fits]
    details = {"version": installed, "distribution": distribution, "ranges": [f"{o} {w}" for o, w, _ in ranges]}
    if outside:
        text = f"{installed}, but {' and '.join(outside)}"
        return Finding(text, State.WARNING, f"if training fails, install {package} in that range", details)
    asked = "; ".join(f"{owner} asks for {wanted}" for owner, wanted, _ in ranges)
    return Finding(f"{installed}{f' ({asked})' if asked else ''}", details=details)


def _modes(trainers: object) -> list[str]:
    from verl_prpo.trainer.mixin import ProcessAware

    registry = trainers.trainer_base.TRAINER_REGISTRY  # type: ignore[attr-defined]
    return sorted(mode for mode, trainer in registry.items() if issubclass(trainer, ProcessAware))


def _installed(package: str) -> tuple[str, str | None]:
    """Return name and version of the distribution that provides a package. vLLM's CPU build has a name of its own."""
    for distribution in (package, f"{package}-cpu"):
        try:
            return distribution, metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return package, None


def _ranges(package: str) -> Iterator[tuple[str, str, bool]]:
    """List which distribution asks for which versions, and whether the installed one is among them."""
    on_cpu = os.environ.get("VERL_PLATFORM", "").strip().lower() == "cpu"
    _, installed = _installed(package)
    assert installed is not None
    if on_cpu and package in CPU_SERIES:
        series = [".".join(map(str, one)) for one in CPU_SERIES[package]]
        fits = any(installed.split("+")[0].startswith(f"{one}.") for one in series)
        yield "VERL_PLATFORM=cpu", " or ".join(f"{one}.*" for one in series), fits
    # The extra `cpu` of this package narrows its own ranges; that of verl names what was released together.
    for asked, owner in (
        (
            _requirement("verl-prpo", package, "cpu" if on_cpu else "") or _requirement("verl-prpo", package),
            "verl-prpo",
        ),
        (_requirement("verl", package) or _requirement("verl", package, "" if on_cpu else "vllm"), "verl"),
    ):
        if asked is not None and str(asked.specifier):
            yield owner, str(asked.specifier), asked.specifier.contains(installed, prereleases=True)


def _requirement(owner: str, package: str, extra: str = "") -> Requirement | None:
    """Find what a distribution's metadata requires of a package, by itself or under an extra."""
    try:
        listed = metadata.requires(owner) or []
    except metadata.PackageNotFoundError:
        return None
    for line in listed:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        of_extra = requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})
        if requirement.name.lower() == package and of_extra == bool(extra):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                return requirement
    return None
