# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Recipes: configurations for `python -m verl.trainer.main_ppo --config-dir DIR --config-name NAME`."""
