# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Scores remembered by what was scored: the token ids of a dialogue and where its scores are read.

One cache belongs to one loaded model, so equal keys mean equal scores.
"""

import hashlib
from array import array

from cachetools import LRUCache

from verl_prpo.prm.family import Encoded


class ScoreCache:
    """The scores of the dialogues seen last; the least recently used go first."""

    def __init__(self, size: int):
        """Args:
        size: most dialogues remembered; 0 remembers none.
        """
        self._scores: LRUCache[bytes, tuple[float, ...]] = LRUCache(size)

    def __len__(self) -> int:
        return len(self._scores)

    def get(self, key: bytes) -> list[float] | None:
        """The scores under a key of `dialogue_key`, or None."""
        scores = self._scores.get(key)
        return None if scores is None else list(scores)

    def put(self, key: bytes, scores: list[float]) -> None:
        """Remember scores that were checked."""
        if self._scores.maxsize:
            self._scores[key] = tuple(scores)


def dialogue_key(encoded: Encoded) -> bytes:
    """A digest of token ids and reads, the same in every process."""
    digest = hashlib.blake2b(array("q", encoded.input_ids).tobytes(), digest_size=16)
    digest.update(repr(list(encoded.reads)).encode())
    return digest.digest()
