# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Arguments that name one of several things, and the nearest names where they name none."""

import argparse
import difflib
from collections.abc import Callable, Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """Ask "did you mean a or b?" with the names that are near, else list all of them in parentheses.

    The result is the end of a sentence, so it begins with what separates it from what stands before.
    """
    names = list(known)
    near = difflib.get_close_matches(name, names, n=2, cutoff=0.6) or difflib.get_close_matches(
        name, names, n=1, cutoff=0.5
    )
    return f"; did you mean {' or '.join(near)}?" if near else f" (one of {', '.join(names)})"


def one_of(what: str, known: Iterable[str]) -> Callable[[str], str]:
    """Make a type for argparse that accepts the known names alone.

    Args:
        what: the kind of thing that has these names, for the message.
        known: the names.
    """
    names = list(known)

    def chosen(name: str) -> str:
        if name not in names:
            raise argparse.ArgumentTypeError(f"no {what} {name!r}{nearest(name, names)}")
        return name

    return chosen
