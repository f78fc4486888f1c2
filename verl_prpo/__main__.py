# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`python -m verl_prpo` is the command `verl-prpo`."""

import sys

from verl_prpo.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
