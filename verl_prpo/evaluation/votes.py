# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Which answers of a problem's samples count as the same in a majority vote. verl's own `maj@k` compares texts."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from verl_prpo.settings.timeouts import VOTE_TIMEOUT

RIGHT = "right"
"""The vote of every right answer, since all of them equal the ground truth."""

MOST_COMPARISONS = 200
"""The most comparisons of wrong answers of one problem. Each answer that is left then votes by its text."""

Equality = Callable[[str, str], bool]


def cast_votes(
    answers: Sequence[str | None], correct: Sequence[bool], same: Equality | None = None
) -> list[str | None] | None:
    """Return the vote of each sample.

    Equal answers vote as one, whatever their form and whether they are right or wrong. If only right ones did, wrong
    votes would scatter and the right answer would win too often.

    Args:
        answers: answer of each sample as extracted, None for none.
        correct: the verdicts, of the same length.
        same: decides whether two wrong answers are equal. The default is the verifier's `same_answer`.

    Returns:
        One vote per response, which is None for a response without answer. The whole result is None where a right
        response has no known answer. A wrong response without a known answer may then have given one too.
    """
    pairs = list(zip(answers, correct, strict=True))
    if any(is_right and answer is None for answer, is_right in pairs):
        return None
    named = _names([answer for answer, is_right in pairs if answer is not None and not is_right], same)
    return [None if a is None else RIGHT if is_right else f"wrong {named[a]}" for a, is_right in pairs]


def _names(answers: Sequence[str], same: Equality | None) -> dict[str, str]:
    """Return for each answer the most frequent spelling among those that equal it."""
    if same is None:
        from verl_prpo.outcome.scorer import same_answer

        same = partial(same_answer, timeout=VOTE_TIMEOUT)
    names: dict[str, str] = {}
    groups: list[str] = []
    left = MOST_COMPARISONS
    for answer, _ in Counter(answers).most_common():
        asked = groups[:left]
        found = next((number for number, group in enumerate(asked) if same(answer, group)), None)
        left -= len(asked) if found is None else found + 1
        names[answer] = answer if found is None else asked[found]
        if found is None:
            groups.append(answer)
    return names
