# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Two evaluations on the same problems, compared problem by problem."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from verl_prpo.data.problems import question_key
from verl_prpo.evaluation import EvaluationError
from verl_prpo.evaluation.folder import EvaluationFolder, Record
from verl_prpo.evaluation.statistics import bootstrap_intervals, mcnemar_p, sign_flip_p

_SHOWN = 3


@dataclass(frozen=True)
class PairedResult:
    """The difference of two runs on a set.

    Attributes:
        name: of the set.
        common: problems that both have finished, over which all the rest is.
        only_a, only_b: problems that one of them lacks.
        mean_a, mean_b: mean share of right samples, in [0, 1].
        difference: mean_a - mean_b.
        interval: 95% bootstrap interval of the difference, over problems; None for one problem.
        better, worse: problems of which the first has the larger share, and the smaller.
        p: two-sided.
        test: that p is of: "McNemar, exact" for one sample a problem in both runs, else "sign flip".
        settings: how the two differ, empty where they were drawn alike.
    """

    name: str
    common: int
    only_a: int
    only_b: int
    mean_a: float
    mean_b: float
    difference: float
    interval: tuple[float, float] | None
    better: int
    worse: int
    p: float
    test: str
    settings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The fields."""
        return asdict(self)


def compare(a: EvaluationFolder, b: EvaluationFolder, seed: int = 0) -> list[PairedResult]:
    """Compare two evaluations on every set that both have.

    Raises:
        EvaluationError: no set in common, no problem in common, or problems of one name with other ground truths or
            questions.
    """
    settings_a, settings_b = a.settings(), b.settings()
    names = [name for name in settings_a["sets"] if name in settings_b["sets"]]
    if not names:
        raise EvaluationError(
            f"no set in common: {a.path} has {', '.join(settings_a['sets'])}, {b.path} {', '.join(settings_b['sets'])}"
        )
    return [_compare(name, (a, settings_a["sets"][name]), (b, settings_b["sets"][name]), seed) for name in names]


def _compare(
    name: str, a: tuple[EvaluationFolder, Mapping[str, Any]], b: tuple[EvaluationFolder, Mapping[str, Any]], seed: int
) -> PairedResult:
    records_a, records_b = a[0].records(name), b[0].records(name)
    common = [index for index in records_a if index in records_b]
    if not common:
        raise EvaluationError(f"{name}: not one problem in common ({len(records_a)} and {len(records_b)} finished)")
    _check_same(name, {index: (records_a[index], records_b[index]) for index in common})
    shares_a = np.array([_share(records_a[index]) for index in common])
    shares_b = np.array([_share(records_b[index]) for index in common])
    differences = shares_a - shares_b
    better, worse = int((differences > 0).sum()), int((differences < 0).sum())
    single = all(len(r[index]["samples"]) == 1 for r in (records_a, records_b) for index in common)
    interval = bootstrap_intervals(differences[None], seed)[0]
    return PairedResult(
        name=name,
        common=len(common),
        only_a=len(records_a) - len(common),
        only_b=len(records_b) - len(common),
        mean_a=float(shares_a.mean()),
        mean_b=float(shares_b.mean()),
        difference=float(differences.mean()),
        interval=None if np.isnan(interval).any() else (float(interval[0]), float(interval[1])),
        better=better,
        worse=worse,
        p=mcnemar_p(better, worse) if single else sign_flip_p(differences, seed),
        test="McNemar, exact" if single else "sign flip",
        settings=tuple(_differing(a[1], b[1])),
    )


def _check_same(name: str, pairs: Mapping[int, tuple[Record, Record]]) -> None:
    truths = [i for i, (a, b) in pairs.items() if a["ground_truth"] != b["ground_truth"]]
    if truths:
        shown = "; ".join(
            f"problem {i}: {pairs[i][0]['ground_truth']!r} and {pairs[i][1]['ground_truth']!r}" for i in truths[:_SHOWN]
        )
        raise EvaluationError(f"{name}: {len(truths)} of {len(pairs)} problems have other ground truths ({shown})")
    questions = [i for i, (a, b) in pairs.items() if question_key(a["question"]) != question_key(b["question"])]
    if questions:
        shown = "; ".join(
            f"problem {i}: {pairs[i][0]['question'][:60]!r} and {pairs[i][1]['question'][:60]!r}"
            for i in questions[:_SHOWN]
        )
        raise EvaluationError(f"{name}: {len(questions)} of {len(pairs)} problems have other questions ({shown})")


def _differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Settings that bear on the figures and differ; seeds and the choice of problems are not among them."""
    flat_a, flat_b = ({**settings, **settings["sampling"]} for settings in (a, b))
    keys = ("samples", "temperature", "top_p", "max_tokens", "scorer", "template_arguments", "engine", "digest")
    named = {"digest": "prompts", "engine": "vLLM"}
    return [
        f"{named.get(key, key)}: {flat_a.get(key)} and {flat_b.get(key)}"
        for key in keys
        if flat_a.get(key) != flat_b.get(key)
    ]


def _share(record: Record) -> float:
    samples = record["samples"]
    return sum(bool(sample["correct"]) for sample in samples) / len(samples)
