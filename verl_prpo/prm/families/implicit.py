# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Score by implicit process rewards: PRIME-RL/EurusPRM-Stage1 and -Stage2, and the reward models that PRIME trains
(2412.01981, 2502.01456).

Two causal language models with one tokenizer read the dialogue: the PRM and the reference that its training began with.
The score of a segment y is

    beta * sum over its tokens of (log pi_prm(token | tokens before) - log pi_ref(token | tokens before))

which is what the segment adds to the expected outcome reward: q after it minus q before it. Scores add up over segments
and have no bound. How large they are depends on the models. So the prior's mean 0 and its standard deviation are a
first guess, to be replaced by what `verl-prpo calibrate` finds (`algorithm.prpo.prior_mean`, `prior_std`).

Options (`reward.prm.family_options`):
    reference_model_path: folder or hub name of the reference, required. For EurusPRM it is
        Qwen/Qwen2.5-Math-7B-Instruct.
    beta: 0.05 as in PRIME. For EurusPRM it is 0.001.
    step_prefix: what is written before a segment, with {k} for its number. null writes the response as it is. EurusPRM
        is made for "Step {k}: ". Each segment is then stripped of white space, gets a number unless it begins with one
        of its own, and is divided from the next by an empty line. The tokens of number and empty line count as part of
        the segment they stand with.
    chat_template_kwargs: variables of the chat template. A PRM that PRIME trains reads the response after the prompt
        that the policy was given, so give it those of `data.apply_chat_template_kwargs`.

The tokens that end the assistant's turn belong to no segment. Any two models with the same tokenizer would give
numbers, so the family must be asked for by name.
"""

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import torch
from transformers import AutoTokenizer

from verl_prpo.prm.conversation import Step
from verl_prpo.prm.encoding.dialogue import Dialogue, numbered_step
from verl_prpo.prm.encoding.tensors import per_row
from verl_prpo.prm.encoding.tokens import vocabulary
from verl_prpo.prm.families.base import Encoded, PrmError, PrmFamily
from verl_prpo.prm.families.causal_lm import load_causal_lm, logits_at, refuse_known_prm
from verl_prpo.prm.families.checkpoints import context_length
from verl_prpo.prm.families.options import OPTIONS

DIVIDER = "\n\n"
STD_NATS = 5.0
"""Prior standard deviation of a segment's log-ratio: a segment has some dozens of tokens, with some tenths each."""

MOST_NATS = 20.0
"""Bound of the log-ratio per token, averaged over the longest dialogue: past it two models have nothing in common."""

_CHUNK = 512


class ImplicitPrm(PrmFamily):
    """Scores are differences of log-likelihoods, times beta. Only damaged weights give scores outside `score_range`.

    A read is the first position of a segment's tokens and the one after its last. A segment in which a tool spoke has
    such a pair for each of its parts.
    """

    name: ClassVar[str] = "implicit_prm"
    serving: ClassVar[str | None] = None

    def __init__(
        self, dialogue: Dialogue, max_context: int, *, beta: float, step_prefix: str | None, model: Any, reference: Any
    ):
        self.dialogue = dialogue
        self.max_context = max_context
        self.beta = beta
        self.step_prefix = step_prefix
        self.model = model
        self.reference = reference
        bound = beta * MOST_NATS * max_context
        self.score_range = (-bound, bound)
        self.prior_mean = 0.0
        self.prior_std = beta * STD_NATS

    @classmethod
    def load(
        cls,
        model_path: str,
        *,
        device: torch.device,
        dtype: torch.dtype,
        trust_remote_code: bool = False,
        reference_model_path: str | None = None,
        beta: float = 0.05,
        step_prefix: str | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
    ) -> "ImplicitPrm":
        reference_path = _checked_options(model_path, reference_model_path, beta, step_prefix)
        setting = f"{OPTIONS}.reference_model_path"
        refuse_known_prm(model_path, cls.name)
        refuse_known_prm(reference_path, cls.name, setting)
        tokenizer = AutoTokenizer.from_pretrained(model_path, trust_remote_code=trust_remote_code)
        dialogue = Dialogue(tokenizer, model_path, chat_template_kwargs)
        reference_tokenizer = AutoTokenizer.from_pretrained(reference_path, trust_remote_code=trust_remote_code)
        _require_same_vocabulary(dialogue.tokenizer, reference_tokenizer, model_path, reference_path)
        context = min(context_length(path, trust_remote_code) for path in (model_path, reference_path))
        model, reference = (
            load_causal_lm(
                path, cls.name, device=device, dtype=dtype, trust_remote_code=trust_remote_code, setting=named
            )
            for path, named in ((model_path, "reward.prm.model_path"), (reference_path, setting))
        )
        for each in (model, reference):
            rows = each.get_input_embeddings().weight.shape[0]
            dialogue.require_embeddings(
                rows, f"Choose models with the tokenizer they came with, there and in {setting}."
            )
        return cls(dialogue, context, beta=beta, step_prefix=step_prefix, model=model, reference=reference)

    @classmethod
    def open(cls, model_path: str, *, trust_remote_code: bool = False, **options: Any) -> "ImplicitPrm":
        raise PrmError(
            f"the PRM family {cls.name} compares two models on every token of a response, which no server gives. Unset "
            "reward.prm.server.urls to load both in process (++reward.prm.engine=in_process)"
        )

    def encode(self, messages: Sequence[dict[str, Any]], segments: Sequence[str]) -> Encoded:
        return self.encode_turns(messages, [[segment] for segment in segments])

    def encode_turns(self, messages: Sequence[dict[str, Any]], steps: Sequence[Step]) -> Encoded:
        steps = self.dialogue.continuing_turns(steps)
        if self.step_prefix is not None:
            steps = [self._numbered(step, k) for k, step in enumerate(steps, 1)]
            for step, after in pairwise(steps):
                if isinstance(after[0], str):  # in the same turn
                    step[-1] = f"{step[-1]}{DIVIDER}"
        # A token belongs to one segment: each is tokenised on its own, after what the template puts before an answer.
        tokens = iter(
            self.dialogue.continuation_ids([part for step in steps for part in step if isinstance(part, str)])
        )
        pieces: list[list[list[int] | Mapping[str, Any]]] = [
            [next(tokens) if isinstance(part, str) else part for part in step] for step in steps
        ]
        answer: list[str | int | Mapping[str, Any]] = []
        for piece in (piece for parts in pieces for piece in parts):
            answer.extend(piece if isinstance(piece, list) else [piece])
        ids, positions = self.dialogue.encode(messages, answer, end_turn=False)
        if positions[0] == 0:
            raise ValueError("the PRM's chat template puts nothing before the answer, so its first token has no odds")
        reads: list[tuple[int, ...]] = []
        passed, at = 0, positions[0]
        for parts in pieces:
            spans: list[int] = []
            for count in (len(piece) for piece in parts if isinstance(piece, list)):
                begin = positions[passed] if count else at
                passed, at = passed + count, begin + count
                spans += [begin, at]
            reads.append(tuple(spans))
        return Encoded(ids, reads)

    def _numbered(self, step: Step, number: int) -> Step:
        """Strip the texts of a step, and write the step's number before the first of them unless it has its own."""
        assert self.step_prefix is not None
        texts = [n for n, part in enumerate(step) if isinstance(part, str)]
        shown = [part.strip() if isinstance(part, str) else part for part in step]
        shown[texts[0]] = numbered_step(str(step[texts[0]]), number, self.step_prefix)
        return shown

    def forward(self, batch: Sequence[Encoded]) -> list[list[float]]:
        read = [[_columns(spans) for spans in encoded.reads] for encoded in batch]
        rows = [row for row, segments in enumerate(read) for columns in segments for _ in columns]
        columns = [at for segments in read for columns in segments for at in columns]
        said = [batch[row].input_ids[at] for row, at in zip(rows, columns, strict=True)]
        prm = self._log_probs(self.model, batch, rows, columns, said)
        reference = self._log_probs(self.reference, batch, rows, columns, said)
        lengths = [len(columns) for segments in read for columns in segments]
        return per_row(self.scores_from_log_probs(prm, reference, lengths), batch)

    def scores_from_log_probs(self, prm: torch.Tensor, reference: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        """Return beta times the sum of log-ratios over each segment.

        Args:
            prm, reference: log-probabilities that the two models give the tokens, `[tokens]` each.
            lengths: how many tokens each segment has.

        Returns:
            The scores, `[segments]`.
        """
        return torch.stack([self.beta * part.sum() for part in (prm - reference).split(list(lengths))])

    def _log_probs(
        self, model: Any, batch: Sequence[Encoded], rows: list[int], columns: list[int], said: list[int]
    ) -> torch.Tensor:
        """Return the log-probabilities of the tokens `said` at `rows` and `columns`, float64 `[tokens]` on the CPU."""
        device = model.device
        before = (torch.tensor(rows, device=device), torch.tensor(columns, device=device) - 1)
        logits = logits_at(model, batch, before, self.name)
        labels = torch.tensor(said, device=device)
        parts = zip(logits.split(_CHUNK), labels.split(_CHUNK), strict=True)  # float32 of all would outweigh the model
        log_probs = [part.float().log_softmax(-1).gather(-1, label[:, None])[:, 0] for part, label in parts]
        return torch.cat(log_probs).cpu().double()


def _columns(spans: Sequence[int]) -> list[int]:
    """List the positions of a segment's tokens, from the begins and ends of its parts."""
    return [at for begin, end in zip(spans[::2], spans[1::2], strict=True) for at in range(begin, end)]


def _checked_options(model_path: str, reference: str | None, beta: float, step_prefix: str | None) -> str:
    if not isinstance(reference, str) or not reference:
        raise PrmError(
            f"{OPTIONS}.reference_model_path is {reference!r}: the family implicit_prm needs the folder or hub name "
            "of the model that the PRM's training began with (Qwen/Qwen2.5-Math-7B-Instruct for EurusPRM)"
        )
    if reference.rstrip("/") == model_path.rstrip("/"):
        raise PrmError(
            f"{OPTIONS}.reference_model_path={reference} is reward.prm.model_path itself, so every score would be 0. "
            "Give the model that the PRM's training began with"
        )
    if isinstance(beta, bool) or not isinstance(beta, int | float) or not 0 < beta < math.inf:
        raise PrmError(f"{OPTIONS}.beta={beta!r} must be a positive number. PRIME has 0.05, EurusPRM 0.001")
    if step_prefix is not None and not isinstance(step_prefix, str):
        raise PrmError(f"{OPTIONS}.step_prefix={step_prefix!r} must be a text such as 'Step {{k}}: ', or null")
    fields = re.findall(r"\{(\w*)\}", step_prefix or "")
    if [field for field in fields if field != "k"]:
        raise PrmError(
            f"{OPTIONS}.step_prefix={step_prefix!r} has a field that is not known. The step's number is {{k}}"
        )
    return reference


def _require_same_vocabulary(tokenizer: Any, reference: Any, model_path: str, reference_path: str) -> None:
    ids, known = vocabulary(tokenizer), reference.get_vocab()
    other = sorted(token for token, i in ids.items() if known.get(token) != i)
    if other:
        raise PrmError(
            f"{OPTIONS}.reference_model_path={reference_path} has another tokenizer than "
            f"reward.prm.model_path={model_path}: {len(other)} of {len(ids)} tokens differ, such as {other[0]!r}. Give "
            "the model that the PRM's training began with"
        )
