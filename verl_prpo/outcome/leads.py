# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Words before a value that change nothing, such as `The area is` and `exactly`."""

import re

_TEXT = re.compile(r"\\text\{(?P<words>[^{}]*)\}\s*(?P<rest>\S.*)", re.DOTALL)
_WORDS = re.compile(
    r"(?P<words>[A-Za-z]{2,}(?: [A-Za-z]+){0,8} (?:is|are|was|equals)|exactly|approximately|about)\s+(?P<rest>\S.*)",
    re.DOTALL,
)
_EXACT = r"exactly|precisely|just|simply|only"
_ROUGH = r"approximately|approx\.?|about|around|roughly"
_QUALIFIER = re.compile(rf"(?P<exact>{_EXACT})|(?P<rough>{_ROUGH})", re.IGNORECASE)
_SENTENCE = re.compile(
    rf"[A-Za-z][A-Za-z ']{{0,80}}?(?:\s(?:is|are|was|were|equals|is equal to|equal to)\s*:?|\s*[:=])"
    rf"(?:\s+(?:(?P<exact>{_EXACT})|(?P<rough>{_ROUGH})))?",
    re.IGNORECASE,
)
_VERB = re.compile(r"\b(?:is|are|was|were|equals)\b", re.IGNORECASE)
_CHANGES = re.compile(
    r"\b(?:not|no|non|never|nor|none|neither|cannot|\w+n't|least|most|less|more|than|except|unless|false|untrue|wrong|"
    r"incorrect|minus|negative|negation|twice|thrice|doubled?|tripled?|half|halves|thirds?|quarters?|reciprocal|inverse|"
    r"opposite|complement|supplement|root|(?:square|cube) of|squared|cubed|logarithm|log|factorial|percent\w*|times|"
    r"plus|if|when|or|multiple|impossible|unlikely|doubtful|absurd|assum\w+|suppos\w+|between|from|dozens?|hundreds?|thousands?|millions?|remainder|mod)\b",
    re.IGNORECASE,
)


def without_lead(text: str) -> str:
    """Return a cleaned text without such words before its value. `approximately` becomes the sign for it."""
    for _ in range(2):
        found = _TEXT.fullmatch(text) or _WORDS.fullmatch(text)
        if found is None:
            return text
        words = found["words"].strip()
        lead = _QUALIFIER.fullmatch(words) or _SENTENCE.fullmatch(words)
        if lead is None or _CHANGES.search(words) or len(_VERB.findall(words)) > 1:
            return text
        text = (r"\approx " if lead["rough"] else "") + found["rest"]
    return text
