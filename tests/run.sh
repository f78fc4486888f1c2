#!/usr/bin/env bash
# The whole test suite on a CPU, from nothing: environment, style, types, tests. Arguments go to pytest.
#
#   bash tests/run.sh                       # everything, about 25 minutes on 2 cores
#   bash tests/run.sh --fast                # the method, settings and PRM texts alone, two minutes, without mypy
#   bash tests/run.sh -m "not e2e"          # without the runs of main_ppo, about 12 minutes
#   bash tests/run.sh -n 0 -s FILE          # one file in this process, with what it prints
#
# Two files of tests run at a time; each run of main_ppo takes about 8 GiB.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

source examples/setup_env.sh
export RAY_USAGE_STATS_ENABLED=0 HF_HUB_OFFLINE=1 PYTHONUNBUFFERED=1
export PYTHONPATH="$PWD/tests/processes${PYTHONPATH:+:$PYTHONPATH}"

ruff check .
ruff format --check .
case " $* " in
*" --fast "*) ;;
*)
    mypy &
    python examples/toy/build.py --out .quickstart/toy >/dev/null # for the tests of a trained PRM; a minute or two, once
    wait $! # for mypy, whose findings end the script
    ;;
esac
exec python -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
