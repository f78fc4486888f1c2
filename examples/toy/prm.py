# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The toy process reward model: a segment is as good as its least likely token.

The model is a causal language model that knows the task nearly perfectly (prm_training.py). Any stretch of a response
is scored, wherever it is cut:

1. every token gets its log-probability given all the text before it, newlines and the final EOS (the decision to stop)
   included; any of several words that mean the same, such as the connectives at the head of a line, counts as all of
   them together, so that a free choice costs nothing and another word in its place costs everything;
2. a segment's evidence is the lowest of these values in it, cut off at -12;
3. a logistic function of two fitted numbers turns the evidence into a score in (0, 1).

Since the text before a segment is read as it stands, a faithful segment after a wrong one scores high.

Nothing here is tied to the toy task: the words that mean the same and the two numbers lie in the model's config.json,
under `likelihood_prm`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from verl_prpo.prm.encoding.dialogue import Dialogue
from verl_prpo.prm.families.base import Encoded, PrmError, PrmFamily

LOWEST_EVIDENCE = -12.0
CONFIG_KEY = "likelihood_prm"


@dataclass(frozen=True)
class Link:
    """score = sigmoid(slope * evidence + offset), evidence in nats."""

    slope: float
    offset: float

    def __call__(self, evidence: float) -> float:
        """The score in (0, 1) of one segment."""
        return torch.sigmoid(torch.tensor(self.slope * evidence + self.offset, dtype=torch.float64)).item()


class ToyLikelihoodFamily(PrmFamily):
    """Reads a dialogue with a causal LM and scores each segment by its least likely token."""

    name = "toy_likelihood"
    score_range = (0.0, 1.0)
    prior_mean = 0.5
    prior_std = 12**-0.5

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        link: Link,
        interchangeable: list[int],
    ) -> None:
        """Wrap a loaded model.

        Args:
            model: a causal LM.
            tokenizer: its tokenizer, with a chat template.
            link: from evidence to score.
            interchangeable: ids of the tokens that mean the same.
        """
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.dialogue = Dialogue(tokenizer, model.config.name_or_path)
        self.link = link
        self.interchangeable = interchangeable
        self.max_context: int = model.config.max_position_embeddings

    @classmethod
    def detects(cls, model_config: dict[str, Any]) -> bool:
        """Whether `config.json` holds the settings of a likelihood PRM."""
        return CONFIG_KEY in model_config

    @classmethod
    def load(
        cls, model_path: str, *, device: torch.device, dtype: torch.dtype, trust_remote_code: bool = False
    ) -> "ToyLikelihoodFamily":
        """Load the prm/ folder that build.py writes.

        Raises:
            PrmError: if the folder holds no likelihood PRM, or a tokenizer that is not its own.
        """
        tokenizer = AutoTokenizer.from_pretrained(model_path, trust_remote_code=trust_remote_code)
        model = AutoModelForCausalLM.from_pretrained(model_path, dtype=dtype, trust_remote_code=trust_remote_code)
        settings = getattr(model.config, CONFIG_KEY, None)
        if settings is None:
            raise PrmError(
                f"config.json of {model_path} has no entry {CONFIG_KEY!r}, so this is no likelihood PRM: build one "
                "with examples/toy/build.py and set reward.prm.model_path to its prm/ folder"
            )
        ids = tokenizer.convert_tokens_to_ids(settings["interchangeable"])
        if None in ids or len(tokenizer) != model.config.vocab_size:
            raise PrmError(
                f"the tokenizer in {model_path} has {len(tokenizer)} tokens, the model {model.config.vocab_size}, and "
                f"{settings['interchangeable']} must be among them: build the PRM again with examples/toy/build.py"
            )
        return cls(model.to(device), tokenizer, Link(settings["slope"], settings["offset"]), ids)

    def encode(self, messages: Sequence[dict[str, Any]], segments: Sequence[str]) -> Encoded:
        """Prompt, segments and EOS as token ids, and where each segment lies.

        Each segment is tokenised by itself; special tokens spelt out in a message or segment are read as plain text.

        Args:
            messages: the dialogue up to the response.
            segments: the texts that make up the response, in order. One without text, as a cut inside a character
                leaves it, is judged by the token after it.

        Returns:
            The token ids, and for each segment the half-open span `(begin, end)` of its tokens; the last span ends
            with EOS.
        """
        ids, _ = self.dialogue.encode(messages, [], end_turn=False)
        reads = []
        for tokens in self.dialogue.plain_ids(segments):
            reads.append((len(ids), len(ids) + max(len(tokens), 1)))
            ids += tokens
        ids.append(self.tokenizer.eos_token_id)
        if reads:
            reads[-1] = (reads[-1][0], len(ids))
        return Encoded(input_ids=ids, reads=reads)

    def forward(self, batch: Sequence[Encoded]) -> list[list[float]]:
        """Scores of all segments of a batch of dialogues, from one padded forward pass.

        Returns:
            For each row one score in (0, 1) a segment.
        """
        return [[self.link(x) for x in row] for row in self.evidence(batch)]

    @torch.inference_mode()
    def evidence(self, batch: Sequence[Encoded]) -> list[list[float]]:
        """The lowest token log-probability of every segment, in nats, between -12 and 0."""
        length = max(len(row.input_ids) for row in batch)
        pad = self.tokenizer.pad_token_id
        ids = torch.tensor([row.input_ids + [pad] * (length - len(row.input_ids)) for row in batch])
        ids = ids.to(self.model.device)
        # Padding lies to the right, where causal attention never looks.
        log_probs = self.model(input_ids=ids[:, :-1]).logits.float().log_softmax(-1)
        own = log_probs.gather(-1, ids[:, 1:, None])[..., 0]
        same = torch.tensor(self.interchangeable, device=ids.device)
        together = log_probs[..., same].logsumexp(-1)
        values = torch.where(torch.isin(ids[:, 1:], same), together, own).clamp(min=LOWEST_EVIDENCE, max=0.0).cpu()
        return [[values[i, b - 1 : e - 1].min().item() for b, e in row.reads] for i, row in enumerate(batch)]
