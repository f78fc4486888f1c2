# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""PRPO (Process Relative Policy Optimization, arXiv 2601.07182) for verl: process rewards without a critic and without
a fork.

Importing this package is free of side effects and of heavy imports; `verl_prpo.plugin` is what `import verl` loads.
"""

__version__ = "0.1.0"
