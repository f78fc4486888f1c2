# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What the configured PRM is, whether it gives scores, and whether they distinguish a wrong step from a right one."""

import math
from types import SimpleNamespace
from typing import Any

from transformers import AutoTokenizer

from verl_prpo.console.findings import CheckFailed, Finding, State
from verl_prpo.doctor.worked_example import WorkedExample
from verl_prpo.prm.families import checked_family, family_setting, resolve_family
from verl_prpo.prm.families.base import Encoded, PrmError, PrmFamily
from verl_prpo.prm.families.checkpoints import read_model_config
from verl_prpo.prm.families.label_token import LabelTokenPrm
from verl_prpo.prm.open_prm import OpenPrm, weight_bytes
from verl_prpo.prm.results import PrmResult
from verl_prpo.prm.score_function.engine import FunctionScale
from verl_prpo.settings.advice import finer_cuts, for_past_window
from verl_prpo.settings.prm import GENERATED_VERDICTS
from verl_prpo.settings.prpo import PrmConfig, PrpoConfig

SMALL = 2 * 10**9
"""Bytes of weights up to which the PRM is loaded unasked."""

FAINT = 0.2
"""Prior standard deviations by which a wrong step must score lower than a right one."""

OF_THE_NETWORK = {
    "ConnectionError",
    "ConnectTimeout",
    "NetworkError",
    "OfflineModeIsEnabled",
    "LocalEntryNotFoundError",
    "ProxyError",
    "TimeoutException",
}
"""Class names of the errors that the hub's client and the HTTP libraries beneath it raise when no answer comes."""

TOKENS_PER_DELIMITED_SEGMENT = 16
"""Tokens of a segment, assumed for the segmenters text and tokens, whose number of segments has no bound."""


def model(config: PrmConfig) -> Finding:
    """Find the model's config.json, here or on the hub.

    Raises:
        PrmError: there is none.
        CheckFailed: the hub cannot be reached, and its cache lacks the model.
    """
    if config.family == GENERATED_VERDICTS:
        return Finding(f"{config.model_path} is at its servers, and none of its files is read here", value=True)
    try:
        content = read_model_config(config.model_path or "")
    except PrmError as error:
        if not _unreachable(error):
            raise
        raise CheckFailed(
            f"reward.prm.model_path={config.model_path}: the hub cannot be reached from here, and its cache has no "
            f"{config.model_path}",
            f"download it where the hub can be reached (hf download {config.model_path} --local-dir FOLDER), copy it "
            "here and set ++reward.prm.model_path=FOLDER",
        ) from error
    facts: dict[str, Any] = {"architectures": content.get("architectures"), "model_type": content.get("model_type")}
    classes = content.get("id2label") or content.get("num_labels")
    if classes:
        facts["classes"] = classes
    size = weight_bytes(config)
    facts["weights"] = f"{shown_bytes(size)} on this machine" if size is not None else "not on this machine"
    lines = [f"{config.model_path} has a config.json", *(f"{name}: {fact}" for name, fact in facts.items())]
    return Finding("\n".join(lines), details={**facts, "weight_bytes": size}, value=True)


def family_of(config: PrmConfig) -> Finding:
    """Find which family reads the model.

    The finding's value is the family opened without weights, or the class alone for one that servers cannot hold.

    Raises:
        PrmError: a family that is not known, a model that none claims, or what a tokenizer or config lacks.
    """
    cls = resolve_family(config)
    family: PrmFamily | type[PrmFamily] = cls
    if cls.serving is not None:  # others are read with their weights alone
        options = {"trust_remote_code": config.trust_remote_code, **config.family_options}
        family = checked_family(cls.open(config.model_path or "", **options), family_setting(config))
    named = config.family is not None or config.custom_family.path is not None
    lines = [
        f"{family.name} ({'named by you' if named else 'detected from config.json'})",
        f"servers give its scores by {family.serving}" if family.serving else "in process only, servers do not hold it",
    ]
    details = {"family": family.name, "setting": family_setting(config), "serving": family.serving}
    return Finding("\n".join(lines), details=details, value=family)


def reading(config: PrmConfig, prpo: PrpoConfig, family: PrmFamily, example: WorkedExample) -> Finding:
    """Report how much the family can read, where in a dialogue it reads its scores, with which labels and which scale.

    Raises:
        PrmError: the credit reads scores on another scale.
        CheckFailed: the family cannot read the example.
    """
    on_scale = scale(family, prpo)
    encoded = _encoded(family, example)
    context = "that of the servers" if family.serving == "chat" else f"{family.max_context} tokens"
    lines = [f"context: {context}", on_scale.found]
    details = {"max_context": family.max_context, **on_scale.details}
    if all(isinstance(read, int) for read in encoded.reads):  # a position, not a span
        tokenizer = AutoTokenizer.from_pretrained(config.model_path, trust_remote_code=config.trust_remote_code)
        ids = sorted({encoded.input_ids[read] for read in encoded.reads})
        details["read_at"] = [_token(tokenizer, i) for i in ids]
        lines.append(f"a step's score is read at the token {', '.join(details['read_at'])}")
    if isinstance(family, LabelTokenPrm):
        tokenizer = AutoTokenizer.from_pretrained(config.model_path, trust_remote_code=config.trust_remote_code)
        details["labels"] = [_token(tokenizer, i) for i in family.label_ids]
        lines.append(f"labels: {' against '.join(details['labels'])}")
    return Finding("\n".join(lines), details=details, value=True)


def scale(family: PrmFamily | FunctionScale, prpo: PrpoConfig) -> Finding:
    """Report the scale on which a family or a score function judges, as it describes itself.

    Raises:
        PrmError: the credit reads scores on another scale.
    """
    from verl_prpo.trainer.mixin import require_score_range

    described: Any = SimpleNamespace(family=family.name, score_range=family.score_range)
    require_score_range(described, prpo)
    low, high = family.score_range
    text = f"scores from {low:g} to {high:g}, prior mean {family.prior_mean:.4g} and std {family.prior_std:.4g}"
    details = {"score_range": [low, high], "prior_mean": family.prior_mean, "prior_std": family.prior_std}
    return Finding(text, details=details, value=True)


def scores(prm: OpenPrm, example: WorkedExample) -> Finding:
    """Score a right solution and one with a wrong step.

    Raises:
        CheckFailed: the engine gives no scores.
    """
    good, bad = (
        _scores(result, which)
        for result, which in zip(prm.score(example.requests()), ("the good solution", "the bad solution"), strict=True)
    )
    step = example.wrong
    if (good[step] is None or bad[step] is None) and prm.family.max_context is None:
        return Finding(
            f"{prm.family.name} gives step {step + 1} of the example None: it has no score for it",
            State.WARNING,
            "give an example of its own field with --example, whose row holds what the function reads",
            {"good": good, "bad": bad, "wrong_step": step + 1, "where": prm.where},
            value=True,
        )
    if good[step] is None or bad[step] is None:
        raise CheckFailed(
            f"step {step + 1} of {len(bad)} does not fit into the PRM's context of {prm.family.max_context} tokens",
            "choose a PRM that reads longer dialogues",
        )
    drop = good[step] - bad[step]
    lines = [
        f"scored {prm.where}",
        f"good solution: {_listed(good)}",
        f"bad solution:  {_listed(bad)} (step {step + 1} is wrong)",
        f"step {step + 1}: right {good[step]:.4f}, wrong {bad[step]:.4f}, "
        + (f"lower by {drop:.4f}" if drop > 0 else "NOT lower" if drop == 0 else f"HIGHER by {-drop:.4f}"),
    ]
    details = {"good": good, "bad": bad, "wrong_step": step + 1, "drop": drop, "where": prm.where}
    if drop >= FAINT * prm.family.prior_std:
        return Finding("\n".join(lines), details=details, value=True)
    culprit = "the function" if prm.family.max_context is None else "reward.prm.family and the weights"
    advice = (
        f"The PRM scores the wrong step almost as high as the right one. Check {culprit}; "
        "`verl-prpo calibrate` measures it on many responses. For a PRM of another field give --example."
    )
    return Finding("\n".join(lines), State.WARNING, advice, details, value=True)


def overlong(
    config: PrmConfig,
    prpo: PrpoConfig,
    lengths: tuple[int, int],
    policy: str,
    family: PrmFamily,
    example: WorkedExample,
) -> Finding:
    """Estimate the longest dialogue that training can bring, in the PRM's tokens, and compare it with its context.

    Args:
        config: `reward.prm`.
        prpo: `algorithm.prpo`.
        lengths: most tokens of the prompt and of the response, in the policy's tokenizer.
        policy: the policy's folder or hub name.
        family: the PRM's.
        example: a text that is counted in the tokens of both, which gives their ratio.
    """
    if family.serving == "chat":
        found = f"not estimated: {config.model_path}'s tokenizer is at its servers, which refuse what is too long"
        return Finding(found, State.SKIPPED, value=True)
    prompt, response = lengths
    asked, answer = example.problem, "".join(example.good)
    whole = _length(family, asked, [answer])
    # What a text costs is what its second copy adds; so no tokenizer of the family's needs to be known.
    in_prm = _length(family, asked, [answer + answer]) - whole + _length(family, asked + asked, [answer]) - whole
    around = max(0, whole - in_prm)
    cuts = len(example.good) - 1
    per_segment = max(0.0, (_length(family, asked, example.good) - whole) / cuts) if cuts else 1.0
    try:
        counted = len(AutoTokenizer.from_pretrained(policy)(asked + answer, add_special_tokens=False).input_ids)
        ratio, basis = in_prm / counted, f"{in_prm / counted:.2f} of its tokens per token of the policy"
    except Exception as error:
        ratio = 1.0
        basis = f"as many of its tokens, for the policy's tokenizer cannot be read ({type(error).__name__})"
    segments = _most_segments(prpo, response)
    worst = math.ceil((prompt + response) * ratio + around + segments * per_segment)
    fits = worst <= family.max_context
    lines = [
        f"worst case about {worst} tokens of the PRM's ({prompt} + {response} with {basis}, {around} around the "
        f"dialogue, {per_segment:.3g} for each of {segments} segments); it reads {family.max_context}"
    ]
    details = {"worst_case": worst, "max_context": family.max_context, "ratio": ratio, "segments": segments}
    if fits:
        return Finding("\n".join(lines), details=details, value=True)
    if config.thinking == "hide":
        lines.append("thoughts are hidden from it (reward.prm.thinking=hide), and a response without them is shorter")
    behind_problem = family.max_context - around - prompt * ratio
    segment = response * ratio / segments + per_segment
    if config.overlong == "windows":
        return _in_windows(config, prpo, lines, details, behind_problem, segment, segments)
    consequence = {
        "neutral": "segments past the context get the prior mean (z=0) and are counted in prpo/prm/unread",
        "raise": f"such a response is a failure: reward.prm.on_error={config.on_error} decides",
    }[config.overlong]
    lines.append(f"reward.prm.overlong={config.overlong}: {consequence}")
    room = max(0, math.floor((family.max_context - around - segments * per_segment) / ratio) - prompt)
    advice = f"set data.max_response_length to {room} or less" if room else "lower data.max_prompt_length"
    if behind_problem >= 2 * segment:
        advice += ", set ++reward.prm.overlong=windows to have the PRM read long responses in windows"
    elif behind_problem > 0:
        advice += f", set ++reward.prm.overlong=windows and cut finer ({finer_cuts(prpo)})"
    return Finding("\n".join(lines), State.WARNING, f"{advice}, or choose a PRM of longer context", details, value=True)


def _in_windows(
    config: PrmConfig,
    prpo: PrpoConfig,
    lines: list[str],
    details: dict[str, Any],
    room: float,
    segment: float,
    segments: int,
) -> Finding:
    """Report how windows would divide the longest response.

    A window has `room` tokens after the problem. The response has `segments` segments of `segment` tokens each.
    """
    if room >= 2 * segment:
        rest = max(0.0, segment * segments - room)
        windows = 1 + math.ceil(rest / ((1 - config.window_context) * room))
        lines.append(f"reward.prm.overlong=windows: the longest response is read in about {windows} windows")
        return Finding("\n".join(lines), details={**details, "windows": windows}, value=True)
    if room < 1:
        lines.append(
            f"reward.prm.overlong=windows: the longest problem alone fills a window ({details['max_context']} tokens). "
            "No segment of its responses is judged: they get z=0 and are counted in prpo/prm/unread"
        )
        advice = "lower data.max_prompt_length, or choose a PRM of longer context"
        return Finding("\n".join(lines), State.WARNING, advice, details, value=True)
    lines.append(
        f"reward.prm.overlong=windows: a window has room for {int(room)} tokens after the longest problem, and a "
        f"segment of the longest response has about {int(segment)}. Segments that do not fit get z=0 and are counted "
        "in prpo/prm/unread"
    )
    advice = for_past_window(prpo)
    return Finding("\n".join(lines), State.WARNING, f"{advice[0].lower()}{advice[1:]}", details, value=True)


def _unreachable(error: BaseException | None) -> bool:
    """Return whether an error of the hub's client comes from the network, or from a setting that forbids its use."""
    while error is not None:
        if OF_THE_NETWORK & {cls.__name__ for cls in type(error).__mro__}:
            return True
        error = error.__cause__ or error.__context__
    return False


def _most_segments(prpo: PrpoConfig, response: int) -> int:
    if prpo.cuts_turns:  # nobody knows how many
        return max(1, response // TOKENS_PER_DELIMITED_SEGMENT)
    if prpo.cuts_by in ("entropy", "surprisal"):
        if prpo.max_anchors != "auto":
            return prpo.max_anchors + 1
        least, most = prpo.anchor_bounds
        return min(max(response // prpo.tokens_per_anchor, least), most) + 1
    if prpo.cuts_by in ("uniform", "random"):
        return prpo.num_segments
    return 1 if prpo.segmenter == "single" else max(1, response // TOKENS_PER_DELIMITED_SEGMENT)


def _encoded(family: PrmFamily, example: WorkedExample) -> Encoded:
    request = example.requests()[0]
    try:
        return family.encode(request.messages, request.segments)
    except PrmError:
        raise
    except Exception as error:
        raise CheckFailed(
            f"{family.name} cannot read the example: {type(error).__name__}: {error}",
            "give one of its own field with --example",
        ) from error


def _length(family: PrmFamily, problem: str, segments: list[str]) -> int:
    return len(family.encode([{"role": "user", "content": problem}], segments).input_ids)


def _scores(result: PrmResult, which: str) -> list[Any]:
    if result.scores is None:
        kind = result.failure.value if result.failure is not None else "no scores"
        raise CheckFailed(f"{which}: {kind}: {result.detail}", "the same failure would meet responses in training")
    return result.scores


def shown_bytes(size: int) -> str:
    """Write a size for people."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _token(tokenizer: Any, token_id: int) -> str:
    return f"{tokenizer.decode([token_id])!r} ({token_id})"


def _listed(values: list[Any]) -> str:
    return " ".join("unread" if value is None else f"{value:.4f}" for value in values)
