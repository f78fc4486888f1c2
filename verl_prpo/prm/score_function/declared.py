# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Load a score function from a file, and read what it declares of itself: range, batches, the arguments it takes."""

import importlib
import importlib.util
import inspect
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

SETTING = "reward.prm.score_function"

MODULE = "pkg://"
"""How a path begins that names a module, as in verl."""

ROW = ("data_source", "ground_truth", "extra_info")
"""The parts of a response's row that a function can get, under the names that verl's reward functions know."""

HEARD = "heard"
"""Argument for what tools and others said in the middle of the response. Only a function that names this argument gets
it: `**row` holds the row of the data alone."""

FORM = "def NAME(messages, segments, **row)"


class Unfit(ValueError):
    """A function that cannot be used. The message says what was found and what to change."""


@dataclass(frozen=True)
class Declared:
    """A score function and what it says of itself.

    Attributes:
        call: the function.
        coroutine: whether calling it gives a coroutine.
        batched: whether it takes lists, one entry per response (its attribute `batched`).
        score_range: least and greatest score (its attribute `score_range`, 0 and 1 without it).
        kwargs: further arguments from the settings.
        takes: which of `ROW` and `HEARD` it takes.
    """

    call: Callable[..., Any]
    coroutine: bool
    batched: bool
    score_range: tuple[float, float]
    kwargs: Mapping[str, Any]
    takes: tuple[str, ...]

    def __call__(self, messages: Any, segments: Any, row: Mapping[str, Any]) -> Any:
        """Call the function with messages, segments, and those parts of the row and of what was heard that it takes."""
        given = {name: row.get(name) for name in self.takes}
        return self.call(messages=messages, segments=segments, **{**given, **self.kwargs})


def load_function(path: str, name: str, kwargs: Mapping[str, Any]) -> Declared:
    """Import the file, and check the function and what it declares.

    Args:
        path: a Python file, or `pkg://` and a module's name.
        name: the function's name there. A dotted name leads into classes and objects.
        kwargs: further keyword arguments.

    Raises:
        Unfit: there is no such file or function, importing fails, or the function cannot be called as it will be.
    """
    found: Any = _module(path)
    for part in name.split("."):
        if not hasattr(found, part):
            there = sorted(key for key, value in vars(found).items() if callable(value) and not key.startswith("_"))
            raise Unfit(f"the file defines no {name}, but {', '.join(there) or 'nothing that can be called'}")
        found = getattr(found, part)
    if isinstance(found, type):
        raise Unfit(f"{name} is a class. Name a function, or an object of the class that can be called")
    if not callable(found):
        raise Unfit(f"{name} is {type(found).__name__} {found!r:.80} and cannot be called. Name a function")
    return Declared(
        found,
        inspect.iscoroutinefunction(found) or inspect.iscoroutinefunction(getattr(found, "__call__", None)),  # noqa: B004
        _batched(found, name),
        _score_range(found, name),
        dict(kwargs),
        _taken(found, name, kwargs),
    )


def _module(path: str) -> Any:
    if path.startswith(MODULE):
        try:
            return importlib.import_module(path.removeprefix(MODULE))
        except BaseException as error:  # whatever a module raises, SystemExit too
            raise Unfit(f"importing it fails with {type(error).__name__}: {error}") from error
    file = Path(path).expanduser()
    if not file.is_file():
        raise Unfit(
            f"there is no such file (searched from {Path.cwd()}). Give an absolute path that every node can read"
        )
    spec = importlib.util.spec_from_file_location(f"verl_prpo_score_function_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise Unfit("this is not a Python file. Its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses and pickle look for it
    sys.path.append(str(file.resolve().parent))  # as for a script: it may import what lies beside it
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        raise Unfit(f"importing it fails with {type(error).__name__}: {error}") from error
    return module


def _batched(function: Any, name: str) -> bool:
    batched = getattr(function, "batched", False)
    if not isinstance(batched, bool):
        raise Unfit(f"{name}.batched must be True or False, and is {batched!r}")
    return batched


def _score_range(function: Any, name: str) -> tuple[float, float]:
    declared = getattr(function, "score_range", (0.0, 1.0))
    try:
        low, high = declared
        fits = all(isinstance(end, Real) and not isinstance(end, bool) and math.isfinite(end) for end in (low, high))
    except (TypeError, ValueError):
        fits = False
    if not fits or low >= high:
        raise Unfit(f"{name}.score_range must be two finite numbers, the lesser first, and is {declared!r}")
    return float(low), float(high)


def _taken(function: Any, name: str, kwargs: Mapping[str, Any]) -> tuple[str, ...]:
    """Return which of `ROW` and `HEARD` the function takes. Raise `Unfit` where a call would not fit its signature."""
    for taken in ("messages", "segments", HEARD):
        if taken in kwargs:
            raise Unfit(f"kwargs.{taken} is not yours to set: each response brings it")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of a builtin, which shows none
        return ROW
    parameters = signature.parameters.values()
    takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters)
    named = {each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)}
    takes = tuple(key for key in (*ROW, HEARD) if key in named or (takes_all and key in ROW))
    try:
        signature.bind(messages=[], segments=[], **{**dict.fromkeys(takes), **kwargs})
    except TypeError as error:
        given = ", ".join(("messages", "segments", *ROW, HEARD, *kwargs))
        raise Unfit(
            f"{name}{signature} cannot be called by keyword with {given}: {error}. Write {FORM.replace('NAME', name)}. "
            f"Other arguments come from {SETTING}.kwargs"
        ) from error
    return takes
