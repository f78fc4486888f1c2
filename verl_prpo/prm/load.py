# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Load a process reward model and score responses with it, in a notebook or a script.

This needs no trainer, no Ray and no settings file.

This is the engine that training uses with `reward.prm.engine=in_process`, so the scores are those of a run.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload

import torch

from verl_prpo.prm.families.base import PrmError, PrmFamily
from verl_prpo.prm.in_process.engine import open_in_process_engine
from verl_prpo.prm.open_prm import OpenPrm, open_at_servers, open_function
from verl_prpo.prm.results import PrmFailure, PrmRequest, PrmResult
from verl_prpo.settings.prpo import ConfigError, prm_config

Messages = Sequence[Mapping[str, Any]]
SegmentScores = list[float | None]


class LoadedPrm:
    """A process reward model in this process, ready to score. `load_prm` makes one.

    Attributes:
        family: the name of its family, such as qwen_math_prm.
        score_range: the least and the greatest score that it can give.
        prior_mean, prior_std: mean and standard deviation of the prior that turns scores into z = (score - mean) / std.
        max_model_len: the longest dialogue (problem, response and what the family adds) that it reads, in tokens. None
            for a score function, and for a judge that writes, whose servers refuse what is too long.
    """

    def __init__(self, engine: OpenPrm):
        self._engine = engine
        family = engine.family
        self.family = family.name
        self.score_range = (float(family.score_range[0]), float(family.score_range[1]))
        self.prior_mean = float(family.prior_mean)
        self.prior_std = float(family.prior_std)
        served_chat = isinstance(family, PrmFamily) and family.serving == "chat"
        self.max_model_len = None if served_chat else family.max_context

    def __repr__(self) -> str:
        low, high = self.score_range
        return f"LoadedPrm(family={self.family}, scores in [{low:g}, {high:g}], max_model_len={self.max_model_len})"

    def close(self) -> None:
        """End what runs for it: connections to servers, or the processes of a score function. A model here has none."""
        self._engine.close()

    def score(self, messages: Messages, segments: Sequence[str], **row: Any) -> SegmentScores:
        """Score the segments of one response.

        Args:
            messages: the problem as chat messages, each with a role and a content.
            segments: texts whose concatenation is the response.
            row: the row of the data, for a score function: data_source, ground_truth, extra_info. A model reads none
                of it.

        Returns:
            One score per segment, in `score_range`. A segment without words gets the score of the step that it joins.
            None stands for a segment past `max_model_len`, only with `overlong="neutral"`, for one that is longer than
            a window, with `overlong="windows"`, and for one to which a score function gives None.

        Raises:
            PrmError: there are no scores. Its `kind` says why, and its message says what to do.
        """
        return self.score_batch([(messages, segments)], rows=[row])[0]

    @overload
    def score_batch(
        self,
        responses: Sequence[tuple[Messages, Sequence[str]]],
        *,
        return_exceptions: Literal[False] = False,
        rows: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[SegmentScores]: ...

    @overload
    def score_batch(
        self,
        responses: Sequence[tuple[Messages, Sequence[str]]],
        *,
        return_exceptions: bool,
        rows: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[SegmentScores | PrmError]: ...

    def score_batch(
        self,
        responses: Sequence[tuple[Messages, Sequence[str]]],
        *,
        return_exceptions: bool = False,
        rows: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[SegmentScores] | list[SegmentScores | PrmError]:
        """Score many responses, those of like length in one forward pass.

        Args:
            responses: the messages and the segments of each, as in `score`.
            return_exceptions: put the `PrmError` of a response that has no scores in their place, and go on.
            rows: rows of the data, one per response, for a score function.

        Returns:
            For each response what `score` returns, in their order.

        Raises:
            PrmError: a response has no scores, unless `return_exceptions`. The message counts those that have none.
        """
        if rows is not None and len(rows) != len(responses):
            raise PrmError(f"rows must have one entry per response: {len(rows)} for {len(responses)} responses")
        known = rows if rows is not None else [{}] * len(responses)
        found: list[Any] = [_request(*response, row) for response, row in zip(responses, known, strict=True)]
        asked = [i for i, request in enumerate(found) if isinstance(request, PrmRequest)]
        for i, result in zip(asked, self._engine.score([found[i] for i in asked]), strict=True):
            found[i] = result.scores if result.failure is None else self._error(result)
        faults = [i for i, scores in enumerate(found) if isinstance(scores, PrmError)]
        if faults and not return_exceptions:
            first = found[faults[0]]
            if len(found) == 1:
                raise first
            also = f" ({len(faults)} of {len(found)} responses have no scores. return_exceptions=True keeps the others)"
            raise PrmError(f"response {faults[0]}: {first}{also}", first.kind)
        return found

    def _error(self, result: PrmResult) -> PrmError:
        assert result.failure is not None
        detail = result.detail
        if result.failure is PrmFailure.OVERLONG and self.max_model_len is not None:
            detail = f"the dialogue has {result.tokens} tokens, and {self.family} reads at most {self.max_model_len}"
        return _error(result.failure, detail)


def load_prm(
    path: str | Path,
    *,
    family: str | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    max_model_len: int | None = None,
    max_tokens_per_forward: int | None = None,
    overlong: Literal["raise", "neutral", "windows"] = "raise",
    window_context: float = 0.5,
    family_options: Mapping[str, Any] | None = None,
    score_function: str | Mapping[str, Any] | None = None,
    trust_remote_code: bool = False,
    server: Mapping[str, Any] | None = None,
    timeout: float | None = None,
) -> LoadedPrm:
    r"""Load a process reward model, so that a few lines of Python can score the steps of a response.

    >>> prm = load_prm("Qwen/Qwen2.5-Math-PRM-7B")
    >>> question = [{"role": "user", "content": "What is 3 * 4 + 1?"}]
    >>> scores = prm.score(question, ["3 * 4 = 12.\n\n", "12 + 1 = 13, so the answer is 13."])
    >>> len(scores)
    2
    >>> all(0 <= score <= 1 for score in scores)
    True

    Args:
        path: a folder or a hub name in Hugging Face format, or the Python file that defines `score_function`.
        family: how the model reads a dialogue (docs/prm.md lists the families). None reads it from the model's
            config.json. A family of your own is known by its name after `verl_prpo.prm.families.register_family`.
        device: as torch names it. None stands for cuda where there is one, and else for the CPU.
        dtype: bfloat16, float16 or float32. None stands for bfloat16 on accelerators and float32 on the CPU.
        max_model_len: the longest dialogue to read, in tokens, at most what the model was made for. None stands for
            that.
        max_tokens_per_forward: most tokens of one forward pass, padding included. None stands for 16384, or 2048 on the
            CPU. A pass that runs out of memory is tried again with fewer.
        overlong: what becomes of a dialogue longer than `max_model_len`: "raise" raises a PrmError, "neutral" gives
            None to the segments that do not fit, and "windows" reads the dialogue in parts.
        window_context: with windows, about which share of each is context, from 0 to 0.9.
        family_options: options of the family, such as {"chat_template_kwargs": {"enable_thinking": False}}.
        score_function: the name of a function in the file `path` that gives the scores in place of a model
            (docs/step_rewards.md), or a dict with its name and the options of `reward.prm.score_function`. It runs in a
            process of its own. The arguments about models are not read then.
        trust_remote_code: passed on to transformers.
        server: for a PRM that is served, its servers: {"urls": ["http://prm-0:8000"]} and any other key of
            `reward.prm.server`. Its weights are not loaded here then.
        timeout: with `server`, the longest wait for the scores of one call, in seconds. None stands for 600.

    Raises:
        PrmError: the model is no known PRM, or cannot be used as asked. The message says what was found and what to
            change.
    """
    if not isinstance(path, (str, Path)):
        raise PrmError(f"path must be a folder or a hub name, and it is {path!r}")
    if family_options is not None and not isinstance(family_options, Mapping):
        raise PrmError(f"family_options must be a dict, and it is {family_options!r}")
    if score_function is not None:
        return LoadedPrm(_function(path, score_function))
    if max_model_len is not None and type(max_model_len) is not int:
        raise PrmError(f"max_model_len must be a whole number of tokens, and it is {max_model_len!r}")
    if server is not None and not isinstance(server, Mapping):
        raise PrmError(f"server must be a dict with urls, and it is {server!r}")
    try:
        where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError as error:
        raise PrmError(f"device={device!r} is none that torch knows, such as cuda, cuda:1 or cpu") from error
    section: dict[str, Any] = {
        "model_path": str(path),
        "family": family,
        "family_options": dict(family_options or {}),
        "dtype": str(dtype).removeprefix("torch.") if dtype is not None else None,
        "max_tokens_per_forward": max_tokens_per_forward,
        "overlong": overlong,
        "window_context": window_context,
        "trust_remote_code": trust_remote_code,
    }
    if timeout is not None:
        section["timeout"] = timeout
    if server is not None:
        section |= {"engine": "server", "server": dict(server)}
    try:
        config = prm_config({"prm": section})
        if server is None:
            local = open_in_process_engine(config, where)
            engine = OpenPrm(local.family, str(where), local.score)
        else:
            engine = open_at_servers(config)
    except (PrmError, ConfigError) as error:
        raise PrmError(_for_python(str(error))) from error
    except Exception as error:  # of transformers or the hub, on weights that cannot be had
        raise PrmError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    if max_model_len is not None:
        if not isinstance(engine.family, PrmFamily) or engine.family.serving == "chat":
            raise PrmError(
                f"max_model_len={max_model_len} is not read: the servers of {path} have a context of their own"
            )
        longest = engine.family.max_context or 0
        if not 0 < max_model_len <= longest:
            raise PrmError(f"max_model_len={max_model_len} must be from 1 to {longest}, the longest that {path} reads")
        engine.family.max_context = max_model_len
    return LoadedPrm(engine)


def _function(path: str | Path, named: str | Mapping[str, Any]) -> OpenPrm:
    options = {"name": named} if isinstance(named, str) else named
    if not isinstance(options, Mapping):
        raise PrmError(f"score_function must be the function's name, or a dict with its name, and it is {named!r}")
    section = {"score_function": {**options, "path": str(path)}}
    try:
        return open_function(prm_config({"prm": section}))
    except (PrmError, ConfigError) as error:
        raise PrmError(str(error)) from error


_WAYS_OUT = {
    PrmFailure.OVERLONG: 'Shorten it, or load the PRM with overlong="windows", which reads it in parts, or '
    'overlong="neutral", which gives None to segments past that',
    PrmFailure.BAD_INPUT: "Messages need a role and a text, and a response needs a segment with words",
    **dict.fromkeys(
        (PrmFailure.WRONG_COUNT, PrmFailure.BAD_OUTPUT, PrmFailure.OUT_OF_RANGE),
        "Does this model belong to the family? load_prm takes another as family",
    ),
}


def _request(messages: Messages, segments: Sequence[str], row: Mapping[str, Any]) -> PrmRequest | PrmError:
    """Return a response as the engine takes it, or the error that says what is wrong with it."""
    if not _is_list_of(segments, str):
        return _error(PrmFailure.BAD_INPUT, f"segments must be a list of texts, and it is {repr(segments)[:80]}")
    if not _is_list_of(messages, Mapping) or not messages or not all(map(_says_something, messages)):
        wanted = "messages must be a list of dicts with role and content"
        return _error(PrmFailure.BAD_INPUT, f"{wanted}, and it is {repr(messages)[:80]}")
    return PrmRequest([dict(message) for message in messages], list(segments), row=row)


def _says_something(message: Mapping[str, Any]) -> bool:
    return isinstance(message.get("role"), str) and bool(message.get("content"))


def _is_list_of(value: Any, kind: type) -> bool:
    return (
        isinstance(value, Sequence) and not isinstance(value, str | bytes) and all(isinstance(v, kind) for v in value)
    )


def _error(kind: PrmFailure, detail: str) -> PrmError:
    way_out = f". {_WAYS_OUT[kind]}." if kind in _WAYS_OUT else ""
    return PrmError(_for_python(f"no scores ({kind.value}): {detail}{way_out}"), kind)


def _for_python(message: str) -> str:
    """Add to a message that names settings of a run which arguments stand for them here."""
    if "reward.prm." not in message:
        return message
    return f"{message} (Here reward.prm.model_path is load_prm's path, and any other reward.prm.KEY its argument KEY.)"
