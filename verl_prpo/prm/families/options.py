# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Check the options of a family by type, with messages that name the key."""

import difflib
from collections.abc import Iterable
from typing import Any

from verl_prpo.prm.families.base import PrmError

OPTIONS = "reward.prm.family_options"


def require_flag(name: str, value: Any) -> None:
    """Raise a `PrmError` unless an option is true or false."""
    if not isinstance(value, bool):
        raise PrmError(f"{OPTIONS}.{name}={value!r} must be true or false")


def require_text(name: str, value: Any, wanted: str = "a text that is not empty") -> None:
    """Raise a `PrmError` unless an option is a text with at least one character."""
    if not isinstance(value, str) or not value:
        raise PrmError(f"{OPTIONS}.{name}={value!r} must be {wanted}")


def require_one_of(name: str, value: Any, allowed: Iterable[str]) -> None:
    """Raise a `PrmError`, with the nearest of the allowed values, unless an option is one of them."""
    choices = list(allowed)
    if not isinstance(value, str) or value not in choices:
        near = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.5)
        hint = f"Did you mean {near[0]}? It takes" if near else "It takes"
        raise PrmError(f"{OPTIONS}.{name}={value!r} is not known. {hint} {' or '.join(choices)}")
