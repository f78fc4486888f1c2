# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The quickstart behind `examples/quickstart.sh`: build the toy task, train on it with `main_ppo`, say where it stands.

It simplifies one thing only: sizes. verl, vLLM, the weight sync, the PRM's Ray actors and the recipe are those of a GPU
run.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
from pathlib import Path

from guarded_run import RunFailed, guarded_run
from tqdm import tqdm

from verl_prpo.cli.main import main as verl_prpo

OUT = Path(".quickstart")
ACCURACY = "critic/score/mean"
TIMEOUT = 1800.0
"""Most seconds a run may take; it is ended after that, with the tail of its log."""


def main() -> int:
    """Build, train, report; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--estimator", choices=("prpo", "grpo"), default="prpo")
    parser.add_argument("--steps", type=int, default=30, help="training steps (default 30)")
    parser.add_argument("overrides", nargs="*", help="overrides for verl, such as ++algorithm.prpo.segmenter=uniform")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    run = OUT / arguments.estimator
    try:
        print(f"== 1 of 3: the toy task, its policy and its PRM in {OUT / 'toy'}")
        subprocess.run([sys.executable, "examples/toy/build.py", "--out", str(OUT / "toy")], check=True)
        print(f"== 2 of 3: {arguments.steps} steps of {arguments.estimator.upper()}; the log is {run / 'train.log'}")
        train(arguments.estimator, arguments.steps, run, arguments.overrides)
    except KeyboardInterrupt:
        print("\nStopped; no process is left behind. What was built stays and is reused.")
        return 130
    except subprocess.CalledProcessError as error:
        return error.returncode
    except RunFailed as error:
        print(f"The training run failed: {error}", file=sys.stderr)
        return 1
    print("== 3 of 3: where it stands")
    report(arguments.estimator, run)
    return 0


def train(estimator: str, steps: int, run: Path, overrides: list[str]) -> None:
    """Run verl's trainer with the laptop recipe, showing one progress bar.

    Raises:
        RunFailed: with the tail of the log.
    """
    metrics = (run / "metrics.jsonl").resolve()
    metrics.parent.mkdir(parents=True, exist_ok=True)
    metrics.unlink(missing_ok=True)
    command = [
        *(sys.executable, "-m", "verl.trainer.main_ppo"),
        *("--config-dir", "recipes", "--config-name", f"{estimator}_laptop"),
        f"trainer.total_training_steps={steps}",
        f"trainer.rollout_data_dir={run.resolve() / 'rollouts'}",
        *overrides,
    ]
    env = {**os.environ, "VERL_PLATFORM": "cpu", "VERL_FILE_LOGGER_PATH": str(metrics), "HYDRA_FULL_ERROR": "1"}
    with tqdm(total=steps, desc="starting Ray, vLLM and the trainer (1 to 2 minutes)", unit="step") as bar:

        def show() -> None:
            done = [row for row in read_metrics(metrics) if "timing_s/step" in row["data"]]
            if len(done) > bar.n:
                last = done[-1]["data"]
                bar.set_description(f"training accuracy {last[ACCURACY]:.2f}")
                bar.update(len(done) - bar.n)

        guarded_run(command, run / "train.log", TIMEOUT, env, show)


def report(estimator: str, run: Path) -> None:
    """Print accuracy before and after, seconds per step, the PRM's share; draw the curves of all runs so far."""
    rows = read_metrics(run / "metrics.jsonl")
    accuracy = [(row["step"], v) for row in rows for key, v in row["data"].items() if key.startswith("val-core/")]
    steps = [row["data"] for row in rows if "timing_s/step" in row["data"]]
    steady = steps[1:] or steps  # the first step carries vLLM's warm-up
    seconds = statistics.median(step["timing_s/step"] for step in steady)
    exposed = statistics.median(
        step.get("timing_s/prm_wait", 0.0) + step.get("timing_s/prm_submit", 0.0) for step in steady
    )
    other = "grpo" if estimator == "prpo" else "prpo"
    compare()
    if accuracy:  # overrides may turn validation off
        (_, before), (last, after) = accuracy[0], accuracy[-1]
        print(f"  held-out accuracy (greedy)  {before:.3f} before, {after:.3f} after {last} steps")
    print(f"  seconds per step (median)   {seconds:.2f}, of it for the PRM {exposed:.2f} ({exposed / seconds:.0%})")
    if estimator == "prpo":
        print(f"  rollouts with segments      verl-prpo report {run}/rollouts")
    print(f"  the same run with {other.upper()}      bash examples/quickstart.sh --estimator {other}")
    print("  on a GPU                    the first lines of recipes/prpo_qwen2.5_math_1.5b.yaml say how")


def compare() -> None:
    """Curves of all runs so far as PNG and HTML, and the difference between them."""
    runs = [f"{name.upper()}={OUT / name / 'metrics.jsonl'}" for name in ("grpo", "prpo")]
    runs = [run for run in runs if read_metrics(Path(run.partition("=")[2]))]
    verl_prpo(["compare", *runs, "-o", str(OUT)])


def read_metrics(path: Path) -> list[dict]:
    """Rows of verl's `file` logger; a line still being written is left out."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


if __name__ == "__main__":
    sys.exit(main())
