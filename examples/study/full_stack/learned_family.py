# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The study's learned PRM (`study.prms.Learned`) as a PRM family, for `reward.prm.custom_family`.

Its scores are those of the light trainer with these exceptions. Only text comes in, tokenised segment by segment: a
policy that spells a word token out in characters, or writes padding or the mark between prompt and response, is read
otherwise. A segment of EOS alone has no text, so the package gives it the score of the segment before, in which EOS is
judged, too (one response in a hundred of the starting policy on `early`). Whether EOS or the limit ended a response is
told by its length: only one that was cut off has as many tokens as the limit allows.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from study.prms import LEAST_LOG_P, Learned
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from verl_prpo.prm.encoding.dialogue import Dialogue
from verl_prpo.prm.families.base import Encoded, PrmError, PrmFamily

HEAD, SETTINGS = "head.safetensors", "learned_prm.json"


def write_prm(prm: Learned, tokenizer: PreTrainedTokenizerBase, max_new_tokens: int, folder: Path) -> None:
    """Write a learned PRM as a folder in Hugging Face format, its head and settings beside the model."""
    prm.model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    save_file({name: weight.contiguous() for name, weight in prm.head.state_dict().items()}, folder / HEAD)
    (folder / SETTINGS).write_text(json.dumps({"max_new_tokens": max_new_tokens}))


class LearnedFamily(PrmFamily):
    """Scores a segment by its worst token, from the hidden state behind each token and its log-probability."""

    name = "study_learned"

    def __init__(self, model: Any, head: nn.Linear, tokenizer: PreTrainedTokenizerBase, max_new_tokens: int):
        """Wrap a loaded model and its head; a response of `max_new_tokens` tokens was cut off."""
        self.model = model.eval()
        self.head = head
        self.tokenizer = tokenizer
        self.dialogue = Dialogue(tokenizer, model.config.name_or_path)
        self.max_new_tokens = max_new_tokens
        self.max_context: int = model.config.max_position_embeddings

    @classmethod
    def load(
        cls, model_path: str, *, device: torch.device, dtype: torch.dtype, trust_remote_code: bool = False
    ) -> "LearnedFamily":
        """Load a folder that `write_prm` wrote.

        Raises:
            PrmError: the folder is none of those.
        """
        folder = Path(model_path)
        if not (folder / HEAD).is_file() or not (folder / SETTINGS).is_file():
            raise PrmError(f"reward.prm.model_path={model_path} lacks {HEAD} or {SETTINGS}: full_stack.sh writes both")
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(device)
        head = nn.Linear(model.config.hidden_size + 1, 1)
        head.load_state_dict(load_file(folder / HEAD))
        settings = json.loads((folder / SETTINGS).read_text())
        return cls(model, head.to(device, dtype), AutoTokenizer.from_pretrained(folder), settings["max_new_tokens"])

    def encode(self, messages: Sequence[dict[str, Any]], segments: Sequence[str]) -> Encoded:
        """Token ids and the half-open span of each segment's tokens; EOS, unless cut off, belongs to the last one."""
        ids, _ = self.dialogue.encode(messages, [], end_turn=False)
        begin, reads = len(ids), []
        for tokens in self.dialogue.plain_ids(segments):
            reads.append((len(ids), len(ids) + len(tokens)))
            ids += tokens
        if len(ids) - begin < self.max_new_tokens:
            ids.append(self.tokenizer.eos_token_id)
        if reads:
            reads[-1] = (reads[-1][0], len(ids))
        return Encoded(input_ids=ids, reads=reads)

    @torch.inference_mode()
    def forward(self, batch: Sequence[Encoded]) -> list[list[float]]:
        """For each row the lowest probability of being right among each segment's tokens."""
        longest = max(len(row.input_ids) for row in batch)
        pad = self.tokenizer.pad_token_id  # to the right, where causal attention never looks
        ids = torch.tensor([row.input_ids + [pad] * (longest - len(row.input_ids)) for row in batch])
        ids = ids.to(self.model.device)
        hidden = self.model.model(input_ids=ids).last_hidden_state
        log_p = self.model.lm_head(hidden[:, :-1]).log_softmax(-1).gather(-1, ids[:, 1:, None])
        seen = torch.cat([hidden[:, 1:], log_p.clamp(min=LEAST_LOG_P)], -1)
        right = self.head(seen)[..., 0].float().sigmoid().cpu()  # column i is token i + 1
        return [[right[i, b - 1 : e - 1].min().item() for b, e in row.reads] for i, row in enumerate(batch)]
