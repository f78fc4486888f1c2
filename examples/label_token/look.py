# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Find the options with which the family `label_token` reads a checkpoint: see what it would say at each tag.

    python examples/label_token/look.py MODEL '{"tag": "\\n\\n\\n\\n", "step": "{step} {tag}"}'

MODEL is a folder or a hub name, and the options are JSON; docs/prm.md has their table. It prints the dialogue as the
model reads it, and for each step the score, the probability of both labels among all tokens, and the tokens that the
model finds likeliest there. A PRM with the right options says its labels and hardly anything else. With a wrong tag or
text around it, or with labels that it does not know, it says other tokens, which are a hint at what it was trained on.
The exception is a PRM whose training compared its two labels alone: there the scores of right and wrong steps decide.
"""

import argparse
import json
import shlex
import sys
from dataclasses import dataclass
from typing import Any

import torch

from verl_prpo.prm.families import resolve_family
from verl_prpo.prm.families.base import PrmError
from verl_prpo.settings.prm import prm_config
from verl_prpo.settings.prpo import ConfigError

PROBLEM = "What is 2 + 2 + 1?"
STEPS = ["2 + 2 = 4.", "4 + 1 = 3."]
"""The second is wrong."""

SAYS_LABELS = 0.9
"""Least probability of both labels together at a tag of a PRM that was trained to say them there."""

LIKELIEST = 3

SAYS = "The model says these labels at this tag."
SAYS_OTHERS = "The model says other tokens at this tag. Its training most likely had other options: compare its card."


@dataclass(frozen=True)
class Verdict:
    """What a model would say at the tag of one step.

    Attributes:
        score: of the family, in [0, 1].
        labels: the probability of each label among all tokens.
        likeliest: tokens and their probabilities, the likeliest first.
    """

    score: float
    labels: dict[str, float]
    likeliest: list[tuple[str, float]]


def look(model: str, options: dict[str, Any], problem: str, steps: list[str]) -> tuple[str, list[Verdict]]:
    """Read a solution with the options.

    Args:
        model: a folder or hub name.
        options: of the family `label_token`.
        problem: as the user asks it.
        steps: of one response.

    Returns:
        The dialogue as text, and a verdict for each step.

    Raises:
        PrmError, ConfigError: an option or the model cannot be used, and which setting to change.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    config = prm_config({"prm": {"model_path": model, "family": "label_token", "family_options": options}})
    family: Any = resolve_family(config).load(model, device=device, dtype=dtype, **config.family_options)
    encoded = family.encode([{"role": "user", "content": problem}], steps)
    with torch.inference_mode():
        logits = family.model(torch.tensor([encoded.input_ids], device=device)).logits[0, encoded.reads]
    verdicts = []
    for score, shares in zip(family.scores_from_logits(logits).tolist(), logits.float().softmax(-1), strict=True):
        top = shares.topk(LIKELIEST)
        tokens = [family.tokenizer.decode([i]) for i in top.indices.tolist()]
        labels = {family.tokenizer.decode([i]): shares[i].item() for i in family.label_ids}
        verdicts.append(Verdict(score, labels, list(zip(tokens, top.values.tolist(), strict=True))))
    return family.tokenizer.decode(encoded.input_ids), verdicts


def shown(dialogue: str, steps: list[str], verdicts: list[Verdict]) -> str:
    """The verdicts as a table under the dialogue, and whether the labels are what the model says."""
    lines = [f"it reads  {dialogue!r}"]
    for step, verdict in zip(steps, verdicts, strict=True):
        labels = ", ".join(f"{label!r} {share:.2f}" for label, share in verdict.labels.items())
        likeliest = ", ".join(f"{token!r} {share:.2f}" for token, share in verdict.likeliest)
        lines += [f"step      {step!r}", f"          score {verdict.score:.2f}; labels {labels}; likeliest {likeliest}"]
    says_labels = all(sum(verdict.labels.values()) >= SAYS_LABELS for verdict in verdicts)
    lines.append(SAYS if says_labels else SAYS_OTHERS)
    return "\n".join(lines)


def overrides(model: str, options: dict[str, Any]) -> list[str]:
    """The lines that set the PRM in a training command, quoted for a shell and for Hydra."""
    known = {f"family_options.{key}": json.dumps(value, ensure_ascii=False) for key, value in options.items()}
    settings = {"model_path": model, "family": "label_token", **known}
    return [shlex.quote(f"++reward.prm.{key}={value}") for key, value in settings.items()]


def main() -> int:
    """Look, and print the lines for Python and for a training command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="folder or hub name of the checkpoint")
    parser.add_argument("options", type=json.loads, help='JSON, such as {"tag": " ки", "step": "{step}{tag}"}')
    parser.add_argument("--problem", default=PROBLEM, help=f"default: {PROBLEM}")
    parser.add_argument("--steps", nargs="+", default=STEPS, help=f"default: {STEPS}")
    given = parser.parse_args()
    if not isinstance(given.options, dict):
        parser.error(f'the options must be a JSON object, such as {{"tag": " ки"}}, and they are {given.options!r}')
    try:
        dialogue, verdicts = look(given.model, given.options, given.problem, given.steps)
    except (PrmError, ConfigError) as error:
        print(error, file=sys.stderr)
        return 1
    print(shown(dialogue, given.steps, verdicts))
    print(f"\nload_prm({given.model!r}, family='label_token', family_options={given.options!r})")
    print(" \\\n".join(overrides(given.model, given.options)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
