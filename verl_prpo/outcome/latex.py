# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""One spelling for what LaTeX, Unicode and Markdown spell in many ways. Nothing here decides about an answer."""

import re
from collections.abc import Callable

from verl_prpo.outcome.characters import COMMANDS, FULL_WIDTH, SUBSCRIPT, SUPERSCRIPT, plain

FUNCTIONS = (
    "arcsin arccos arctan arccot arcsec arccsc sinh cosh tanh coth sin cos tan cot sec csc ln log lg exp".split()
)
"""Names of functions that an answer may write without their backslash, longer ones first."""


class Unread(ValueError):
    """A notation that is not understood, so that nobody can say whether two texts are equal."""


_NAMES = "|".join(FUNCTIONS)
_TEXT_COMMANDS = (
    r"math(?:rm|bf|it|sf|tt|normal)|text(?:normal|bf|it|rm|sf|tt|up|sl)?|mbox|hbox|operatorname\*?|boldsymbol|bm|pmb"
)
_BOLD = "mathbf|boldsymbol|bm|pmb"
_SIZES = r"displaystyle|textstyle|scriptstyle|limits|nolimits|mathstrut|tiny|small|normalsize|[lL]arge|LARGE|huge|Huge"

_DRESSINGS = [
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"(?P<mark>\*{1,3}|__|`+)(?P<inside>(?:(?!(?P=mark)).)+)(?P=mark)",  # Markdown
        r"\$\$?(?P<inside>[^$]+)\$\$?",
        r"\\\((?P<inside>(?:(?!\\\)).)+)\\\)",
        r"\\\[(?P<inside>(?:(?!\\\]).)+)\\\]",
        r"\\(?:boxed|fbox|underline|ensuremath)\s*\{(?P<inside>[^{}]+)\}",
        r"\\text\{\s*(?:[Tt]he )?(?:[Ff]inal )?[Aa]nswer(?:\s*:|\s+is\b\s*:?)\s*(?P<inside>[^{}]+)\}",
        r"(?:\\text\{\s*)?(?:[Tt]he )?(?:[Ff]inal )?[Aa]nswer(?:\s*:|\s+is\b\s*:?|\s*=)\s*\}?\s*(?P<inside>.+)",
        r"(?:=|:|\\(?:Rightarrow|implies|therefore|Longrightarrow)(?![A-Za-z])|∴|⇒)\s*(?P<inside>.+)",  # = 5
    )
]

_BASES = {
    name: base
    for base, name in enumerate(
        "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split(), 2
    )
}
_BASE = rf"\s*\(?\s*(?:base\s*)?({'|'.join(sorted(_BASES, key=len, reverse=True))}|\d+)\s*\)?\s*"


def _base(found: re.Match[str]) -> str:
    base = next(filter(None, found.groups()))
    return f"_{{{_BASES.get(base, base)}}}"


_VARIANTS = ("phi", "epsilon", "theta", "rho", "kappa", "sigma")
"""Greek letters of which LaTeX has a second shape."""

_FIRST = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"√\s*(\d+|[A-Za-z])", r"\\sqrt{\1}"),
        (r"√\s*(?=[({])", r"\\sqrt"),
        (r"(?<!\\)\\\$", "$"),
        (r"(?<=\d)(?:,?\\[,!]|\{,\})+(?=\d{3}(?!\d))", ","),  # 10,\!000 and 10{,}000
        (r"\.{3,}|\\(?:dots|cdots|dotsc|dotsb)(?![A-Za-z])", r"\\ldots "),
        (
            r"\\(?:h|v)space\*?\s*\{[^{}]*\}|\\hfill?(?![A-Za-z])|\\tag\s*\{[^{}]*\}|\\[hv]?phantom\s*(?:\{[^{}]*\}|[^\s{])",
            " ",
        ),
        (r"\\(?:text)?color\s*\{[^{}]*\}", ""),
        (r"\\[!,;:>]|\\q?quad(?![A-Za-z])|(?<!\\)~|(?<!\\)\\(?=\s)", " "),
        (r"\\(?:left|right|middle|[bB]igg?[lrm]?)(?![A-Za-z])\s*\.?", ""),
        (rf"\\(?:{_SIZES})(?![A-Za-z])", ""),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\[dt]binom(?![A-Za-z])", r"\\binom"),
        # \mathbf{v} is a vector; after a number \mathbf{m} may be a unit
        (rf"(?<!\d)(?<!\d )\\(?:{_BOLD})\s*(?:\{{\s*([a-df-z])\s*\}}|\s([a-df-z])(?![A-Za-z]))", r"\\bold{\1\2}"),
        (rf"(?<=\d)\s*\\(?:{_BOLD})\s*(?:\{{\s*([a-ci-ku-z])\s*\}}|\s([a-ci-ku-z])(?![A-Za-z]))", r"\\bold{\1\2}"),
        (rf"\\(?:{_TEXT_COMMANDS})\s*\{{", r"\\text{"),
        # ordinals: 12^{th}, 12\text{th}
        (r"(?<![\w.])(\d+)\s*(?:\^\s*\{?\s*)?\\text\s*\{\s*(?:st|nd|rd|th)\s*\}\s*\}?", r"\1 "),
        (r"(?<![\w.])(\d+)\s*\^\s*\{\s*(?:st|nd|rd|th)\s*\}", r"\1 "),
        (r"^(\d+)(?:st|nd|rd|th)$", r"\1"),
        (r"^\(\s*(\w+)\s*\)(?=_)", r"\1"),
        (r"^\\text\{\s*(USD|US\$|EUR|GBP|JPY|INR|Rs)\.?\s*\}", r"\1 "),
        # ratios: 5 \text{ to } 7
        (r"\\text\{\s*(\d+(?: to \d+)+)\s*\}", r"\1"),
        (r"(?<=\d)\s*(?:\\text\{\s*to\s*\}|\s+to\s+)\s*(?=\d)", ":"),
        # 6.02e23; what may be a multiple of Euler's number stays
        (r"(?<![\w.\\])(\d*\.\d+|\d+(?=[eE]\+?\d))[eE]([-+]?\d{1,4})(?![\w.]|_)", r"\1\\cdot 10^{\2}"),
        (r"\^\{\+(\d+)\}", r"^{\1}"),
        # the base of a number, as 2102_{\text{three}} or 2102 \text{ (base 3)}
        (rf"_\s*(?:\{{\s*\\text\{{{_BASE}\}}\s*\}}|\\text\{{{_BASE}\}}|\{{{_BASE}\}})", _base),
        (rf"(?<=\d)\s*(?:\\text\{{\s*\(?\s*base\s*(?:\}}\s*)?|\(?\s*base\s*){_BASE}\)?\s*\}}?\s*\)?$", _base),
        (rf"\\(?:mathrm|mathbf|mathit|boldsymbol|bm)\s*([A-Za-z0-9]|\\(?!{_TEXT_COMMANDS})[A-Za-z]+)", r"\1"),
        (r"\{\s*\\(?:rm|bf|it)\s+([^{}]*)\}", r"\\text{\1}"),
        (r"\\(?:rm|bf|it|bfseries)(?![A-Za-z])", ""),
        (rf"\\text\{{\s*({_NAMES})\s*\}}", r"\\\1 "),
        (r"\\text\{\s*(\\[A-Za-z]+)\s*\}", r"\1 "),  # \boldsymbol{\pi}
        (r"(?<=[\d\s)}+-])\\text\{([ie])\}", r" \1 "),  # 2\mathrm{i} is a number, and no 2 with a unit
        (r"\\text\{\s*(-?\d[\d.,/]*)\s+([A-Za-z][A-Za-z. ]*)\}", r"\1\\text{ \2}"),  # \text{5 cm}
        (r"\\text\{([A-Za-z. ]+)\^\s*\{?\s*([23])\s*\}?\s*\}", r"\\text{\1}^{\2}"),  # \mathrm{cm^2}
        (r"\\text\{\s*percent\s*\}|(?<=\d)\s*percent(?![A-Za-z])", "%"),
        (r"\\text\{([^A-Za-z{}]*)\}", r"\1"),
        (r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))|\\degrees?(?![A-Za-z])", r"^\\circ "),
        (r"\^\s*\{\s*((?:\\prime\s*)+)\}", r"\1"),
        (r"\^?\s*\\prime(?![A-Za-z])", "'"),
        (r"==", "="),
        (r"\\pmod\s*(?:\{\s*(\d+)\s*\}|(\d+))", r"\\pmod{\1\2}"),
        (r"!=|\\not\s*=|\\ne(?![A-Za-z])", r"\\neq "),
        (r"\\(?:leq|leqslant|leqq)(?![A-Za-z])|<=", r"\\le "),
        (r"\\(?:geq|geqslant|geqq)(?![A-Za-z])|>=", r"\\ge "),
        (r"\\lt(?![A-Za-z])", "<"),
        (r"\\gt(?![A-Za-z])", ">"),
        (r"\\vee(?![A-Za-z])", r"\\lor "),
        (r"\\wedge(?![A-Za-z])", r"\\land "),
        (r"\\varnothing(?![A-Za-z])|∅", r"\\emptyset "),
        (r"\\(?:simeq|thickapprox|doteq)(?![A-Za-z])", r"\\approx "),
        (r"\\R(?:eals)?(?![A-Za-z])|\\mathbb\s*R|\\mathbb\s*\{\s*R\s*\}", r"\\mathbb{R}"),
        (r"\\(?:langle)(?![A-Za-z])", "("),
        (r"\\(?:rangle)(?![A-Za-z])", ")"),
        (r"\\l(?:brace)(?![A-Za-z])", r"\\{"),
        (r"\\r(?:brace)(?![A-Za-z])", r"\\}"),
        (r"\\lbrack(?![A-Za-z])", "["),
        (r"\\rbrack(?![A-Za-z])", "]"),
        (r"\\(?:lvert|rvert|vert|mid)(?![A-Za-z])", "|"),
        (r"\\%", "%"),
        (r"\*\*", "^"),
        (r"\+-|\+/-", r"\\pm "),
        # Repeating decimals: 0.\dot3, 0.\dot{1}4285\dot{7}, 0.\bar3, 0.333...
        (r"(\d*\.\d*)\\dot\s*\{?(\d)\}?(\d*)\\dot\s*\{?(\d)\}?", r"\1\\overline{\2\3\4}"),
        (r"(\d*\.\d*)\\dot\s*\{?(\d)\}?(?!\d)", r"\1\\overline{\2}"),
        (r"(\d*\.\d*)\\(?:overline|bar)\s*(?:\{\s*(\d+)\s*\}|(\d))", r"\1\\overline{\2\3}"),
        (r"(\d*\.\d*?)(\d)\2{2,}\s*\\ldots", r"\1\\overline{\2}"),
    )
]
_INLINE = re.compile(r"(?<![\\$])\$(?![\s$])([^$]*[^\s$,;+\-*/=\\])\$(?![\d$])")
"""A formula within a text. In a text such as `$5 and $6` the signs are sums of money."""
_NESTED = r"(?:[^{}]|\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\})"
_BRACED_OVER = re.compile(rf"(?<!\\)\{{({_NESTED}*?)\\over(?![A-Za-z])((?:(?!\\over(?![A-Za-z])){_NESTED})*)\}}")
_BARE_OVER = re.compile(rf"({_NESTED}+?)\\over(?![A-Za-z])({_NESTED}+)")
_OUTSIDE_TEXT = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(?<![A-Za-z\\])(?:infinity|inf|oo)(?![A-Za-z])", r"\\infty "),
        (r"(?<![A-Za-z\\])pi(?![A-Za-z])", r"\\pi "),
        (rf"(?<![A-Za-z\\])({_NAMES})(?=\s*[\d(^_{{\\]|\s+[A-Za-z](?![A-Za-z]))", r"\\\1 "),
        (r"(?<![A-Za-z\\])sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}"),
        (r"\\frac\s*(\d)\s*\{", r"\\frac{\1}{"),
        (r"\\frac\s*\{([^{}]*)\}\s*(\d)", r"\\frac{\1}{\2}"),
        (r"\\frac\s*\{([^{}]*)\}\s+\{", r"\\frac{\1}{"),
        (r"\\sqrt\s*(\[[^\[\]]*\])?\s*([0-9A-Za-z])", r"\\sqrt\1{\2}"),
    )
]
_AND = re.compile(
    r",?\s*(?:\\text\{\s*,?\s*(?:and|or)\s*,?\s*\}|(?<![A-Za-z\\{])(?:and|or)(?![A-Za-z])|\\lor(?![A-Za-z]))\s*,?"
    r"|\\text\{\s*,\s*(?:and|or)\s*\}"
)
_OR_OR_AND = re.compile(r"\\text\{[\s,]*(and|or)[\s,]*\}|(?<![A-Za-z\\{])(and|or)(?![A-Za-z])|\\l(or)(?![A-Za-z])")


def clean(text: str) -> str:
    """Return the text with one spelling of fractions, roots, brackets, relations, text commands and spaces."""
    text = text.translate(FULL_WIDTH)
    text = SUPERSCRIPT.sub(lambda found: "^{" + plain(found.group()) + "}", text)
    text = SUBSCRIPT.sub(lambda found: "_{" + plain(found.group()) + "}", text)
    text = _undressed(text.translate(COMMANDS))
    text = _INLINE.sub(r"\1", text) if len(re.findall(r"(?<!\\)\$", text)) % 2 == 0 else text
    text = _over(text.replace("\\\\%", "%"))
    if re.search(r"[<>]|\\[lg]e", text):
        text = re.sub(r"\\land(?![A-Za-z])|\\wedge(?![A-Za-z])", r"\\text{ and }", text)
    for letter in _VARIANTS:
        if not re.search(rf"\\{letter}(?![A-Za-z])", text):  # where both shapes occur they are two letters
            text = re.sub(rf"\\var{letter}(?![A-Za-z])", rf"\\{letter} ", text)
    for pattern, replacement in _FIRST:
        text = pattern.sub(replacement, text)
    text = outside_text(text, _rewritten)
    text = re.sub(r"\s+", " ", text)
    text = _unbraced(_ended(text))
    text = re.sub(r"\(?\\bold\{([a-z])\}\)?", r"\\text{\1}", text) if text.count("\\") == 1 else text
    undressed = _undressed(text)
    return _unbraced(_ended(undressed)) if undressed != text else text


def _over(text: str) -> str:
    """Write \\frac for \\over, the innermost braces first."""
    while (found := _BRACED_OVER.search(text)) is not None:
        text = f"{text[: found.start()]}\\frac{{{found[1].strip()}}}{{{found[2].strip()}}}{text[found.end() :]}"
    if text.count(r"\over") == 1 and (found := _BARE_OVER.fullmatch(text)) is not None:
        text = f"\\frac{{{found[1].strip()}}}{{{found[2].strip()}}}"
    return text


def outside_text(text: str, change: Callable[[str], str]) -> str:
    """Make a change everywhere in a text but within `\\text{}`."""
    pieces = re.split(r"(\\text\{[^{}]*\})", text)
    return "".join(piece if at % 2 else change(piece) for at, piece in enumerate(pieces))


def _rewritten(text: str) -> str:
    for pattern, replacement in _OUTSIDE_TEXT:
        text = pattern.sub(replacement, text)
    return text


def _undressed(text: str) -> str:
    """Return the text without what only surrounds it: formula signs, Markdown, an equals sign before it."""
    for _ in range(6):
        text = text.strip()
        found = next((match for dressing in _DRESSINGS if (match := dressing.fullmatch(text))), None)
        if found is None:
            break
        text = found["inside"]
    return text


def _ended(text: str) -> str:
    """Return the text without punctuation, line breaks and lone backslashes at its end."""
    text = text.strip()
    return text if text.endswith(r"\ldots") else text.rstrip(".,;: \\").strip()


def _unbraced(text: str) -> str:
    """Return the text without braces around all of it, as in `\\boxed{{5}}`."""
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
    """Write `and` and `or` between the answers of a cleaned text as commas."""
    return _AND.sub(", ", text)


def connective(text: str) -> str:
    """Return what joins the parts of a cleaned text: "and", "or", or "" where it is neither or both."""
    found = {next(filter(None, match.groups())) for match in _OR_OR_AND.finditer(text)}
    return found.pop() if len(found) == 1 else ""


def squeezed(text: str) -> str:
    """Drop the spaces of a cleaned text, but for those between digits, and braces that make no difference."""
    text = re.sub(r"([_^])\{(\w|\\[A-Za-z]+)\}", r"\1\2", text)
    return re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", text)


def top_level(text: str, separators: str) -> list[str]:
    """Split a text at the separators that stand in no brackets.

    Args:
        text: cleaned.
        separators: single characters, each of which separates.
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
