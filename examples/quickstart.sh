#!/usr/bin/env bash
# Trains PRPO through stock verl and a real vLLM on a laptop's CPU, from nothing: about 15 minutes on 2 cores once packages are installed.
#
#   bash examples/quickstart.sh                     # PRPO
#   bash examples/quickstart.sh --estimator grpo    # the same run with GRPO, drawn into the same figure
#   bash examples/quickstart.sh --steps 5 ++algorithm.prpo.segmenter=uniform     # fewer steps, any verl override
#
# It makes .venv here (reused when present), a toy task with its policy and PRM under .quickstart/toy (no download beyond packages), runs
# `python -m verl.trainer.main_ppo` with recipes/prpo_laptop.yaml, and prints where it stands. Run again it reuses what it built.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

source examples/setup_env.sh
exec python examples/quickstart.py "$@"
