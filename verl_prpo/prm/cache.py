# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Remember scores by what was scored: the token ids of a dialogue and where its scores are read.

For a score function the key is made of messages, segments, row and what was heard. Equal dialogues are detected here
and nowhere else. A cache belongs to one loaded model, so equal keys mean equal scores.
"""

import hashlib
import os
import pickle
import threading
from array import array
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any, Generic, TypeVar

from verl_prpo.prm.families.base import Encoded
from verl_prpo.prm.results import PrmResult

T = TypeVar("T")

_DIGEST_BYTES = 16


class ScoreCache:
    """The scores of the dialogues used last. Those unused for longest are dropped first. Any thread may use it."""

    def __init__(self, size: int):
        """Args:
        size: most dialogues remembered. 0 remembers none.
        """
        # An engine without a cache runs where torch and transformers are all there is (benchmarks/gpu).
        self._scores: MutableMapping[bytes, tuple[float | None, ...]] = {}
        self._size = size
        self._lock = threading.Lock()
        if size:
            from cachetools import LRUCache

            self._scores = LRUCache(size)

    def __len__(self) -> int:
        return len(self._scores)

    def get(self, key: bytes) -> list[float | None] | None:
        """Return the scores under a key of `dialogue_key`, or None."""
        with self._lock:
            scores = self._scores.get(key)
        return None if scores is None else list(scores)

    def put(self, key: bytes, scores: Sequence[float | None]) -> None:
        """Remember scores that were checked."""
        if self._size:
            with self._lock:
                self._scores[key] = tuple(scores)


class AskedOnce(Generic[T]):
    """What requests ask of a PRM. Equal parts are asked once, and those in the cache not at all.

    Attributes:
        to_ask: the parts to ask, by key.
    """

    def __init__(self, cache: ScoreCache, parts: Sequence[Sequence[tuple[bytes, T]]]):
        """Args:
        cache: of the PRM's scores.
        parts: the parts of each request, with their keys. A request that cannot be asked has none.
        """
        asked = {key: part for of_request in parts for key, part in of_request}
        self._cache = cache
        self._keys = [[key for key, _ in of_request] for of_request in parts]
        self._found = {key: PrmResult(scores) for key in asked if (scores := cache.get(key)) is not None}
        self.to_ask = {key: part for key, part in asked.items() if key not in self._found}

    def answers(self, results: Sequence[PrmResult]) -> Iterator[tuple[list[PrmResult], bool]]:
        """Yield for each request the results of its parts, and whether all of them were found without asking.

        A part that several requests share counts as asked for the first of them, and as found for the others.

        Args:
            results: the results of `to_ask`. Scores are remembered, unless the dialogue was too long to have them all.
        """
        for key, result in zip(self.to_ask, results, strict=True):
            self._found[key] = result
            if result.scores is not None and not result.overlong:
                self._cache.put(key, result.scores)
        paid = set(self.to_ask)
        for keys in self._keys:
            yield [self._found[key] for key in keys], paid.isdisjoint(keys)
            paid.difference_update(keys)


def dialogue_key(encoded: Encoded) -> bytes:
    """Compute a digest of token ids and reads, which is equal only for equal dialogues.

    Reads that can be neither written as plain text nor pickled are equal to no others.
    """
    digest = hashlib.blake2b(len(encoded.input_ids).to_bytes(8, "little"), digest_size=_DIGEST_BYTES)
    digest.update(array("q", encoded.input_ids).tobytes())
    reads = list(encoded.reads)
    if _is_plain(reads):
        digest.update(repr(reads).encode("utf-8", "surrogatepass"))
    else:
        try:
            digest.update(pickle.dumps(reads))
        except Exception:  # whatever the classes of a family raise
            digest.update(os.urandom(_DIGEST_BYTES))
    return digest.digest()


def _is_plain(content: Any) -> bool:
    """Return whether a value is equal to another exactly when both are written alike."""
    if type(content) in (list, tuple):
        return all(map(_is_plain, content))
    return content is None or type(content) in (str, bytes, int, float, bool)
