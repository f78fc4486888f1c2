# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluations for tests: problems, and dumps that verl's own writer writes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from verl.trainer.ppo.v1.trainer_base import PPOTrainer

from verl_prpo.evaluation.dump import read_dump
from verl_prpo.evaluation.folder import EvaluationFolder
from verl_prpo.evaluation.problems import EvaluationProblem
from verl_prpo.evaluation.prompts import Job
from verl_prpo.evaluation.sampling import Sampling
from verl_prpo.outcome.reward_function import compute_score

GREEDY = Sampling(1, 0.0, 1.0, 64, 0)
RIGHT, WRONG = "#### 4", "#### 5"


def job(index: int, truth: Any = "4", tokens: int = 3, **about: Any) -> Job:
    messages = [{"role": "user", "content": f"question {index}"}]
    return Job("gsm8k", EvaluationProblem(index, "openai/gsm8k", messages, truth, about), tokens)


def verl_dumps(folder: Path, responses: Mapping[str, Sequence[str]], **changed: Sequence[Any]) -> Path:
    """A validation dump of verl, with what the reward manager of an evaluation adds; keyed by problem."""
    rows = [(problem, session, text) for problem, texts in responses.items() for session, text in enumerate(texts)]
    parts = [compute_score("openai/gsm8k", text, "4") for *_, text in rows]
    infos: dict[str, Any] = {key: [part[key] for part in parts] for key in parts[0]}
    infos["problem"] = [problem for problem, *_ in rows]
    infos["tokens"] = [len(text) for *_, text in rows]
    infos["truncated"] = [0.0] * len(rows)
    infos["uid"] = [f"0a1b-{problem.replace('/', '-')}_{session}_0" for problem, session, _ in rows]
    texts, scores = [text for *_, text in rows], [part["score"] for part in parts]
    PPOTrainer._write_generations(
        ["?"] * len(rows), texts, ["4"] * len(rows), scores, {**infos, **changed}, str(folder), 0
    )
    return folder


def evaluation(path: Path, responses: Mapping[int, Sequence[str]], **changed: Any) -> EvaluationFolder:
    """An evaluation as the command leaves it, of responses given here; `about` is extra_info by problem."""
    about, truth = changed.pop("about", {}), changed.pop("truth", "4")
    samples = len(next(iter(responses.values())))
    sampling = Sampling(samples, 0.7, 0.9, 64, 0) if samples > 1 else GREEDY
    settings = {"digest": "abc", "sampling": sampling.as_dict(), "scorer": "x", "total": 9, "selected": len(responses)}
    folder = EvaluationFolder(path)
    path.mkdir(parents=True, exist_ok=True)
    folder.note({"where": str(path), "files": []}, {"gsm8k": {**settings, **changed}}, {})
    found = read_dump(verl_dumps(path / "dump", {f"gsm8k/{i}": texts for i, texts in responses.items()}))
    jobs = [job(index, truth, **about.get(index, {})) for index in responses]
    folder.write_records(
        "gsm8k", [{**one.problem.about(), "prompt_tokens": 3, "samples": found[one.name]} for one in jobs]
    )
    return folder
