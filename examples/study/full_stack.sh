#!/usr/bin/env bash
# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
#
# GRPO against PRPO of the study once more on the full stack: stock verl with a real vLLM, beside the light trainer.
#
#     bash examples/study/full_stack.sh --task early                     # one seed: about 15 minutes on two idle cores
#     bash examples/study/full_stack.sh --task early --seeds 1,2,3
#     bash examples/study/full_stack.sh --help
#
# Same starting policy, problems, learned PRM, learning rates and settings; the table is in .study/full_stack. Stop it at
# any time: the same command goes on with the first training that is not finished. One training at a time on a machine
# (docs/cpu.md).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

source examples/setup_env.sh
export PYTHONUTF8=1 OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE TOKENIZERS_PARALLELISM=false
export PYTHONPATH="$PWD/examples:$PWD/examples/toy${PYTHONPATH:+:$PYTHONPATH}"
exec python -m study.full_stack.run "$@"
