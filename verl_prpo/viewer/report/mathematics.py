# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Mathematics for the page: KaTeX with the fonts that the page's texts need, ready to stand in one file.

KaTeX is not this project's: `katex/` holds files of its npm package, unchanged (`katex/fetch.py` gets them), under the
MIT licence that lies beside them and goes into every page with them.
"""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files

SIGNS = re.compile(r"\$|\\\(|\\\[|\\begin\{|\\boxed\b")
"""Signs of mathematics. A text with mathematics has at least one of them."""

ALWAYS = frozenset(
    {"AMS-Regular", "Main-Italic", "Main-Regular", "Math-Italic", *(f"Size{size}-Regular" for size in (1, 2, 3, 4))}
)
SOMETIMES = {
    "Main-Bold": r"\\(math|text)?(bf|bold)|\\bm\b|\\boldsymbol|\\textbf",
    "Main-BoldItalic": r"\\(bm|boldsymbol|pmb)\b",
    "Math-BoldItalic": r"\\(bm|boldsymbol|pmb)\b",
    "Caligraphic-Regular": r"\\(math)?cal\b",
    "Caligraphic-Bold": r"\\(math)?cal\b.*\\(bm|boldsymbol)\b|\\(bm|boldsymbol)\b.*\\(math)?cal\b",
    "Fraktur-Regular": r"\\(math)?frak\b",
    "Fraktur-Bold": r"\\(math)?frak\b.*\\(bm|boldsymbol)\b|\\(bm|boldsymbol)\b.*\\(math)?frak\b",
    "Script-Regular": r"\\mathscr\b",
    "SansSerif-Regular": r"\\(mathsf|textsf|sf)\b",
    "SansSerif-Italic": r"\\mathsfit\b",
    "SansSerif-Bold": r"\\(bm|boldsymbol)\b.*\\(mathsf|textsf)\b",
    "Typewriter-Regular": r"\\(mathtt|texttt|tt|verb)\b",
}
"""Fonts that only some commands need, each with the pattern of these commands."""

_FACE = re.compile(r"@font-face\{[^}]*?url\(fonts/KaTeX_([A-Za-z0-9]+-[A-Za-z]+)\.woff2\)[^}]*\}")


@dataclass(frozen=True)
class Katex:
    """KaTeX for a page.

    Attributes:
        script: JavaScript that defines `katex`.
        style: its CSS with the fonts in it.
        licence: the licence of both.
    """

    script: str
    style: str
    licence: str


def katex_for(texts: Iterable[str]) -> Katex | None:
    """Return KaTeX with the fonts that texts need, or None where no text has mathematics."""
    with_signs = [text for text in texts if SIGNS.search(text)]
    if not with_signs:
        return None
    fonts = {*ALWAYS, *(name for name, rule in SOMETIMES.items() if any(re.search(rule, t, re.S) for t in with_signs))}
    here = files("verl_prpo.viewer.report") / "katex"

    def face(found: re.Match[str]) -> str:
        if found[1] not in fonts:
            return ""
        font = base64.b64encode((here / f"KaTeX_{found[1]}.woff2").read_bytes()).decode()
        return re.sub(r"src:.*\}", f'src:url(data:font/woff2;base64,{font}) format("woff2")}}', found[0])

    return Katex(
        script=(here / "katex.min.js").read_text(encoding="utf-8"),
        style=_FACE.sub(face, (here / "katex.min.css").read_text(encoding="utf-8")),
        licence=(here / "LICENSE").read_text(encoding="utf-8"),
    )
