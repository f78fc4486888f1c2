# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What having the plugin installed adds to `import verl`, which every process of a run pays.

    python benchmarks/import_cost.py [--repeats 9]

Fresh interpreters import verl by turns with plugins (VERL_USE_EXTERNAL_PLUGINS=auto) and without (none), and their wall
times are compared round by round. That difference is milliseconds beside seconds: on a machine that does anything else
it is noise. So the two calls that make it up are also timed where they happen, inside the import: verl's search for
plugins, which it makes whether or not there are any, and the loading of this one.
"""

import argparse
import os
import subprocess
import sys
from statistics import median

TARGET_MS = 50.0
TIMEOUT = 300.0

IMPORT = """
import importlib.metadata as metadata
import time

seconds = {"search": 0.0, "load": 0.0}

def timed(name, call):
    def wrapped(*args, **kwargs):
        began = time.perf_counter()
        try:
            return call(*args, **kwargs)
        finally:
            if name == "load" or kwargs.get("group") == "verl.plugins":
                seconds[name] += time.perf_counter() - began
    return wrapped

metadata.entry_points = timed("search", metadata.entry_points)
metadata.EntryPoint.load = timed("load", metadata.EntryPoint.load)
began = time.perf_counter()
import verl
print(time.perf_counter() - began, seconds["search"], seconds["load"])
"""


def import_verl(plugins: str) -> tuple[float, float, float]:
    """Wall time in ms of `import verl` in a fresh interpreter, and of the search and the loading within it."""
    env = {**os.environ, "VERL_USE_EXTERNAL_PLUGINS": plugins}
    env.pop("VERL_PLATFORM", None)
    done = subprocess.run([sys.executable, "-c", IMPORT], env=env, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT)
    done.check_returncode()
    whole, search, load = (1000 * float(seconds) for seconds in done.stdout.split()[-3:])
    return whole, search, load


def main() -> None:
    """Print the medians and whether the target is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9, help="rounds, at least 7 (default 9)")
    repeats = max(7, parser.parse_args().repeats)

    import_verl("auto")  # fills the file cache
    without, with_plugin, searches, loads = [], [], [], []
    for i in range(repeats):
        for plugins in ("none", "auto") if i % 2 else ("auto", "none"):
            whole, search, load = import_verl(plugins)
            if plugins == "none":
                without.append(whole)
            else:
                with_plugin.append(whole)
                searches.append(search)
                loads.append(load)
    differences = [b - a for a, b in zip(without, with_plugin, strict=True)]
    added = [search + load for search, load in zip(searches, loads, strict=True)]

    print(f"import verl, wall time in ms over {repeats} rounds: median (least, greatest)\n")
    for label, times in (
        ("without plugins", without),
        ("with verl-prpo", with_plugin),
        ("difference within a round", differences),
        ("search for plugins, by verl", searches),
        ("loading verl-prpo", loads),
        ("added: search and loading", added),
    ):
        print(f"{label:<30}{median(times):>10.1f}  ({min(times):.1f}, {max(times):.1f})")
    print(f"\ntarget, less than {TARGET_MS:.0f} ms added: {'met' if median(added) < TARGET_MS else 'missed'}")
    print(f"difference of the medians: {median(with_plugin) - median(without):.1f} ms", end="")
    noise = max(without) - min(without)
    print(f", where runs without plugins differ among themselves by up to {noise:.0f} ms")


if __name__ == "__main__":
    main()
