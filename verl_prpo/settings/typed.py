# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Sections of a configuration as dataclasses that know their types and ranges, and errors that name the key.

A section is a pydantic dataclass with the configuration `SECTION`. Its fields are annotated with types of this module
or with a `Literal`, so that the allowed values stand in one place. pydantic checks them, and `words` describes them in
messages and on the page of all settings.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

SECTION = ConfigDict(extra="forbid", use_attribute_docstrings=True, coerce_numbers_to_str=True)
"""How a dataclass of settings is checked: unknown keys are refused, numbers may come as text and texts as numbers."""


class ConfigError(ValueError):
    """A setting that cannot work. The message names the key and what to set instead."""


def _no_truth_value(value: Any) -> Any:
    if isinstance(value, bool):  # Python counts True as 1
        raise PydanticCustomError("number", "not a number")
    return value


def _only(allowed: Callable[[Any], bool]) -> AfterValidator:
    def check(value: Any) -> Any:
        if not allowed(value):
            raise PydanticCustomError("range", "out of range")
        return value

    return AfterValidator(check)


def _auto_or(kind: Callable[[Any], Any]) -> PlainValidator:
    """Make the validator of a value that is "auto", or a finite number of at least 0 of a kind."""

    def check(value: Any) -> Any:
        if isinstance(value, str) and value.strip() == "auto":
            return "auto"
        try:
            number = kind(_no_truth_value(value))
        except (TypeError, ValueError, OverflowError) as error:
            raise PydanticCustomError("number", "not a number") from error
        if not 0 <= number < float("inf") or (isinstance(value, float) and value != number):
            raise PydanticCustomError("range", "out of range")
        return number

    return PlainValidator(check)


def _ascends(bounds: list[int]) -> bool:
    return len(bounds) == 2 and bounds[0] <= bounds[1]


_NUMBER = BeforeValidator(_no_truth_value)

Natural = Annotated[int, _NUMBER, Field(ge=0), "a whole number of at least 0"]
Count = Annotated[int, _NUMBER, Field(ge=1), "a whole number of at least 1"]
Finite = Annotated[float, _NUMBER, Field(allow_inf_nan=False), "a finite number"]
Positive = Annotated[float, _NUMBER, Field(gt=0, allow_inf_nan=False), "a positive number"]
Fraction = Annotated[float, _NUMBER, Field(ge=0, le=1), "a number from 0 to 1"]
WindowContext = Annotated[float, _NUMBER, Field(ge=0, le=0.9), "a number from 0 to 0.9"]
"""The upper bound is 0.9. There 9 of 10 tokens of a window are context, so that a response is read ten times."""
GpuShare = Annotated[
    float,
    _NUMBER,
    _only(lambda share: share == 0 or 0.001 <= share <= 1),
    "0 or a number from 0.001 to 1 (a replica runs on one GPU; reward.prm.num_replicas gives more throughput)",
]
CpuShare = Annotated[
    float,
    _NUMBER,
    _only(lambda share: share == 0 or 0.001 <= share < float("inf")),
    "0 or a finite number of at least 0.001",
]
LogProbabilities = Annotated[int, _NUMBER, Field(ge=-1), "a whole number of at least 0, or -1 for all"]
Texts = Annotated[list[str], "a list of texts"]
Anchors = Annotated[int | Literal["auto"], _auto_or(int), "a whole number of at least 0, or auto"]
AnchorBounds = Annotated[list[Natural], _only(_ascends), "two whole numbers, the lesser first, such as [5,100]"]
AutoOrFactor = Annotated[float | Literal["auto"], _auto_or(float), "auto or a number of at least 0"]
TokenIds = Annotated[list[Natural], "a list of token ids"]
AlarmWindow = Annotated[int, _NUMBER, _only(lambda n: n == 0 or n >= 8), "0 or a whole number of at least 8"]
"""A number of steps. A trend over fewer than 8 cannot be distinguished from noise."""

Section = TypeVar("Section")


def typed_section(section: str, cls: type[Section], given: Any, replaced: Mapping[str, str] | None = None) -> Section:
    """Read a section of a configuration into the dataclass that describes it.

    Args:
        section: its full name, for messages.
        cls: a dataclass with defaults. A field may be a section of its own.
        given: the section, or None where there is none. Values that are still to be given (`???`) count as absent.
        replaced: keys of earlier versions, or `key=value` for values, each with what its message says of it.

    Raises:
        ConfigError: it is no section, or values in it cannot work. The message lists all of them: unknown keys, and
            values of the wrong type or out of range.
    """
    if given is None:
        return cls()
    if not isinstance(given, (DictConfig, dict)):
        raise ConfigError(f"{section} must be a section with keys, got {given!r}")
    try:
        # Resolved where it stands: an interpolation may point to any key of the whole configuration.
        values = OmegaConf.to_container(given, resolve=True) if isinstance(given, DictConfig) else given
    except OmegaConfBaseException as error:
        raise ConfigError(f"{section}: {str(error).splitlines()[0]}") from error
    try:
        return cls(**_present(cls, values))
    except ValidationError as error:
        found = [_message(section, cls, fault, replaced or {}) for fault in error.errors(include_url=False)]
        raise ConfigError("\n".join(dict.fromkeys(found))) from error


def _present(cls: Any, values: Any) -> dict[str, Any]:
    """Return the values that are given: neither values still missing (`???`) nor inner sections that are null."""
    kinds, present = get_type_hints(cls), {}
    for key, value in values.items():
        inner = is_dataclass(kinds.get(key))
        if value != "???" and not (inner and value is None):
            present[str(key)] = _present(kinds[key], value) if inner and isinstance(value, dict) else value
    return present


def _message(section: str, cls: Any, fault: ErrorDetails, replaced: Mapping[str, str]) -> str:
    """Say what is wrong with a value, and which key it has.

    The first argument is the section's name. The last says what became of keys and values of earlier versions.
    """
    inside, key, holder, kind = section, section, cls, cls
    for step in fault["loc"]:
        inside, holder = key, bare(kind)[0]
        if isinstance(step, int):
            key, kind = f"{key}[{step}]", get_args(holder)[0]
        else:
            key, kind = f"{key}.{step}", get_type_hints(holder, include_extras=True).get(step)
    value = fault["input"]
    name = key.removeprefix(f"{section}.")
    for known in (name, f"{name}={value}"):
        if known in replaced:
            return f"{section}.{known} {replaced[known]}"
    if kind is None:
        known_keys = [field.name for field in fields(holder)]
        near = difflib.get_close_matches(key.removeprefix(f"{inside}."), known_keys, n=1, cutoff=0.5)
        hint = f"did you mean {inside}.{near[0]}?" if near else f"its keys are {', '.join(known_keys)}"
        return f"{key} is not a setting; {hint}"
    if fault["type"] == "literal_error":
        return _not_known(key, value, choices(kind))
    if fault["type"] == "list_type" and isinstance(value, str):
        shown = value if value.isprintable() else value.encode("unicode_escape").decode()
        inner = shown.strip().removeprefix("[").removesuffix("]")
        return f"{key}={shown} must be a list. Write ++{key}='[{inner}]'"
    if is_dataclass(kind):
        return f"{key} must be {words(kind)}, got {value!r}"
    return f"{key}={value} must be {words(kind)}"


def _not_known(key: str, value: Any, allowed: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(str(value), allowed, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{key}={value} is not known{hint} (one of {', '.join(allowed)})"


def bare(kind: Any) -> tuple[Any, list[Any], bool]:
    """Return the type of an annotation without `Annotated` and null, what annotates it, and whether it may be null."""
    marks: list[Any] = []
    nullable = False
    while True:
        if get_origin(kind) is Annotated:
            kind, *more = get_args(kind)
            marks += more
        elif get_origin(kind) in (Union, UnionType) and NoneType in get_args(kind):
            nullable = True
            (kind,) = (one for one in get_args(kind) if one is not NoneType)
        else:
            return kind, marks, nullable


def choices(kind: Any) -> tuple[str, ...]:
    """Return the values of a `Literal`. Any other type has none."""
    plain = bare(kind)[0]
    return get_args(plain) if get_origin(plain) is Literal else ()


def words(kind: Any) -> str:
    """Say what a value of this type must be, as the end of a sentence."""
    plain, marks, _ = bare(kind)
    for mark in marks:
        if isinstance(mark, str):
            return mark
    if choices(plain):
        return f"one of {', '.join(choices(plain))}"
    if is_dataclass(plain):
        return f"a section with {', '.join(field.name for field in fields(plain))}"
    named = {bool: "true or false", str: "a text", dict: "a section with keys"}
    return named.get(get_origin(plain) or plain, "any value")


def one_of(key: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Raise a `ConfigError` with the key and the nearest of the allowed values unless the value is one of them."""
    if value not in allowed:
        raise ConfigError(_not_known(key, value, allowed))


_ESCAPE = re.compile(r"\\(?:([nrt\\])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U(000[0-9a-fA-F]{5}|0010[0-9a-fA-F]{4}))")
_NAMED = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}


def read_escapes(text: str) -> str:
    """Read the escapes in a text of the settings, which gives the text that is matched.

    Hydra passes on a backslash and an n where a user wrote "\\n" on the command line, and YAML a line break. Both mean
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
"""The characters that escapes become, here or in YAML, each with the letter of its escape."""


def lost_backslash(text: str) -> str:
    """Say what to write where an escape was most likely meant as a command of LaTeX, such as `\\therefore`.

    Args:
        text: a setting whose escapes have been read.

    Returns:
        The sentence for the user. It is empty where no escape looks like a command.
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
