# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Run `main_ppo` with the SmolLM2 recipe and print the figures of each step as it ends.

python examples/smollm2/run.py --out .smollm2/run --steps 2 ++algorithm.prpo.segmenter=uniform
"""

import argparse
import json
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from guarded_run import RunFailed, guarded_run

RECIPE = "prpo_smollm2_gsm8k"
STARTUP, PER_STEP = 1200.0, 900.0
"""Most seconds that start-up and a step may take; generous, for a busy machine."""
FIGURES = {
    "outcome reward, mean": "critic/score/mean",
    "segments per response": "prpo/segments/mean",
    "tokens per segment": "prpo/segment_length/mean",
    "process score, mean": "prpo/process_score/mean",
    "process score, std": "prpo/process_score/std",
    "process advantage, mean": "prpo/process_advantage/mean",
    "outcome advantage, std": "prpo/outcome_advantage/std",
    "problems whose outcomes are all equal": "prpo/group/all_equal",
    "tokens whose advantage changed sign against GRPO": "prpo/sign_flip",
    "gradient norm": "actor/grad_norm",
    "seconds, whole step": "timing_s/step",
    "seconds waiting for the PRM": "timing_s/prm_wait",
    "seconds of PRM work": "timing_s/prm_busy",
}
"""What is printed of each step, by verl's metric names."""


def figures(step: int, metrics: Mapping[str, float]) -> str:
    """The lines for one training step; a metric that verl did not log is left out."""
    lines = [f"  step {step}"]
    lines += [f"    {label:<50}{metrics[name]:>10.4g}" for label, name in FIGURES.items() if name in metrics]
    return "\n".join(lines)


def finished_steps(path: Path) -> list[tuple[int, dict[str, float]]]:
    """(step, metrics) of the training steps in a file of verl's `file` logger; a line half written is left out."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    rows = [json.loads(line) for line in lines if line.endswith("\n")]
    return [(row["step"], row["data"]) for row in rows if "timing_s/step" in row["data"]]


def train(out: Path, steps: int, overrides: list[str]) -> None:
    """Train, with the log, the metrics and the rollouts in `out`.

    Raises:
        RunFailed: with the tail of the log.
    """
    out = out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    metrics = out / "metrics.jsonl"
    command = [
        *(sys.executable, "-m", "verl.trainer.main_ppo", "--config-dir", "recipes", "--config-name", RECIPE),
        f"trainer.total_training_steps={steps}",
        f"trainer.rollout_data_dir={out / 'rollouts'}",
        "trainer.logger=[console,file]",
        *overrides,
    ]
    env = {
        "VERL_PLATFORM": "cpu",
        "OMP_NUM_THREADS": str(min(4, os.cpu_count() or 1)),
        "HF_HUB_OFFLINE": "1",
        "HYDRA_FULL_ERROR": "1",
        **os.environ,
        "VERL_FILE_LOGGER_PATH": str(metrics),
    }
    printed = 0

    def show() -> None:
        nonlocal printed
        done = finished_steps(metrics)
        for step, data in done[printed:]:
            print(figures(step, data), flush=True)
        printed = len(done)

    seconds = guarded_run(command, out / "train.log", STARTUP + steps * PER_STEP, env, show)
    print(f"  {printed} steps, {seconds:.0f} s with start-up")


def main() -> int:
    """Train and report; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(".smollm2/run"), help="folder of the run; emptied first")
    parser.add_argument("--steps", type=int, default=2, help="training steps (default 2)")
    parser.add_argument("overrides", nargs="*", help="overrides for verl")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"  the log is {arguments.out / 'train.log'}; start-up takes 2 to 3 minutes, a step 1 to 4", flush=True)
    try:
        train(arguments.out, arguments.steps, arguments.overrides)
    except RunFailed as error:
        print(f"The training run failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; no process is left behind.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
