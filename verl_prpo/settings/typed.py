# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Sections of a Hydra configuration as dataclasses, and checks whose errors name the key."""

import difflib
import re
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException


class ConfigError(ValueError):
    """A setting that cannot work; the message names the key and what to set instead."""


Section = TypeVar("Section")


def typed_section(section: str, cls: type[Section], given: Any) -> Section:
    """A section of a configuration as the dataclass that describes it.

    Args:
        section: its full name, for messages.
        cls: a dataclass with defaults; a field may be a section of its own.
        given: the section, or None where there is none.

    Raises:
        ConfigError: not a section, an unknown key, or a value of the wrong type.
    """
    if given is None:
        return cls()
    if not isinstance(given, (DictConfig, dict)):
        raise ConfigError(f"{section} must be a section with keys, got {given!r}")
    _reject_unknown_keys(section, cls, given)
    for name, kind in get_type_hints(cls).items():
        inner = given.get(name) if is_dataclass(kind) else None
        if isinstance(inner, (DictConfig, dict)):
            _reject_unknown_keys(f"{section}.{name}", kind, inner)
        elif inner is not None:
            keys = " and ".join(_keys(kind))
            raise ConfigError(f"{section}.{name} must be a section with {keys}, got {inner!r}")
    try:
        # Resolved where it stands: an interpolation may point to any key of the whole configuration.
        values = OmegaConf.to_container(given, resolve=True) if isinstance(given, DictConfig) else given
    except OmegaConfBaseException as error:
        raise ConfigError(f"{section}: {str(error).splitlines()[0]}") from error
    try:
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(cls), values))  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        key = f"{section}.{error.full_key}" if error.full_key else section
        if "is not a ListConfig" in str(error):
            value = given.get(error.full_key or "")
            raise ConfigError(f"{key}={value} must be a list; write {key}='[{value}]'") from error
        raise ConfigError(f"{key}: {str(error).splitlines()[0]}") from error


def _reject_unknown_keys(section: str, cls: Any, given: DictConfig | dict) -> None:
    known = _keys(cls)
    for key in map(str, given):
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean {section}.{near[0]}?" if near else f"its keys are {', '.join(known)}"
            raise ConfigError(f"{section}.{key} is not a setting; {hint}")


def _keys(cls: Any) -> list[str]:
    return [field.name for field in fields(cls)]


def one_of(key: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Raise a `ConfigError` with the key and the nearest of the allowed values unless the value is one of them."""
    if value not in allowed:
        near = difflib.get_close_matches(str(value), allowed, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(f"{key}={value} is not known{hint} (one of {', '.join(allowed)})")


def at_least(key: str, value: float, least: float) -> None:
    """Raise a `ConfigError` with the key unless the value is at least that; NaN never is."""
    if not value >= least:
        raise ConfigError(f"{key}={value} must be at least {least}")


def positive(key: str, value: float) -> None:
    """Raise a `ConfigError` with the key unless the value is a finite number above 0."""
    if not 0 < value < float("inf"):
        raise ConfigError(f"{key}={value} must be a positive number")


_ESCAPE = re.compile(r"\\(?:([nrt\\])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U(000[0-9a-fA-F]{5}|0010[0-9a-fA-F]{4}))")
_NAMED = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}


def read_escapes(text: str) -> str:
    """A text from the settings as it will be matched.

    Hydra hands over a backslash and an n where somebody wrote "\\n" on the command line, YAML a line break. Both mean
    the line break: `\\n`, `\\r`, `\\t`, `\\xHH`, `\\uHHHH` and `\\UHHHHHHHH` are read as in Python, `\\\\` is one
    backslash, and any other backslash (that of `\\boxed`, say) stays. A LaTeX command that begins with one of these
    letters needs two backslashes, as in `\\\\nabla`.

    Args:
        text: a setting that is matched against text, or put into it.
    """
    read = _ESCAPE.sub(lambda found: _NAMED.get(found[1]) or chr(int(found[2] or found[3] or found[4], 16)), text)
    return read.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # joins halves, as JSON writes them


_COMMANDS = frozenset(
    "nabla natural ncong ne nearrow neg neq newline newpage nexists ngeq ni nleq nmid noindent not notin nsubseteq nu "
    "nwarrow rangle rbrace rbrack rceil ref rfloor rho right rightarrow rightleftharpoons rm rule rvert tag tan tanh "
    "tau tbinom text textbf textit textrm textstyle texttt tfrac therefore theta thickapprox tilde times tiny to top "
    "triangle triangleq tt".split()
)
"""Commands of LaTeX whose first letter makes an escape of their backslash."""

_CONTROLS = {"\a": "a", "\b": "b", "\x1b": "e", "\f": "f", "\n": "n", "\r": "r", "\t": "t", "\v": "v"}
"""What escapes become, here or in YAML, and their letters."""


def lost_backslash(text: str) -> str:
    """What to write where an escape was most likely meant as a command of LaTeX, such as `\\therefore`; "" elsewhere.

    Args:
        text: a setting whose escapes have been read.
    """
    for found in re.finditer(f"([{''.join(_CONTROLS)}])([A-Za-z]+)", text):
        letter = _CONTROLS[found[1]]
        if letter not in "nrt" or letter + found[2] in _COMMANDS:
            command = f"\\{letter}{found[2]}"
            return (
                f"{text!r} holds the escape {found[1]!r}. If the LaTeX command {command} is meant, write \\{command} "
                "with two backslashes (in YAML between single quotes)"
            )
    return ""
