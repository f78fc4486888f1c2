# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What having the plugin installed adds to `import verl`, which every process of a run pays.

    python benchmarks/import_cost.py [--repeats 9]

Fresh interpreters import verl by turns with plugins (VERL_USE_EXTERNAL_PLUGINS=auto) and without (none); their medians
are compared. The difference is small beside the whole and drowns in the noise of a busy machine. So the same work is
also timed by itself, in CPU time, in an interpreter that has imported verl without plugins: verl's search for plugins,
and the loading of this one.
"""

import argparse
import os
import subprocess
import sys
from statistics import median, quantiles

TARGET_MS = 50.0
TIMEOUT = 300.0

IMPORT = """
import time
began = time.perf_counter()
import verl
print(time.perf_counter() - began)
"""

LOAD = """
from importlib.metadata import entry_points
began = time.thread_time()
found = [entry for entry in entry_points(group="verl.plugins") if entry.value == "verl_prpo.plugin"]
searched = time.thread_time()
found[0].load()
print(searched - began, time.thread_time() - searched)
"""


def run(plugins: str, code: str) -> list[float]:
    """The numbers that `code` prints, in milliseconds, from a fresh interpreter."""
    env = {**os.environ, "VERL_USE_EXTERNAL_PLUGINS": plugins}
    env.pop("VERL_PLATFORM", None)
    done = subprocess.run([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT)
    done.check_returncode()
    return [1000 * float(seconds) for seconds in done.stdout.split()]


def main() -> None:
    """Print the medians and whether the target is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9, help="rounds, at least 7 (default 9)")
    repeats = max(7, parser.parse_args().repeats)

    run("none", IMPORT + LOAD)  # fills the file cache
    without, with_plugin, search, load = [], [], [], []
    for i in range(repeats):
        for plugins in ("none", "auto") if i % 2 else ("auto", "none"):
            if plugins == "auto":
                with_plugin += run("auto", IMPORT)
            else:
                whole, searching, loading = run("none", IMPORT + LOAD)
                without.append(whole)
                search.append(searching)
                load.append(loading)

    difference = median(with_plugin) - median(without)
    low, _, high = quantiles([b - a for a, b in zip(without, with_plugin, strict=True)], n=4)
    alone = median(search) + median(load)
    print(f"import verl, wall time in ms: median (least, greatest) of {repeats} fresh interpreters each\n")
    for label, times in (("without plugins", without), ("with verl-prpo", with_plugin)):
        print(f"{label:<40}{median(times):>8.0f} ({min(times):.0f}, {max(times):.0f})")
    print(f"{'difference of the medians':<40}{difference:>8.1f}")
    print(f"{'difference within a round, quartiles':<40}{low:>8.1f} to {high:.1f}   {verdict(low, high)}")
    print("\nthe same work timed by itself, CPU time in ms\n")
    print(f"{'search for plugins, by verl':<40}{median(search):>8.1f} ({min(search):.1f}, {max(search):.1f})")
    print(f"{'loading verl-prpo':<40}{median(load):>8.1f} ({min(load):.1f}, {max(load):.1f})")
    print(f"{'sum':<40}{alone:>8.1f}   {verdict(alone, alone)}")


def verdict(low: float, high: float) -> str:
    """Whether a cost that lies between two figures is below the target."""
    if low < TARGET_MS <= high:
        outcome = "not decided, the rounds differ by more than that"
    else:
        outcome = "met" if high < TARGET_MS else "missed"
    return f"target, less than {TARGET_MS:.0f}: {outcome}"


if __name__ == "__main__":
    main()
