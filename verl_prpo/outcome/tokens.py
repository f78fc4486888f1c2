# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The tokens of a formula, and texts that must not be read as one."""

import re

from verl_prpo.outcome.latex import Unread

_TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d*)?|\.\d+)|(\\[A-Za-z]+|\\.)|([A-Za-z])|(\S))")
_GROUPED = re.compile(r"(?<![\d.])\d{1,3}(?:,\d{3})+(?!\d)")
_LETTERS = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{2,}")
_HIDDEN_FUNCTION = re.compile(
    r"(?:arc)?(?:sin|cos|tan|cot|sec|csc)|ln|log|exp|lim|max|min|gcd|lcm|mod|det|sqrt|frac|not|inf|nan|pi"
    r"|^(?:dim|deg|rank|ker|tr|var|cov|arg|sgn|sign|sup|div|curl|grad|re|im|pr|adj|ord|sum|area|perm|card|erf|abs|avg|"
    r"mean|med|proj|norm|diag|span)$",
    re.IGNORECASE,
)
_DERIVATIVE = re.compile(
    r"\\frac\s*\{\s*(?:d|\\partial)(?![a-z]*\s*\+)[^{}]*(?:\{[^{}]*\}[^{}]*)?\}\s*\{\s*(?:d|\\partial)\s*\\?[A-Za-z]"
    r"|(?<![A-Za-z\\])d\s*(?:[xyztuvrs](?![A-Za-z])|\\theta)"
    r"|\\frac\s*\{\s*D\s*[a-z]\s*\}\s*\{\s*D\s*[a-z]\s*\}"
    r"|(?<![A-Za-z])d\s*\\?[A-Za-z]\s*/\s*d\s*\\?[A-Za-z]|\\partial"
)

GREEK = set(
    r"\alpha \beta \gamma \delta \epsilon \varepsilon \zeta \eta \theta \vartheta \iota \kappa \lambda \mu \nu \xi "
    r"\rho \varrho \sigma \varsigma \tau \upsilon \phi \varphi \chi \psi \omega \Gamma \Delta \Theta \Lambda \Xi \Pi "
    r"\Sigma \Upsilon \Phi \Psi \Omega \ell \hbar \triangle \angle".split()
)
"""Commands that stand for a symbol of their own."""

MAYBE_FUNCTIONS = GREEK - set(r"\alpha \beta \gamma \delta \epsilon \theta \lambda \kappa \rho \omega".split())
"""Symbols that often name a function, so that parentheses after them may hold its argument."""

ACCENTS = set(r"\vec \overrightarrow \bold \hat \bar \overline \tilde \widehat \dot \ddot \mathbb \mathcal".split())
"""Commands that make another symbol of a letter. `latex.clean` writes all bold types as `\\bold`."""

MAYBE_OPERATORS = set(r"\Delta \delta \Sigma \Pi \triangle \angle \mathbb \mathcal".split())
"""Commands that may make one symbol with the letter after them, as in \\Delta x and \\mathbb{E}X."""

_INVERSE = re.compile(r"(?<!\S)(\\?[A-Za-z]+) \^ (?:\{ )?- 1(?: \})?")
_ENDS_TERM = re.compile(r"[+=,;<>]|(?<!\^ )(?<!\^ \{ )- ")


def tokens_of(text: str) -> list[str]:
    """Return the numbers, commands, letters and signs of a cleaned text, without thousands separators.

    Raises:
        Unread: it holds a derivative, or a word that would be read as a product of letters.
    """
    text = _GROUPED.sub(lambda found: found.group().replace(",", ""), text)
    text = re.sub(r"\\text\{\s*([A-Za-z])\s*\}", r" \1 ", text)
    if _DERIVATIVE.search(text):
        raise Unread("a derivative")
    for letters in _LETTERS.findall(re.sub(r"\\[A-Za-z]+", " ", text)):
        if len(letters) > 4 or _HIDDEN_FUNCTION.search(letters):
            raise Unread(f"the word {letters!r}")
    return [next(filter(None, found.groups())) for found in _TOKEN.finditer(text)]


def has_conjugate(tokens: list[str]) -> bool:
    """Say whether a letter and its inverse stand around another letter within one term, as in p^{-1}ap and apa^{-1}."""
    text = " ".join(tokens)
    for term in _ENDS_TERM.split(text):
        for inverse in _INVERSE.finditer(term):
            for side in (term[: inverse.start()], term[inverse.end() :]):
                names = [name for name in re.findall(r"(?<!\S)\\?[A-Za-z]+", side) if name not in (r"\frac", r"\cdot")]
                if inverse[1] in names and len(set(names)) > 1:
                    return True
    return False


class Tokens:
    """Tokens and the place up to which they are read."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.at = 0

    @property
    def token(self) -> str | None:
        """The next token, or None at the end."""
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def peek(self, ahead: int = 1) -> str | None:
        """Return a token after the next one without reading it, or None at the end."""
        at = self.at + ahead
        return self.tokens[at] if at < len(self.tokens) else None

    def take(self) -> str:
        """Return the next token, which then counts as read.

        Raises:
            Unread: there is no next token.
        """
        token = self.token
        if token is None:
            raise Unread("it ends too early")
        self.at += 1
        return token

    def expect(self, token: str) -> None:
        """Take one token that must come next.

        Raises:
            Unread: another token comes next.
        """
        if self.take() != token:
            raise Unread(f"no {token} where one belongs")
