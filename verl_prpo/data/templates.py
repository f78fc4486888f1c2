# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Prompt templates: how the policy is asked, and in which form it must answer."""

from typing import NamedTuple

BOX = "\\boxed{{{answer}}}"
HASHES = "#### {answer}"


class Template(NamedTuple):
    """A system and a user message around `{question}`. An empty system message is left out.

    Attributes:
        system: text of the system message.
        user: text of the user message.
        form: the answer in the form that the messages ask for, around `{answer}`.
    """

    system: str
    user: str
    form: str


TEMPLATES = {
    "paper": Template("", "{question}\nLet's think step by step and put the final answer in the \\boxed{{}} tag.", BOX),
    "paper_once": Template(
        "",
        "{question}\nLet's think step by step and put the final answer in the \\boxed{{}} tag. Do not repeat any "
        "sentences in the answer, and keep only one \\boxed{{}} tag which contains the final answer.",
        BOX,
    ),
    "boxed": Template("", "{question} Let's think step by step and output the final answer within \\boxed{{}}.", BOX),
    "qwen_math": Template("Please reason step by step, and put your final answer within \\boxed{}.", "{question}", BOX),
    "instruct": Template(
        "", "{question}\n\nPlease reason step by step, and put your final answer within \\boxed{{}}.", BOX
    ),
    "hashes": Template("", '{question} Let\'s think step by step and output the final answer after "####".', HASHES),
}
"""The templates by name.

paper and paper_once are the instructions in the preparation scripts of the paper's authors (SchumiDing/srpocode).
paper comes from the script for MATH, paper_once from the scripts for AIME and AMC. boxed and hashes are the
instructions of verl's scripts for MATH and GSM8K. qwen_math is the system prompt of the Qwen2.5-Math models. instruct
has the same sentence in the user message, as Qwen3's model cards recommend.
"""


def answer_in_form(template: str, answer: str) -> str:
    """Write the answer as a response to this template should give it."""
    return TEMPLATES[template].form.format(answer=answer)
