#!/usr/bin/env bash
# Trains PRPO on tool rollouts through stock verl, its tool agent loop and a real vLLM on a CPU: ten minutes on 2 idle cores.
#
#   bash examples/calculator.sh                          # a few steps; then the report of their rollouts
#   bash examples/calculator.sh trainer.total_training_steps=20 ++algorithm.prpo.credit=process    # any verl override
#
# The policy works a chain of operations with a calculator, one call a turn, and slips now and then. The PRM is the exact checker of
# examples/calculator/prm.py, which judges each turn by what the calculator said before it. docs/agents.md explains the settings.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

source examples/setup_env.sh
python examples/calculator/build.py --out .quickstart/calculator
run="$PWD/.quickstart/calculator/run"
rm -rf "$run"
mkdir -p "$run"

VERL_PLATFORM=cpu VERL_FILE_LOGGER_PATH="$run/metrics.jsonl" python -m verl.trainer.main_ppo --config-dir recipes --config-name prpo_laptop \
    actor_rollout_ref.model.path=.quickstart/calculator/policy \
    data.train_files=.quickstart/calculator/train.parquet \
    data.val_files=.quickstart/calculator/val.parquet \
    data.max_response_length=128 \
    actor_rollout_ref.rollout.max_model_len=256 \
    actor_rollout_ref.rollout.multi_turn.enable=True \
    actor_rollout_ref.rollout.multi_turn.format=hermes \
    actor_rollout_ref.rollout.multi_turn.function_tool_path=examples/calculator/tool.py \
    actor_rollout_ref.rollout.agent.default_agent_loop=tool_agent \
    ++algorithm.prpo.segmenter=turns \
    reward.prm.custom_family.path=examples/calculator/prm.py \
    reward.prm.custom_family.name=CalculatorChecker \
    reward.prm.model_path=.quickstart/calculator/policy \
    trainer.experiment_name=prpo_calculator \
    trainer.rollout_data_dir="$run/rollouts" \
    trainer.total_training_steps=8 \
    trainer.test_freq=8 \
    "$@"

verl-prpo report "$run/rollouts" --terminal --limit 2
verl-prpo report "$run/rollouts" -o "$run/report.html"
