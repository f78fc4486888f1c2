# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Scores remembered by what was scored: the token ids of a dialogue and where its scores are read.

One cache belongs to one loaded model, so equal keys mean equal scores.
"""

import hashlib
import os
import pickle
import threading
from array import array
from typing import Any

from cachetools import LRUCache

from verl_prpo.prm.families.base import Encoded

_DIGEST_BYTES = 16


class ScoreCache:
    """The scores of the dialogues seen last; the least recently used go first. Any thread may use it."""

    def __init__(self, size: int):
        """Args:
        size: most dialogues remembered; 0 remembers none.
        """
        self._scores: LRUCache[bytes, tuple[float, ...]] = LRUCache(size)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._scores)

    def get(self, key: bytes) -> list[float] | None:
        """The scores under a key of `dialogue_key`, or None."""
        with self._lock:
            scores = self._scores.get(key)
        return None if scores is None else list(scores)

    def put(self, key: bytes, scores: list[float]) -> None:
        """Remember scores that were checked."""
        if self._scores.maxsize:
            with self._lock:
                self._scores[key] = tuple(scores)


def dialogue_key(encoded: Encoded) -> bytes:
    """A digest of token ids and reads: equal only for equal dialogues, and the same in every process when the reads are
    plain data."""
    digest = hashlib.blake2b(len(encoded.input_ids).to_bytes(8, "little"), digest_size=_DIGEST_BYTES)
    digest.update(array("q", encoded.input_ids).tobytes())
    digest.update(content_digest(list(encoded.reads)))
    return digest.digest()


def content_digest(content: Any) -> bytes:
    """A digest of any value: equal only for equal values, and the same in every process for plain data (strings,
    numbers, and lists, tuples and dicts of them)."""
    if _is_plain(content):
        written = repr(content).encode("utf-8", "surrogatepass")
    else:
        try:
            written = pickle.dumps(content)
        except Exception:  # whatever its classes raise; it then equals nothing but itself
            written = os.urandom(_DIGEST_BYTES)
    return hashlib.blake2b(written, digest_size=_DIGEST_BYTES).digest()


def _is_plain(content: Any) -> bool:
    kind = type(content)
    if kind in (list, tuple):
        return all(map(_is_plain, content))
    if kind is dict:
        return all(_is_plain(key) and _is_plain(value) for key, value in content.items())
    return content is None or kind in (str, bytes, int, float, bool)
