# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What scored responses say of a PRM before training: agreement with outcomes, the prior, a verdict."""
