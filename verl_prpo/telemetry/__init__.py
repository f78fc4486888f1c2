# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What people see of a run: metrics, alarms, first lines of the log, the record of its rollouts."""
