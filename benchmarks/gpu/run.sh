#!/usr/bin/env bash
# What PRPO costs on one GPU, in ten minutes: the method's tensors, the PRM in process, the families, the PRM through verl's workers, a vLLM
# server of the PRM, and a few steps of main_ppo with GRPO and PRPO. Weights are random in the shapes of Qwen2.5-Math-PRM-7B and of a policy of
# 1.5B. Nothing is downloaded.
#
#   bash benchmarks/gpu/run.sh                                  # with what is installed; what lacks a package is skipped and says so
#   bash benchmarks/gpu/run.sh --wheels DIR                     # installs from a folder of wheels first, without a network
#   bash benchmarks/gpu/run.sh --stages served,training         # some stages, in this order
#   bash benchmarks/gpu/run.sh --device cpu --small             # tiny shapes on a CPU, to see that it works
#
# torch and transformers are enough for the first three stages. PYTHON names the interpreter that has them. Each stage leaves its results in
# --out (default .gpu/results), also when time runs out. docs/gpu.md says how to make the folder of wheels and what the numbers mean.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3 python; do
        if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    echo "benchmarks/gpu/run.sh needs Python 3.10 or later; name one with PYTHON=/path/to/python3" >&2
    return 1
}

python=$(find_python)
exec "$python" benchmarks/gpu/run.py "$@"
