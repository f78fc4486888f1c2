# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What a whole verl configuration must satisfy before a run takes its GPUs."""
