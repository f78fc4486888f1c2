# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Responses from vLLM: all problems in its queue at once, each given out when its last sample is done."""

import gc
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from verl_prpo.evaluation import EvaluationError
from verl_prpo.evaluation.protocol import Sampling


@dataclass(frozen=True)
class Request:
    """A prompt and how many responses it gets.

    Attributes:
        name: unique among all sets; together with the seed it fixes the samples.
        tokens: the prompt's ids.
        sampling: how its responses are drawn.
    """

    name: str
    tokens: Sequence[int]
    sampling: Sampling


@dataclass(frozen=True)
class Response:
    """A sample.

    Attributes:
        text: without special tokens, decoded as a whole as in training.
        tokens: how many, with the one that ends it.
        finish_reason: of vLLM; "length" for a response that was cut.
    """

    text: str
    tokens: int
    finish_reason: str


def prepare_environment() -> None:
    """Settings that vLLM and torch read when they are imported: fewer lines in the log, and the CPU platform's."""
    from verl_prpo.cpu import distribution, environment, is_requested

    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if is_requested():
        environment.set_defaults()
        distribution.install()


def engine_defaults() -> dict[str, Any]:
    """Arguments of vLLM's engine that the platform asks for."""
    from verl_prpo.cpu import is_requested

    if is_requested():  # docs/cpu.md
        # A prompt in several chunks ends in an error when its request has a seed (vllm/v1/worker/gpu_model_runner.py:
        # torch's CPU generators have no offset).
        whole_prompts = {"enable_chunked_prefill": False}
        return {"dtype": "float32", "enforce_eager": True, "distributed_executor_backend": "uni", **whole_prompts}
    return {}


class VllmEngine:
    """A model in vLLM."""

    def __init__(self, model: str, arguments: dict[str, Any]):
        """Load the model.

        Args:
            model: folder or hub name.
            arguments: of vLLM's `LLM`.

        Raises:
            EvaluationError: no vLLM, or one that cannot load the model.
        """
        try:
            from vllm import LLM
        except ModuleNotFoundError as error:
            raise EvaluationError(f"{error}: eval needs vLLM; pip install vllm (on a CPU: docs/cpu.md)") from error
        try:
            self._llm: Any = LLM(model, **{"use_tqdm_on_load": False, **arguments})
        except Exception as error:
            given = " ".join(f"{key}={value}" for key, value in arguments.items())
            raise EvaluationError(
                f"vLLM cannot load {model} with {given}: {type(error).__name__}: {error}\n"
                "--vllm KEY=VALUE changes its settings; without an accelerator set VERL_PLATFORM=cpu"
            ) from error

    def close(self) -> None:
        """Shut the engine down and let go of it; one that the interpreter's end finds alive leaves compiled kernels
        behind, whose libraries then report leaks."""
        if self._llm is not None:
            self._llm.llm_engine.engine_core.shutdown()
            self._llm = None
            gc.collect()  # it holds itself in cycles

    def generate(
        self, requests: Sequence[Request], decode: Callable[[Sequence[int]], str]
    ) -> Iterator[list[tuple[Request, list[Response]]]]:
        """Respond to all requests, giving out those that finish, as they finish.

        Args:
            requests: of different names.
            decode: token ids of a response to its text.

        Raises:
            EvaluationError: the engine fails.
        """
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        parameters = [
            SamplingParams(
                n=request.sampling.samples,
                temperature=request.sampling.temperature,
                top_p=request.sampling.top_p,
                max_tokens=request.sampling.max_tokens,
                seed=None if request.sampling.greedy else seed_of(request.name, request.sampling.seed),
                detokenize=False,
                output_kind=RequestOutputKind.FINAL_ONLY,  # all samples of a request together
            )
            for request in requests
        ]
        if self._llm is None:
            raise EvaluationError("the engine was closed")
        engine = self._llm.llm_engine
        waiting = {str(number): request for number, request in enumerate(requests)}
        try:
            for (number, request), chosen in zip(waiting.items(), parameters, strict=True):
                engine.add_request(number, {"prompt_token_ids": list(request.tokens)}, chosen)
            while engine.has_unfinished_requests():
                finished = [output for output in engine.step() if output.finished]
                yield [(waiting[output.request_id], _responses(output, decode)) for output in finished]
        except Exception as error:
            raise EvaluationError(f"vLLM failed: {type(error).__name__}: {error}") from error
        finally:
            if engine.has_unfinished_requests():  # of an interrupted run
                engine.abort_request(list(waiting))


def seed_of(name: str, seed: int) -> int:
    """A seed of its own for each problem, so that its samples do not depend on what else is in the batch."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:4], "big") >> 1


def _responses(output: Any, decode: Callable[[Sequence[int]], str]) -> list[Response]:
    ordered = sorted(output.outputs, key=lambda sample: sample.index)
    return [
        Response(decode(list(sample.token_ids)), len(sample.token_ids), str(sample.finish_reason)) for sample in ordered
    ]
