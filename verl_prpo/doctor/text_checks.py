# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Texts in the settings as they will be matched, and how often a dump of responses holds them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from verl_prpo.calibration.response import begins_in_thought
from verl_prpo.console.findings import CheckFailed, Finding, State
from verl_prpo.settings.prpo import PrmConfig, PrpoConfig, prpo_config
from verl_prpo.settings.typed import lost_backslash
from verl_prpo.telemetry.rollouts.read import RolloutError, Row, read_rows
from verl_prpo.text.decoding import shown_texts
from verl_prpo.text.thinking import thought_spans

DELIMITERS = "algorithm.prpo.delimiters"


def texts(config: DictConfig, prm: PrmConfig | None, dump: Path | None) -> Finding:
    """Show each text of the settings as Python writes it, and count the delimiters in a dump.

    Args:
        config: the whole verl configuration.
        prm: its `reward.prm`, None when no PRM is asked.
        dump: a folder or file of rollouts, as `trainer.rollout_data_dir` writes them. None counts nothing.

    Raises:
        CheckFailed: no delimiter occurs in any response of the dump, or the dump cannot be read. The second is an error
            also with a segmenter that cuts at no delimiter.
    """
    prpo = prpo_config(config.algorithm)
    lines = [f"{DELIMITERS}: {', '.join(map(repr, prpo.delimiters))}"] if prpo.cuts_by == "text" else []
    options = {} if prm is None else prm.family_options
    lines += [f"{key}: {text!r}" for key, text in _texts("reward.prm.family_options", options)]
    shown = [*(prpo.delimiters if prpo.cuts_by == "text" else ()), *(text for _, text in _texts("", options))]
    hint = "; ".join(filter(None, map(lost_backslash, shown)))
    if dump is not None and prpo.cuts_by == "text":
        return _counted(prpo, dump, lines, hint, prm is not None and prm.thinking == "hide")
    if dump is not None:
        next(_responses(dump))  # one that cannot be read is an error all the same
        lines.append(f"--dump {dump} is not read: algorithm.prpo.segmenter={prpo.segmenter} cuts at no delimiter")
    if hint:
        return Finding("\n".join(lines), State.WARNING, hint, {"delimiters": prpo.delimiters}, value=True)
    if not lines:
        return Finding("no setting holds a text that is matched", State.SKIPPED)
    return Finding("\n".join(lines), details={"delimiters": prpo.delimiters}, value=True)


def _counted(prpo: PrpoConfig, dump: Path, lines: list[str], hint: str, hides: bool) -> Finding:
    responses = list(_responses(dump, hides))
    counts = {mark: sum(mark in response for response in responses) for mark in prpo.delimiters}
    where = f"{dump}, outside the thoughts that are hidden (reward.prm.thinking=hide)" if hides else str(dump)
    lines += [f"{mark!r} is in {count} of {len(responses)} responses of {where}" for mark, count in counts.items()]
    details = {"delimiters": prpo.delimiters, "responses": len(responses), "with": counts}
    never = [mark for mark, count in counts.items() if not count]
    advice = (
        "a delimiter that never occurs cuts nothing: on a command line write a line break as \\n between quotes, as in "
        f"++{DELIMITERS}='[\"\\n\\n\"]'"
    )
    advice = hint or advice
    if len(never) == len(counts):
        raise CheckFailed("\n".join(lines), f"each response would be one segment; {advice}", details)
    state = State.WARNING if never or hint else State.OK
    return Finding("\n".join(lines), state, advice if never else hint, details, value=True)


def _responses(dump: Path, hides: bool = False) -> Iterator[str]:
    """Read the texts of a dump's responses, without their thoughts where those are hidden from the PRM."""
    files = sorted(dump.glob("*.jsonl")) if dump.is_dir() else [dump]
    if not files:
        raise CheckFailed(f"--dump {dump} holds no .jsonl file", "give the folder that trainer.rollout_data_dir names")
    found = 0
    for file in files:
        try:
            for row in read_rows(file):
                if isinstance(row.columns.get("output"), str):
                    found += 1
                    yield _shown(row) if hides else row.columns["output"]
        except (RolloutError, OSError) as error:
            raise CheckFailed(f"--dump: {error}") from error
    if not found:
        raise CheckFailed(f"--dump {dump} holds no response", "its rows need a column output, as verl writes it")


def _shown(row: Row) -> str:
    """Remove the thoughts from a response: those that its record names, else those that its tags show."""
    record, text = row.rollout(), str(row.columns["output"])
    if record is not None and (thoughts := record.thought_tokens()) is not None:
        return "".join(shown_texts(record.token_texts, thoughts))
    kept, at = [], 0
    for begin, end in thought_spans(text, begins_in_thought(str(row.columns.get("input") or ""), text)):
        kept.append(text[at:begin])
        at = end
    return "".join([*kept, text[at:]])


def _texts(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(f"{key}.{name}", inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _texts(f"{key}[{index}]", inner)
