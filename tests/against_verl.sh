#!/usr/bin/env bash
# Tries the plugin with a source tree of verl in the place of the installed one: whether all that it takes of verl is there (docs/verl.md),
# then two steps of PRPO through the tree's own main_ppo on the CPU. Nothing is installed, and the tree is not changed.
#
#   bash tests/against_verl.sh PATH_TO_VERL                  # the fast end-to-end test, some 5 minutes on 2 cores
#   bash tests/against_verl.sh PATH_TO_VERL tests/e2e -x     # what pytest is given instead
#
# A run of main_ppo counts as hung after VERL_PRPO_RUN_TIMEOUT seconds (600).
set -euo pipefail

[[ $# -ge 1 ]] || { echo "usage: bash tests/against_verl.sh PATH_TO_VERL [ARGUMENTS OF PYTEST]" >&2; exit 2; }
tree=$(cd "$1" 2>/dev/null && pwd) || { echo "$1: there is no such folder" >&2; exit 2; }
shift
[[ -f $tree/verl/__init__.py ]] || { echo "$tree holds no verl/__init__.py: give the root of a checkout of verl" >&2; exit 2; }
version=$(cat "$tree/verl/version/version" 2>/dev/null) || { echo "$tree/verl/version/version cannot be read" >&2; exit 2; }
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[[ -d .venv ]] && source .venv/bin/activate
export VERL_PLATFORM=cpu RAY_USAGE_STATS_ENABLED=0 HF_HUB_OFFLINE=1

# The tree under its own version: a folder that comes first on the path, with metadata as an installation has it.
first=$(mktemp -d)
trap 'rm -rf "$first"' EXIT
ln -s "$tree/verl" "$first/verl"
mkdir "$first/verl-$version.dist-info"
printf 'Metadata-Version: 2.1\nName: verl\nVersion: %s\n' "$version" >"$first/verl-$version.dist-info/METADATA"
export PYTHONPATH="$first${PYTHONPATH:+:$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1

found=$(python -c 'import importlib.metadata as m; print(m.version("verl"))')
[[ $found == "$version" ]] || { echo "python finds verl $found, not $version of $tree" >&2; exit 1; }
echo "verl $version of $tree"
python -m verl_prpo.trainer.checks.verl_symbols

if [[ $# -eq 0 ]]; then
    set -- tests/e2e/test_main_ppo.py::test_prpo_gives_the_actor_the_advantages_of_the_paper
fi
python -m pytest -n 0 -q -p no:cacheprovider --timeout 7200 "$@"
echo "passed with verl $version of $tree"
