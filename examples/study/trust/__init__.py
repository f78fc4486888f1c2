# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The test of the credit trust on tasks that it was not chosen on: registered beforehand, run, reported."""
