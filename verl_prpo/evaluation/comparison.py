# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Two evaluations on the same problems, compared problem by problem."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from verl_prpo.data.problems import question_key
from verl_prpo.evaluation import EvaluationError
from verl_prpo.evaluation.folder import EvaluationFolder, Record, flat
from verl_prpo.evaluation.statistics import bootstrap_intervals, mcnemar_p, sign_flip_p

_SHOWN = 3
_BEARING = {key: key for key in ("samples", "temperature", "top_p", "max_tokens", "scorer", "template_arguments")} | {
    "engine": "vLLM",
    "overrides": "overrides",
    "digest": "prompts",
}
"""Settings that bear on the figures, with their names for people. Seeds and the choice of problems are not among them.
"""


def compare(a: EvaluationFolder, b: EvaluationFolder, seed: int = 0) -> list[dict[str, Any]]:
    """Compare two evaluations on every set that both have.

    Returns:
        For each set: name. common, the number of problems that both have finished, over which all else is. only_a and
        only_b, the indices of unpaired problems. mean_a and mean_b, shares of right samples in [0, 1]. difference and
        interval, its 95% bootstrap interval over problems (None for one problem). better and worse, the problems on
        which A has the larger and the smaller share. p, two-sided, of test: "McNemar, exact" for one sample a problem
        in both, else "sign flip". settings, how the two were evaluated differently.

    Raises:
        EvaluationError: the two have no set or no problem in common, or problems of one name have other ground truths
            or questions.
    """
    sets_a, sets_b = a.settings()["sets"], b.settings()["sets"]
    names = [name for name in sets_a if name in sets_b]
    if not names:
        raise EvaluationError(f"no set in common: {a.path} has {', '.join(sets_a)}, {b.path} {', '.join(sets_b)}")
    return [
        {
            **_compare(name, a.records(name), b.records(name), seed),
            "settings": _differing(flat(sets_a[name]), flat(sets_b[name])),
        }
        for name in names
    ]


def _compare(name: str, a: Mapping[int, Record], b: Mapping[int, Record], seed: int) -> dict[str, Any]:
    common = [index for index in a if index in b]
    if not common:
        raise EvaluationError(f"{name}: not one problem in common ({len(a)} and {len(b)} finished)")
    _check_same(name, "ground truths", [(i, a[i]["ground_truth"], b[i]["ground_truth"]) for i in common])
    questions = [(i, question_key(a[i]["question"]), question_key(b[i]["question"])) for i in common]
    _check_same(name, "questions", questions)
    shares_a, shares_b = (np.array([_share(records[i]) for i in common]) for records in (a, b))
    differences = shares_a - shares_b
    better, worse = int((differences > 0).sum()), int((differences < 0).sum())
    single = all(len(records[i]["samples"]) == 1 for records in (a, b) for i in common)
    interval = bootstrap_intervals(differences[None], seed)[0]
    return {
        "name": name,
        "common": len(common),
        "only_a": [index for index in a if index not in b],
        "only_b": [index for index in b if index not in a],
        "mean_a": float(shares_a.mean()),
        "mean_b": float(shares_b.mean()),
        "difference": float(differences.mean()),
        "interval": None if np.isnan(interval).any() else interval.tolist(),
        "better": better,
        "worse": worse,
        "p": mcnemar_p(better, worse) if single else sign_flip_p(differences, seed),
        "test": "McNemar, exact" if single else "sign flip",
    }


def _check_same(name: str, what: str, triples: Sequence[tuple[int, Any, Any]]) -> None:
    others = [(i, of_a, of_b) for i, of_a, of_b in triples if of_a != of_b]
    if others:
        shown = "; ".join(f"problem {i}: {of_a!r:.60} and {of_b!r:.60}" for i, of_a, of_b in others[:_SHOWN])
        raise EvaluationError(f"{name}: {len(others)} of {len(triples)} problems have other {what} ({shown})")


def _differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    return [f"{said}: {a.get(key)} and {b.get(key)}" for key, said in _BEARING.items() if a.get(key) != b.get(key)]


def _share(record: Record) -> float:
    samples = record["samples"]
    return sum(bool(sample["correct"]) for sample in samples) / len(samples)
