# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Mathematics problems in the form that verl trains on."""
