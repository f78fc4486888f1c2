#!/usr/bin/env bash
# Trains Qwen3-4B without thinking on MATH with FSDP on a node of 8 GPUs of 80 GB.
#
#   bash examples/run_qwen3_4b_fsdp.sh
#   ALGO=grpo bash examples/run_qwen3_4b_fsdp.sh trainer.total_epochs=2    # the baseline; any override of verl's
#   bash examples/run_qwen3_4b_fsdp.sh --cfg job                           # prints the configuration and exits
#
# The settings are those of the recipe prpo_qwen3_4b; `verl-prpo recipe` lists and prints them.
# Their first lines say what to watch. Problems that are not in DATA are prepared first.
set -xeuo pipefail

ALGO=${ALGO:-prpo}                          # grpo, prm_avg, prpo, prm_avg_prpo or pure
MODEL=${MODEL:-Qwen/Qwen3-4B}
PRM=${PRM:-Qwen/Qwen2.5-Math-PRM-7B}
DATA=${DATA:-$HOME/data/math}
NNODES=${NNODES:-1}
GPUS=${GPUS:-4}                             # of the trainer, on each node
PRM_GPUS=${PRM_GPUS:-4}                     # of the PRM, in all, besides the trainer's

case $ALGO in
    grpo | prm_avg | prpo | prm_avg_prpo | pure) ;;
    *) echo "ALGO=$ALGO is none of grpo, prm_avg, prpo, prm_avg_prpo, pure" >&2; exit 2 ;;
esac

TRAINS=yes
for ARGUMENT in "$@"; do
    case $ARGUMENT in --cfg | --cfg=* | -c | --help | -h | --hydra-help | --info | --info=* | -i) TRAINS=no ;; esac
done
if [ "$TRAINS" = yes ]; then
    for SET in math500 math; do
        [ -f "$DATA/$SET.parquet" ] || verl-prpo data "$SET" --out "$DATA"
    done
fi

DATA_ARGS=(
    data.train_files="$DATA/math.parquet"
    data.val_files="$DATA/math500.parquet"
)

ACTOR_ARGS=(
    actor_rollout_ref.model.path="$MODEL"
)

TRAINER_ARGS=(
    trainer.nnodes="$NNODES"
    trainer.n_gpus_per_node="$GPUS"
    trainer.experiment_name="${ALGO}_qwen3_4b"
)

METHOD_ARGS=(++algorithm.prpo.credit="$ALGO")
case $ALGO in
    grpo) METHOD_ARGS=(algorithm.adv_estimator=grpo '~algorithm.prpo' '~reward.prm') ;;
    pure) METHOD_ARGS+=(++reward.math_verifier.wrong=0.0) ;;    # PURE's outcome rewards are 1 and 0
esac

PRM_ARGS=()
if [ "$ALGO" != grpo ]; then
    PRM_ARGS=(
        ++reward.prm.model_path="$PRM"
        ++reward.prm.num_replicas="$PRM_GPUS"
    )
fi

RECIPES=$(verl-prpo recipe --path)
python -m verl.trainer.main_ppo \
    --config-dir "$RECIPES" \
    --config-name prpo_qwen3_4b \
    "${METHOD_ARGS[@]}" \
    "${DATA_ARGS[@]}" \
    "${ACTOR_ARGS[@]}" \
    "${TRAINER_ARGS[@]}" \
    "${PRM_ARGS[@]}" \
    "$@"
