# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""One stage of the GPU benchmark: `python benchmarks/gpu/stage.py NAME --device cuda --out FILE`. run.py starts it."""

import argparse
import importlib
import signal
import sys
import traceback
from pathlib import Path

from record import Record


def main() -> int:
    """Measure, and leave what was measured whatever happens; the exit status is 1 after a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--device", choices=("cuda", "cpu"), required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--small", action="store_true")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # leaves `with` blocks, which end servers and runs
    record = Record(given.out, given.name, given.device, given.small, given.seconds)
    try:
        importlib.import_module(f"stages.{given.name}").measure(record)
    except Exception as error:
        traceback.print_exc()
        record.fail(f"{type(error).__name__}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
