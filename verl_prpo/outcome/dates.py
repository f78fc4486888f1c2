# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Dates and times of day: `July 4th`, `4 July`, `9:05 am`."""

import re

_MONTHS = "january february march april may june july august september october november december".split()
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)}|{'|'.join(f'{name[:3]}[.]?' for name in _MONTHS)}|sept[.]?)"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_DATES = [
    re.compile(pattern)
    for pattern in (
        rf"{_MONTH}\s*(?:the\s+)?{_DAY}(?:\s*,?\s*(?P<year>\d{{4}}))?",
        rf"(?:the\s+)?{_DAY}\s*(?:of\s+)?{_MONTH}(?:\s*,?\s*(?P<year>\d{{4}}))?",
    )
]
_CLOCK = re.compile(r"(?P<hour>\d{1,2})(?:\s*:\s*(?P<minute>\d\d))?\s*(?:(?P<half>[ap])\.?\s*m\.?)?")

_WEEKDAY = re.compile(r"((?:mon|tues|wednes|thurs|fri|satur|sun)day)\s*,?\s+")
Date = tuple[int, int, str | None, str | None]
Clock = tuple[int, int, str | None]


def read_date(text: str) -> Date | None:
    """Read month, day, year and day of the week from a cleaned text. The last two are None where it lacks them."""
    plain = _plain(text)
    weekday = _WEEKDAY.match(plain)
    plain = plain[weekday.end() :] if weekday else plain
    found = next((match for pattern in _DATES if (match := pattern.fullmatch(plain))), None)
    if found is None or not 1 <= int(found["day"]) <= 31:
        return None
    month = next(at for at, name in enumerate(_MONTHS, 1) if name.startswith(found["month"][:3]))
    return month, int(found["day"]), found["year"], weekday[1] if weekday else None


def read_clock(text: str) -> Clock | None:
    """Read hour, minute, and "a" or "p" from a cleaned text. The last is None where it says neither a.m. nor p.m."""
    found = _CLOCK.fullmatch(_plain(text))
    if found is None or (found["minute"] is None and found["half"] is None):
        return None
    hour, minute = int(found["hour"]), int(found["minute"] or 0)
    return (hour, minute, found["half"]) if hour < 24 and minute < 60 else None


def same_time(one: Clock, two: Clock) -> bool:
    """Say whether two times of day are the same. Either may leave out a.m. or p.m."""
    return one[:2] == two[:2] and (one[2] == two[2] or None in (one[2], two[2]))


def _plain(text: str) -> str:
    text = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text)
    return re.sub(r"\s+", " ", text).strip().lower()
