#!/usr/bin/env bash
# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
#
# The evidence study: every arm on four small tasks, many seeds; text, tables and figures in .study/report.
#
#     bash examples/study/run.sh            # all of it: about 3 hours on two cores
#     bash examples/study/run.sh --quick    # a look in ten minutes
#     bash examples/study/run.sh --trust    # the registered test of the credit trust: about 8 hours on two cores
#     bash examples/study/run.sh --help
#
# It makes .venv here, or uses the one that is there. Stop it at any time; the same command goes on where it was.
set -euo pipefail
cd "$(dirname "$0")/../.."

source examples/setup_env.sh
export PYTHONUTF8=1 OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE TOKENIZERS_PARALLELISM=false
export PYTHONPATH="examples:examples/toy${PYTHONPATH:+:$PYTHONPATH}"
if [[ ${1:-} == --trust ]]; then
    exec python -m study.trust.run "${@:2}"
fi
exec python -m study.run "$@"
