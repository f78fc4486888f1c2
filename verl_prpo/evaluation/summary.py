# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The figures of `summary.json`, computed from the kept records."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from verl_prpo.evaluation.dump import TOO_LONG
from verl_prpo.evaluation.folder import EvaluationFolder, Record
from verl_prpo.evaluation.statistics import RESAMPLES, bootstrap_intervals, majority, pass_at_k
from verl_prpo.evaluation.votes import cast_votes
from verl_prpo.outcome.scorer import UNDECIDED

LEVEL = 0.95


def summarize(folder: EvaluationFolder, seed: int = 0) -> dict[str, Any]:
    """Compute the figures of every finished set of a folder.

    Args:
        folder: an evaluation with results.
        seed: seed of the bootstrap.

    Returns:
        As `summary.json` has it: model, versions, bootstrap, and by set its settings, counts, `metrics` (name to value
        and interval, both in [0, 1]), and the same by level and by subject.
    """
    settings = folder.settings()
    sets = {}
    for name, of_set in settings["sets"].items():
        records = list(folder.records(name).values())
        if records:
            sets[name] = {**of_set, **_of_records(records, of_set["sampling"]["samples"], seed)}
    return {
        "model": settings["model"]["where"],
        "versions": settings.get("versions", {}),
        "bootstrap": {"resamples": RESAMPLES, "level": LEVEL, "seed": seed},
        "sets": sets,
    }


def _of_records(records: Sequence[Record], k: int, seed: int) -> dict[str, Any]:
    samples = [sample for record in records for sample in record["samples"]]
    generated = [sample for sample in samples if sample["finish_reason"] != TOO_LONG]
    methods = Counter(sample["method"] for sample in samples)
    figures = _figures(records, k)
    return {
        "problems": len(records),
        "metrics": _means(figures, range(len(records)), seed),
        "tokens_mean": _mean([sample["tokens"] for sample in generated]),
        "truncated": _mean([sample["finish_reason"] == "length" for sample in generated]),
        "no_answer": _mean([sample["answer"] is None for sample in samples]),
        "too_long": sum(record["samples"][0]["finish_reason"] == TOO_LONG for record in records),
        "undecided": sum(methods[method] for method in UNDECIDED),
        "methods": dict(methods.most_common()),
        **{f"by_{kind}": _grouped(records, figures, seed, kind) for kind in ("level", "subject")},
    }


def _figures(records: Sequence[Record], k: int) -> dict[str, list[float]]:
    """Return each metric's value of every problem. There is no maj@k where a right sample's answer is unknown."""
    right = [[bool(sample["correct"]) for sample in record["samples"]] for record in records]
    figures = {f"mean@{k}": [sum(verdicts) / k for verdicts in right]}
    if k > 1:
        for some in pass_ks(k):
            figures[f"pass@{some}"] = [pass_at_k(k, sum(verdicts), some) for verdicts in right]
        votes = [
            cast_votes([s["answer"] for s in record["samples"]], verdicts)
            for record, verdicts in zip(records, right, strict=True)
        ]
        known = [vote for vote in votes if vote is not None]
        if len(known) == len(votes):
            figures[f"maj@{k}"] = [majority(vote, verdicts) for vote, verdicts in zip(known, right, strict=True)]
    return figures


def _means(figures: dict[str, list[float]], rows: Sequence[int], seed: int) -> dict[str, dict[str, Any]]:
    values = np.array(list(figures.values()), dtype=np.float64)[:, list(rows)]
    intervals = bootstrap_intervals(values, seed, level=LEVEL)
    return {
        name: {"value": float(row.mean()), "interval": None if np.isnan(interval).any() else interval.tolist()}
        for name, row, interval in zip(figures, values, intervals, strict=True)
    }


def pass_ks(samples: int) -> list[int]:
    """Return the k of pass@k that are reported: powers of 2 from 2 on, and all samples."""
    return sorted({2**i for i in range(1, samples.bit_length()) if 2**i < samples} | {samples})


def _grouped(records: Sequence[Record], figures: dict[str, list[float]], seed: int, kind: str) -> dict[str, Any]:
    groups: dict[str, list[int]] = {}
    for row, record in enumerate(records):
        if record.get(kind) is not None:
            groups.setdefault(record[kind], []).append(row)
    return {
        group: {"problems": len(rows), "metrics": _means(figures, rows, seed)} for group, rows in sorted(groups.items())
    }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
