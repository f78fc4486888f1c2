# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What one training step knows of its responses, without verl."""
