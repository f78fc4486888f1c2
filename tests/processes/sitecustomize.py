# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Every Python process of the suite loads this, see tests/run.sh: the garbage collector looks for cycles less often.

A run of `main_ppo` imports verl, torch and vLLM in ten processes, and the tests compose verl's configuration many times.
Both make a great number of objects that stay, which the collector would look through again and again: an eighth of the
suite's time.
"""

import gc

gc.set_threshold(100_000, 50, 50)
