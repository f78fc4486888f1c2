# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Score with any causal language model that says a label at a tag after each step: the family `label_token`.

    <problem> Step 1: <segment 1> <tag>
    Step 2: <segment 2> <tag>

The score of a segment is read at its tag, as the probability of the good label against the bad one. Options
(`verl_prpo.prm.families.label_format`) set the tag, the labels, how a problem and a step are written, and whether a
chat template is around them. With these options the family reads VersaPRM, models of OpenRLHF's `train_prm`, Math-psa
and their like. `math_shepherd` is a preset.

A segment is written without the white space around it. The tag is put there as a token, so the same text in a problem
or a segment is never read, and a step that ends in a full stop gets the same tag as any other. Nothing in a config sets
such a model apart from the language model it was trained from, so the family must be asked for by name.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from transformers import AutoTokenizer

from verl_prpo.prm.encoding.dialogue import Dialogue, problem_text, replaced_system
from verl_prpo.prm.encoding.tag import Tag, find_tag, token_ids
from verl_prpo.prm.encoding.tokens import plain_ids
from verl_prpo.prm.families.base import Encoded, PrmError
from verl_prpo.prm.families.causal_lm import refuse_known_prm
from verl_prpo.prm.families.checkpoints import context_length
from verl_prpo.prm.families.label_format import STEP, LabelFormat, checked_format
from verl_prpo.prm.families.label_token import LabelTokenPrm, distinct_labels, label_probability
from verl_prpo.prm.families.options import OPTIONS


class TaggedLabelsPrm(LabelTokenPrm):
    """Scores in [0, 1] from the label that the model would say at the tag after a step."""

    name: ClassVar[str] = "label_token"

    fix_tag: ClassVar[str] = (
        f"Set {OPTIONS}.tag to the tag that the PRM was trained with. White space counts, also that before {{tag}} in "
        f"{OPTIONS}.step."
    )
    fix_labels: ClassVar[str] = (
        f"Set {OPTIONS}.good and {OPTIONS}.bad to the labels that the PRM was trained with. White space counts: ' +' "
        "is another token than '+'."
    )
    fix_form: ClassVar[str] = f"Change {OPTIONS}.step, .layout or .system, or choose another model."
    fix_model: ClassVar[str] = (
        "Set reward.prm.model_path to a language model that was trained to say labels at a tag, or reward.prm.family "
        "to the family of this model."
    )

    def __init__(self, form: LabelFormat, tokenizer: Any, tag: Tag, label_ids: tuple[int, ...], max_context: int):
        self.form = form
        self.tokenizer = tokenizer
        self.tag = tag
        self.label_ids = label_ids
        self.max_context = max_context
        self.dialogue: Dialogue | None = None
        self.bos_ids: list[int] = []

    @property
    def tag_id(self) -> int:
        """The token at which a step is judged."""
        return self.tag.token

    @property
    def written_ids(self) -> Sequence[int]:
        return (self.tag_id, *self.label_ids)

    @classmethod
    def prepare(
        cls,
        model_path: str,
        *,
        trust_remote_code: bool = False,
        tag: str | None = None,
        good: str = "+",
        bad: str | None = None,
        problem: str | None = None,
        step: str = STEP,
        bos: bool | None = None,
        layout: str = "text",
        score: str = "pair",
        system: str | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
    ) -> "TaggedLabelsPrm":
        """See `PreparedFamily.prepare`, and `LabelFormat` for the options.

        Args:
            chat_template_kwargs: variables of the chat template, where the layout has one.
        """
        form = checked_format(tag, good, bad, problem, step, bos, layout, score, system)
        return cls._with(model_path, form, trust_remote_code, chat_template_kwargs)

    @classmethod
    def open(cls, model_path: str, *, trust_remote_code: bool = False, **options: Any) -> "TaggedLabelsPrm":
        family = super().open(model_path, trust_remote_code=trust_remote_code, **options)
        if family.form.score == "sigmoid":
            raise PrmError(
                f"{OPTIONS}.score=sigmoid needs the logit of a label, and a server gives probabilities. Set score=pair "
                "or score=vocabulary if the PRM was trained so, or unset reward.prm.server.urls to load its weights in "
                "process (++reward.prm.engine=in_process)"
            )
        return family

    @classmethod
    def _with(
        cls,
        model_path: str,
        form: LabelFormat,
        trust_remote_code: bool,
        chat_template_kwargs: Mapping[str, Any] | None = None,
    ) -> "TaggedLabelsPrm":
        """Make the family of a format, with everything but the weights."""
        if form.layout == "text" and chat_template_kwargs:
            raise PrmError(
                f"{OPTIONS}.chat_template_kwargs is given, but {OPTIONS}.layout=text writes no chat template. Set "
                "layout=assistant or layout=user, or remove it"
            )
        refuse_known_prm(model_path, cls.name)
        tokenizer = AutoTokenizer.from_pretrained(model_path, trust_remote_code=trust_remote_code)
        bos_ids = cls._bos_ids(form, tokenizer, model_path)
        tag = find_tag(tokenizer, form.tag, form.behind, f"reward.prm.model_path={model_path}", cls.fix_tag)
        labels = [label for label in (form.good, form.bad) if label is not None]
        found = [i for label in labels for i in token_ids(tokenizer, label)]
        label_ids = distinct_labels(found, labels, tokenizer, model_path, cls.fix_labels)
        if tag.token in label_ids:
            raise PrmError(
                f"a label and the tag are the same token ({tokenizer.convert_ids_to_tokens(tag.token)!r}) in the "
                f"tokenizer of reward.prm.model_path={model_path}. {cls.fix_labels}"
            )
        family = cls(form, tokenizer, tag, label_ids, context_length(model_path, trust_remote_code))
        family.bos_ids = bos_ids
        if form.layout != "text":
            family.dialogue = Dialogue(tokenizer, model_path, chat_template_kwargs)
        try:
            family.encode([{"role": "user", "content": "What is 1 + 1?"}], ["We add.", "It is 2."])
        except ValueError as error:
            raise PrmError(
                f"reward.prm.model_path={model_path} cannot be shown a solution: {error}. {cls.fix_form}"
            ) from error
        return family

    @classmethod
    def _bos_ids(cls, form: LabelFormat, tokenizer: Any, model_path: str) -> list[int]:
        if form.layout != "text" or form.bos is False:
            return []
        begins = tokenizer.bos_token_id
        if form.bos is None:
            return [begins] if begins is not None and tokenizer("a").input_ids[:1] == [begins] else []
        if begins is None:
            way_out = f"Set {OPTIONS}.bos=false." if cls.name == TaggedLabelsPrm.name else cls.fix_model
            raise PrmError(
                f"the tokenizer of reward.prm.model_path={model_path} has no token that begins a sequence, with which "
                f"the family {cls.name} opens every dialogue. {way_out}"
            )
        return [begins]

    def encode(self, messages: Sequence[dict[str, Any]], segments: Sequence[str]) -> Encoded:
        if self.form.layout == "assistant":
            assert self.dialogue is not None
            if self.form.system is not None:
                messages = replaced_system(messages, None if self.form.system == self.form.NONE else self.form.system)
            answer, reads = self._pieces(self.form.texts("", self.dialogue.continuing(segments)))
            ids, positions = self.dialogue.encode(messages, answer, end_turn=False)
            return Encoded(ids, [positions[read] for read in reads])
        texts = self.form.texts(problem_text(messages), segments)
        if self.form.layout == "user":
            assert self.dialogue is not None
            answer, reads = self._pieces(texts)
            spoken = self.form.system not in (None, self.form.NONE)
            system: list[tuple[str, list[str | int]]] = [("system", [str(self.form.system)])] if spoken else []
            ids, positions = self.dialogue.encode_turns([*system, ("user", answer)])
            return Encoded(ids[: positions[-1] + 1], [positions[read] for read in reads])
        first, *rest = self.tag.before(texts)
        begin = [*self.bos_ids, *plain_ids(self.tokenizer, [first])[0]]
        ids, reads = self._from_first_tag(rest)
        return Encoded([*begin, *ids], [len(begin) + read for read in reads])

    def _pieces(self, texts: Sequence[str]) -> tuple[list[str | int], list[int]]:
        """Return the pieces for a chat template, and for each tag how many token ids come before it.

        The pieces are the first text and then token ids.
        """
        first, *rest = self.tag.before(texts)
        ids, reads = self._from_first_tag(rest)
        return [first, *ids], reads

    def _from_first_tag(self, texts: Sequence[str]) -> tuple[list[int], list[int]]:
        ids, reads = [self.tag_id], [0]
        for behind in self.tag.ids_behind(self.tokenizer, texts):
            ids += [*behind, self.tag_id]
            reads.append(len(ids) - 1)
        return ids, reads

    def scores_from_logits(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the scores as the option `score` says: from `[reads, vocabulary]` to `[reads]`.

        They are the good label's share of the two labels or of all tokens, or the sigmoid of its logit.
        """
        if self.form.score == "vocabulary":
            return logits.float().softmax(-1)[:, self.label_ids[0]]
        if self.form.score == "sigmoid":
            return logits[:, self.label_ids[0]].float().sigmoid()
        return super().scores_from_logits(logits)

    def served_score(self, logprobs: Mapping[int, float] | None, read: int) -> float:
        if self.form.score == "vocabulary":
            return label_probability(logprobs, self.label_ids[0], read)
        return super().served_score(logprobs, read)
