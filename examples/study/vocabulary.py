# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A task's tokens: its words, and single characters. No tokenizer of a library is needed for texts this plain."""

import re
import string
from collections.abc import Sequence

import torch
from torch import Tensor

PAD, EOS, ASK = 0, 1, 2
"""Ids of padding, of the end of a response and of the mark between prompt and response."""

_CHARACTERS = string.ascii_letters + string.digits + " \n.,?:()+-*=#{}\\"


class Vocabulary:
    """Turns texts into token ids and back; the texts of the ids join to the text again."""

    def __init__(self, words: Sequence[str]):
        pieces = [*dict.fromkeys([*sorted(words, key=len, reverse=True), *_CHARACTERS])]
        self.texts = ["<pad>", "", "<ask>", *pieces]
        self._ids = {piece: i for i, piece in enumerate(self.texts) if i > ASK}
        self._pattern = re.compile("|".join(map(re.escape, pieces)))

    def __len__(self) -> int:
        return len(self.texts)

    def encode(self, text: str) -> list[int]:
        """Token ids, the longest word first.

        Raises:
            ValueError: a character that no token holds.
        """
        found = self._pattern.findall(text)
        if sum(map(len, found)) != len(text):
            raise ValueError(f"no token for a character of {text!r}")
        return [self._ids[piece] for piece in found]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids. EOS has none; padding and the mark, which have no place in a response, show."""
        return "".join(self.texts[i] for i in ids)

    def offsets(self, ids: Sequence[int]) -> list[int]:
        """Character at which each token's text begins, and the end of the text."""
        ends = [0]
        for i in ids:
            ends.append(ends[-1] + len(self.texts[i]))
        return ends


def padded(rows: Sequence[Sequence[int]], left: bool = False) -> Tensor:
    """Ids `[rows, longest]`, padded on the right, or on the left."""
    longest = max(map(len, rows), default=0)
    fill = [[PAD] * (longest - len(row)) for row in rows]
    return torch.tensor([[*f, *row] if left else [*row, *f] for f, row in zip(fill, rows, strict=True)])
