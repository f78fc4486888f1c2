# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The command `verl-prpo`: `doctor` looks a training set-up over, `calibrate` looks a process reward model over."""
