# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Every Python process of the suite loads this, see tests/run.sh: the garbage collector looks for cycles less often.

A run of `main_ppo` imports verl, torch and vLLM in ten processes, and many tests compose verl's configuration. Both
make a great number of objects that stay. The collector would look through them again and again, an eighth of the time.
"""

import gc

gc.set_threshold(100_000, 50, 50)
