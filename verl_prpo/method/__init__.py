# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The method on tensors: where a response is cut, and what each token is paid. It uses neither verl nor a PRM."""
