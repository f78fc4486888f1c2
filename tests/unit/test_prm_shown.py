# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What a PRM is shown: segments with words, joined with what has none beside them, without an unfinished last one."""

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_prpo.prm.encoding.shown import Shown, has_words, shown_steps


@pytest.mark.parametrize(
    "segments, steps, places",
    [
        (["a", "b"], ["a", "b"], [0, 1]),
        (["a", "", "b"], ["a", "b"], [0, 0, 1]),
        (["a", " \n", "b"], ["a \n", "b"], [0, 0, 1]),
        (["\n\n", "a", "b"], ["\n\na", "b"], [0, 0, 1]),
        (["<think>\n", "a\n\n", "b"], ["<think>\na\n\n", "b"], [0, 0, 1]),
        (["a\n\n", "</think>\n\n", "b"], ["a\n\n</think>\n\n", "b"], [0, 0, 1]),
        (["a", "</think>", "\n\n<answer>", " ", "b"], ["a</think>", "\n\n<answer> b"], [0, 0, 1, 1, 1]),
        (["a", "</think><answer>", "b", "</answer>"], ["a", "</think><answer>b</answer>"], [0, 1, 1, 1]),
        (["a", "<answer>"], ["a<answer>"], [0, 0]),
        (["</think>", "a"], ["</think>a"], [0, 0]),
        (["<thi", "nk>\n", "So 2."], ["<thi" + "nk>\n" + "So 2."], [0, 0, 0]),
        (["a", "</thi", "nk>", "b"], ["a</think>", "b"], [0, 0, 0, 1]),
        (["<thi", "nk>"], [], [None, None]),
        (["a", "<|end_of_solution|>", "b"], ["a<|end_of_solution|>", "b"], [0, 0, 1]),
        (["[THINK]", "a", "[/THINK]"], ["[THINK]a[/THINK]"], [0, 0, 0]),
        (["<think>", "</think>", " "], [], [None, None, None]),
        (["a\n\n", "---\n\n", "b"], ["a\n\n---\n\n", "b"], [0, 0, 1]),
        (["---\n\n", "a\n\n", "b"], ["---\n\na\n\n", "b"], [0, 0, 1]),
        (["a\n\n", "b\n\n", "---"], ["a\n\n", "b\n\n---"], [0, 1, 1]),
        (["---", "***\n", "$$", "a"], ["---***\n$$a"], [0, 0, 0, 0]),
        (["a", "**", "b", "**", "."], ["a**", "b**."], [0, 0, 1, 1, 1]),
        (["a\n", "```python\n", "x = 1\n", "```\n"], ["a\n", "```python\nx = 1\n```\n"], [0, 1, 1, 1]),
        (["a\n", "```py", "thon\n", "x"], ["a\n", "```python\nx"], [0, 1, 1, 1]),
        (["---\n", "<think>\n", "a"], ["---\n<think>\na"], [0, 0, 0]),
        (["a", "</think>", "---", "b"], ["a</think>---", "b"], [0, 0, 0, 1]),
        (["a", "\u2205", "b"], ["a", "\u2205", "b"], [0, 1, 2]),
        (["---", "```", "$$"], [], [None, None, None]),
        ([], [], []),
    ],
)
def test_segments_without_words_join_the_step_beside_them(segments, steps, places):
    assert shown_steps(segments) == Shown(steps, places)


@pytest.mark.parametrize(
    "segments, steps, places",
    [
        (["a", "b"], ["a"], [0, None]),
        (["a", "b", " "], ["a", "b "], [0, 1, 1]),
        (["a"], [], [None]),
        (["<think>", "a"], [], [None, None]),
        (["a\n\n", "</think>", "b"], ["a\n\n</think>"], [0, 0, None]),
        (["a\n\n", "b\n\n", "---"], ["a\n\n", "b\n\n---"], [0, 1, 1]),
        (["---\n\n", "a"], [], [None, None]),
    ],
)
def test_the_unfinished_last_segment_is_not_judged(segments, steps, places):
    unfinished = bool(segments and places[-1] is None)
    assert shown_steps(segments, truncated=True) == Shown(steps, places, unfinished)


WORDLESS = (
    *("", " \n\t", "<think>", "</think>\n", "<Think> </THINK >", "<answer></answer>", "<think/>", "< think >"),
    *("<|begin_of_thought|>", "◁think▷", "<seed:think>", "<reflection>", "<think type='x'>"),
    *("\u200b", "\ufeff", "\x00", "\ufffd"),
    *("---", "***", "* * *", "===", "**", "__", "#", "###", ">", "-", "+ ", "|---|:-:|", "<!-- -->", "...", "."),
    *("```", "~~~", "```python", "  ```c++\n", "> ~~~ text", "```\n```", "```latex\n\n```"),
    *("$", "$$", "\\[", "\\]", "\\)", "{", "\\\\", "=", "<", "!", "\u2026", "\U0001f600", "\u2713", "\u25a1", "\u220e"),
)


@pytest.mark.parametrize("text", WORDLESS)
def test_texts_without_words(text):
    assert not has_words(text)


@pytest.mark.parametrize(
    "text",
    [
        *("x", "<think>x", "<b>", "0", "think", "1 < 2 > 0", "\u00e9", "\u4e8c", "\u00bd", "\u00b2", "1.", "**2**"),
        *("\u2205", "\u221e", "\u21d2", "\u2234", "```x = 1```", "```python\nx", "a ```python", "``` 7", "- a", "# a"),
    ],
)
def test_texts_with_words(text):
    assert has_words(text)


pieces = st.sampled_from(["a", "b c", "", " ", "\n\n", "<think>", "</think>", "<answer>", "1<2", "---", "\n```c\n"])


@given(st.lists(pieces, max_size=8), st.booleans())
def test_nothing_is_lost_and_each_segment_gets_the_step_that_holds_its_text(segments, truncated):
    shown = shown_steps(segments, truncated)
    assert len(shown.places) == len(segments)
    assert all(has_words(step) for step in shown.steps)
    if not shown.steps:
        assert not any(map(has_words, segments[: -1 if truncated else None]))
        return
    by_step = [
        "".join(text for text, place in zip(segments, shown.places, strict=True) if place == number)
        for number in range(len(shown.steps))
    ]
    assert by_step == shown.steps
    assert [place for place in shown.places if place is not None] == sorted(p for p in shown.places if p is not None)


def test_the_examples_of_the_page_hold():
    page = (Path(__file__).resolve().parents[2] / "docs/prm.md").read_text()
    rows = re.findall(r"^\| `(\[.*?\])` \| (yes|no) \| `(\[.*?\])` \| `(\[.*?\])` \|$", page, flags=re.MULTILINE)
    assert len(rows) == 8
    for segments, truncated, steps, places in rows:
        found = shown_steps(ast.literal_eval(segments), truncated == "yes")
        assert (found.steps, found.places) == (ast.literal_eval(steps), ast.literal_eval(places))
