# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""One spelling for what LaTeX and Unicode spell in many ways. Nothing here decides what an answer is worth."""

import re

SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")

_CHARACTERS = {
    "−": "-",
    "–": "-",
    "×": r"\times ",
    "·": r"\cdot ",
    "⋅": r"\cdot ",
    "÷": r"\div ",
    "π": r"\pi ",
    "∞": r"\infty ",
    "∪": r"\cup ",
    "∩": r"\cap ",
    "∈": r"\in ",
    "≤": r"\le ",
    "≥": r"\ge ",
    "≠": r"\neq ",
    "≈": r"\approx ",
    "±": r"\pm ",
    "∓": r"\mp ",
    "°": r"^\circ",
    "θ": r"\theta ",
    "⟨": r"\langle ",
    "⟩": r"\rangle ",
    "\u00a0": " ",
    "\u2009": " ",
    "\u202f": " ",
    "½": r"\frac{1}{2}",
    "⅓": r"\frac{1}{3}",
    "⅔": r"\frac{2}{3}",
    "¼": r"\frac{1}{4}",
    "¾": r"\frac{3}{4}",
}
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}

_REWRITES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"√\s*(\d+|[A-Za-z])", r"\\sqrt{\1}"),
        (r"√\s*(?=[({])", r"\\sqrt"),
        (r"(?<!\\)\\\$", "$"),
        (r"(?<=\d)(?:,?\\[,!]|\{,\})+(?=\d{3}(?!\d))", ","),  # 10,\!000 and 10{,}000
        (r"\\[!,;:>]|\\q?quad(?![A-Za-z])|(?<!\\)~|(?<!\\)\\(?=\s)", " "),
        (r"\\(?:left|right|middle|[bB]igg?[lrm]?)(?![A-Za-z])\s*\.?", ""),
        (r"\\(?:displaystyle|textstyle|limits|boldsymbol|mathstrut|phantom)(?![A-Za-z])", ""),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (
            r"\\(?:mathrm|mathbf|mathit|mathsf|mathtt|text(?:normal|bf|it|rm|sf|tt|up)?|mbox|hbox|operatorname\*?)\s*\{",
            r"\\text{",
        ),
        (r"\{\s*\\(?:rm|bf|it)\s+([^{}]*)\}", r"\\text{\1}"),
        (r"(?<=[\d\s)}+-])\\text\{([ie])\}", r" \1 "),  # 2\mathrm{i} is a number, and no 2 with a unit
        (r"\\text\{\s*(-?\d[\d.,/]*)\s+([A-Za-z][A-Za-z. ]*)\}", r"\1\\text{ \2}"),  # \text{5 cm}
        (r"\\text\{([A-Za-z. ]+)\^\s*\{?\s*([23])\s*\}?\s*\}", r"\\text{\1}^{\2}"),  # \mathrm{cm^2}
        (r"\\text\{\s*percent\s*\}|(?<=\d)\s*percent(?![A-Za-z])", "%"),
        (r"\\text\{([^A-Za-z{}]*)\}", r"\1"),
        (r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))|\\degrees?(?![A-Za-z])", r"^\\circ "),
        (r"\\(?:leq|leqslant|leqq)(?![A-Za-z])|<=", r"\\le "),
        (r"\\(?:geq|geqslant|geqq)(?![A-Za-z])|>=", r"\\ge "),
        (r"\\lt(?![A-Za-z])", "<"),
        (r"\\gt(?![A-Za-z])", ">"),
        (r"\\ne(?![A-Za-z])", r"\\neq "),
        (r"\\varnothing(?![A-Za-z])|∅", r"\\emptyset "),
        (r"\\(?:simeq|thickapprox)(?![A-Za-z])", r"\\approx "),
        (r"\\(?:langle)(?![A-Za-z])", "("),
        (r"\\(?:rangle)(?![A-Za-z])", ")"),
        (r"\\l(?:brace)(?![A-Za-z])", r"\\{"),
        (r"\\r(?:brace)(?![A-Za-z])", r"\\}"),
        (r"\\lbrack(?![A-Za-z])", "["),
        (r"\\rbrack(?![A-Za-z])", "]"),
        (r"\\(?:lvert|rvert|vert|mid)(?![A-Za-z])", "|"),
        (r"\\%", "%"),
        (r"\*\*", "^"),
        (r"(?<![A-Za-z\\])(?:infinity|inf|oo)(?![A-Za-z])", r"\\infty "),
        (r"(?<![A-Za-z\\])pi(?![A-Za-z])", r"\\pi "),
        (r"(?<![A-Za-z\\])sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}"),
        (r"\\frac\s*(\d)\s*\{", r"\\frac{\1}{"),
        (r"\\frac\s*\{([^{}]*)\}\s*(\d)", r"\\frac{\1}{\2}"),
        (r"\\frac\s*\{([^{}]*)\}\s+\{", r"\\frac{\1}{"),
        (r"\\sqrt\s*(\[[^\[\]]*\])?\s*([0-9A-Za-z])", r"\\sqrt\1{\2}"),
        (r"\s+", " "),
    )
]
_AND = re.compile(
    r",?\s*(?:\\text\{\s*,?\s*(?:and|or)\s*,?\s*\}|(?<![A-Za-z\\{])(?:and|or)(?![A-Za-z]))\s*,?|\\text\{\s*,\s*(?:and|or)\s*\}"
)
_SUPERSCRIPT = re.compile(r"⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")


def clean(text: str) -> str:
    """The text with one spelling of fractions, roots, brackets, relations, text commands and spaces."""
    text = text.translate(_FULL_WIDTH)
    text = _SUPERSCRIPT.sub(lambda found: "^{" + found.group().translate(SUPERSCRIPTS) + "}", text)
    for character, command in _CHARACTERS.items():
        text = text.replace(character, command)
    text = text.replace("\\\\%", "%")
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    text = _unbraced(text.strip())
    if text.startswith("$") and text.endswith("$") and len(text) > 2 and "$" not in text[1:-1]:
        text = text[1:-1].strip()  # formula signs inside the box
    return text.rstrip(".,;: ").strip() if not text.endswith(r"\ldots") else text


def _unbraced(text: str) -> str:
    """The text without braces around all of it, as in `\\boxed{{5}}`."""
    while text.startswith("{") and text.endswith("}") and not re.search(r"\\(?:choose|over|atop)(?![A-Za-z])", text):
        depth = 0
        for brace in re.finditer(r"\\.|[{}]", text, flags=re.DOTALL):
            depth += {"{": 1, "}": -1}.get(brace.group(), 0)
            if depth == 0:
                break
        if depth or brace.end() < len(text):
            break
        text = text[1:-1].strip()
    return text


def commas(text: str) -> str:
    """Cleaned text with `and` and `or` between answers as commas."""
    return _AND.sub(", ", text)


def squeezed(text: str) -> str:
    """Cleaned text without spaces, but for those between digits, and without braces that make no difference."""
    text = re.sub(r"([_^])\{(\w)\}", r"\1\2", text)
    return re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", text)


def top_level(text: str, separators: str) -> list[str]:
    """Parts of a text between separators that stand in no brackets.

    Args:
        text: cleaned.
        separators: single characters.
    """
    parts, depth, begin = [], 0, 0
    for at, character in enumerate(text):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif depth == 0 and character in separators:
            parts.append(text[begin:at])
            begin = at + 1
    return [*parts, text[begin:]]
