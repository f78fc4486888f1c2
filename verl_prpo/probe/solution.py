# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A response as steps that a perturbation can leave out, repeat and rearrange, with its thought kept whole."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from verl_prpo.prm.encoding.shown import shown_steps
from verl_prpo.text.thinking import CLOSE, OPEN

_OPENING = re.compile(rf"\s*{re.escape(OPEN)}\s*")
_CLOSING = re.compile(rf"\s*{re.escape(CLOSE)}\s*")


class Piece(str):
    """A step's text, closed as if a step followed. It records whether it stands in a thought.

    Attributes:
        thought: whether the step comes before the end of the thought that the response begins with.
    """

    thought: bool

    def __new__(cls, text: str, thought: bool) -> "Piece":
        made = super().__new__(cls, text)
        made.thought = thought
        return made


@dataclass(frozen=True)
class Solution:
    """A response as steps.

    A policy that drifts still closes its thought where it answers. So the tags around a thought belong to no step, and
    a perturbed solution has them where its own steps leave the thought.

    Attributes:
        segments: texts whose concatenation is the response, each with words.
        pieces: the same without the tags around the first thought. The last piece of the thought and the last piece of
            all are closed by `separator`, as if a step followed.
        separator: white space between steps.
        opening: what opens the thought in the response itself. It is "" where the prompt opens it, or there is none.
        closing: what ends the thought, with the white space around it. It is "" where nothing ends it.
    """

    segments: tuple[str, ...]
    pieces: tuple[Piece, ...]
    separator: str
    opening: str = ""
    closing: str = ""

    @classmethod
    def of(cls, segments: Sequence[str], delimiter: str, thinking: bool = False) -> "Solution":
        """Make a solution from segments.

        Args:
            segments: texts whose concatenation is the response. A segment without words joins the one beside it.
            delimiter: separates steps where the segments do not show what separates them.
            thinking: whether the prompt opens a thought, in which the response begins.
        """
        joined = shown_steps(segments).steps
        own = _OPENING.match(joined[0]) if joined and not thinking else None
        opening = own[0] if own else ""
        bare = [joined[0][len(opening) :], *joined[1:]] if joined else []
        inner, closing, outer = _around_closing(bare) if thinking or opening else ([], "", bare)
        gaps = Counter(gap for gap in (text[len(text.rstrip()) :] for text in (*inner[:-1], *outer[:-1])) if gap)
        separator = gaps.most_common(1)[0][0] if gaps else delimiter or "\n"
        pieces = [Piece(text, True) for text in _closed(inner, separator)]
        pieces += [Piece(text, False) for text in _closed(outer, separator)]
        exact = [*inner, *outer]
        if closing and inner:
            exact[len(inner) - 1] += closing
        elif closing:
            exact[0] = closing + exact[0]
        if exact:
            exact[0] = opening + exact[0]
        return cls(tuple(exact), tuple(pieces), separator, opening, closing)

    def __len__(self) -> int:
        return len(self.pieces)

    def joined(self, pieces: Sequence[str]) -> list[str]:
        """Make segments from pieces, with the tags where the pieces leave the thought.

        A text that is no `Piece` stands where the one before it does.
        """
        texts: list[str] = []
        to_close = self.closing
        for piece in pieces:
            text = str(piece)
            if to_close and isinstance(piece, Piece) and not piece.thought:
                if texts:
                    texts[-1] = texts[-1].rstrip() + to_close
                else:
                    text = to_close.lstrip() + text
                to_close = ""
            texts.append(text)
        texts[-1] = texts[-1].rstrip()
        return [self.opening + texts[0], *texts[1:]]


def _closed(texts: Sequence[str], separator: str) -> list[str]:
    return [*texts[:-1], texts[-1].rstrip() + separator] if texts else []


def _around_closing(texts: Sequence[str]) -> tuple[list[str], str, list[str]]:
    """Split texts into the steps of a thought, what ends it, and the steps after it.

    Where nothing ends the thought, all steps are of the thought.
    """
    for at, text in enumerate(texts):
        found = _CLOSING.search(text)
        if found is not None:
            before, after = text[: found.start()], text[found.end() :]
            inner = [*texts[:at], before]
            closing = found[0]
            if not before:
                inner.pop()
            if inner:  # white space before the tag belongs to it
                closing = inner[-1][len(inner[-1].rstrip()) :] + closing
                inner[-1] = inner[-1].rstrip()
            return inner, closing, [*([after] if after else []), *texts[at + 1 :]]
    return list(texts), "", []
