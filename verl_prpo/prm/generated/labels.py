# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Read the verdict on one step from a judge's answer, and how sure it is from the log-probabilities of its token."""

import math
import re
from typing import Any

from verl_prpo.prm.families.options import OPTIONS
from verl_prpo.prm.generated.answers import AnswerFault, shown

_BETWEEN = rb"\s*(?:\\text\s*\{|\*\*|[\"'$:])?\s*"
"""What may stand between the mark and the verdict: white space, and a piece of Markdown or LaTeX."""


class LabelReader:
    r"""A reader that finds the last verdict in a text: a label after a mark, such as Yes after \boxed{."""

    def __init__(self, mark: str, good: str, bad: str):
        """Args:
        mark: the text that stands before each verdict.
        good, bad: the labels, of which none may begin with the other.
        """
        self.labels = (good.casefold().encode(), bad.casefold().encode())
        self._wanted = f"{mark}{good} or {mark}{bad}"
        behind = b"|".join(re.escape(label.encode()) for label in sorted((good, bad), key=len, reverse=True))
        self._verdict = re.compile(
            re.escape(mark.encode()) + _BETWEEN + b"(" + behind + rb")(?![A-Za-z])", re.IGNORECASE
        )

    def verdict(self, text: str) -> bool:
        """Return whether the step is right, by the last verdict in an answer.

        Raises:
            AnswerFault: there is none.
        """
        found = self._last(text.encode("utf-8", "replace"))
        if found is None:
            raise AnswerFault(
                "unreadable",
                f"the judge's answer holds no verdict ({self._wanted}): {shown(text)}. Set {OPTIONS}.verdict_after and "
                f"{OPTIONS}.labels to the form in which it writes them, or ask for that form in the prompt "
                f"({OPTIONS}.prompt_path)",
            )
        return found[1].lower() == self.labels[0]

    def probability(self, logprobs: Any, right: bool) -> float:
        """Return the probability of the good label against the bad one, at the token that begins the last verdict.

        Args:
            logprobs: of a choice, as the `openai` package gives it.
            right: what the verdict is.

        Raises:
            AnswerFault: the server gave no log-probabilities, or none of this verdict.
        """
        tokens = list(getattr(logprobs, "content", None) or [])
        if not tokens:
            raise AnswerFault(
                "no_logprobs",
                f"the server gave no log-probabilities. Set ++{OPTIONS}.score=samples, which takes the share of "
                f"{OPTIONS}.samples answers instead",
            )
        written = [_bytes(token) for token in tokens]
        found = self._last(b"".join(written))
        if found is None or (found[1].lower() == self.labels[0]) != right:
            raise AnswerFault(
                "no_logprobs",
                "the server's log-probabilities belong to another text than its answer, so the verdict's token cannot "
                f"be found. Set ++{OPTIONS}.score=samples",
            )
        at, begin = 0, 0
        while begin + len(written[at]) <= found.start(1):
            begin += len(written[at])
            at += 1
        before = written[at][: found.start(1) - begin]
        likely = {written[at]: tokens[at].logprob}
        likely |= {_bytes(other): other.logprob for other in getattr(tokens[at], "top_logprobs", None) or []}
        return self._share(before, likely)

    def _last(self, text: bytes) -> re.Match[bytes] | None:
        found = list(self._verdict.finditer(text, text.rfind(b"</think>") + 1))
        return found[-1] if found else None

    def _share(self, before: bytes, likely: dict[bytes, float]) -> float:
        mass = [0.0, 0.0]
        for token, logprob in likely.items():
            which = self._begins(before, token)
            if which is not None and math.isfinite(logprob):
                mass[which] += math.exp(min(logprob, 0.0))
        if not sum(mass):
            raise AnswerFault(
                "no_logprobs",
                f"the token of the verdict is no beginning of {self._wanted} alone. Choose other {OPTIONS}.labels, or "
                f"set ++{OPTIONS}.score=samples",
            )
        return mass[0] / sum(mass)

    def _begins(self, before: bytes, token: bytes) -> int | None:
        """Return which label a token begins: 0 for the good one, 1 for the bad one.

        It is None where the token begins another text, or could begin both labels.

        Args:
            before: the part of the verdict's token that belongs to the text before the label.
            token: the text of the token.
        """
        if before.strip():
            if not token.startswith(before):
                return None
            token = token[len(before) :]
        rest = token.strip().lower()
        fits = [bool(rest) and (label.startswith(rest) or rest.startswith(label)) for label in self.labels]
        return fits.index(True) if sum(fits) == 1 else None


def _bytes(token: Any) -> bytes:
    given = getattr(token, "bytes", None)
    return bytes(given) if given is not None else str(token.token).encode("utf-8", "replace")
