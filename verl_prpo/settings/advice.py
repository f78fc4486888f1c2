# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Which settings help where a PRM could not read all of a response: one wording for the run and for the commands."""

from verl_prpo.settings.prm import GENERATED_VERDICTS, PrmConfig
from verl_prpo.settings.prpo import PrpoConfig


def can_read_windows(prm: PrmConfig) -> bool:
    """Return whether `reward.prm.overlong=windows` is possible.

    It is not with a judge that writes: only its servers know how much it can read.
    """
    return prm.family != GENERATED_VERDICTS or prm.custom_family.path is not None


def for_past_context(prm: PrmConfig) -> str:
    """Say in a sentence what helps with segments past the PRM's context under `reward.prm.overlong=neutral`."""
    shorter = "lower data.max_response_length, or choose a PRM with a longer context"
    if not can_read_windows(prm):
        return f"{shorter[0].upper()}{shorter[1:]}"
    return f"Set ++reward.prm.overlong=windows to have the PRM read long responses in windows, {shorter}"


def for_past_window(prpo: PrpoConfig) -> str:
    """Say in a sentence what helps with segments that fit into no window under `reward.prm.overlong=windows`."""
    return f"Cut finer ({finer_cuts(prpo)}), lower data.max_prompt_length, or choose a PRM with a longer context"


def finer_cuts(prpo: PrpoConfig) -> str:
    """Name the setting of the chosen segmenter that makes segments shorter, with the change to make."""
    key = "algorithm.prpo"
    if prpo.cuts_by in ("entropy", "surprisal"):
        if prpo.max_anchors != "auto":
            return f"++{key}.max_anchors=auto"
        least, most = prpo.anchor_bounds
        bounds = f"raise the upper one of {key}.anchor_bounds=[{least},{most}]"
        return f"lower {key}.tokens_per_anchor={prpo.tokens_per_anchor}, {bounds}"
    if prpo.cuts_by in ("uniform", "random"):
        return f"raise {key}.num_segments={prpo.num_segments}"
    if prpo.cuts_by in ("text", "tokens"):
        name = "delimiters" if prpo.cuts_by == "text" else "delimiter_token_ids"
        return f"add to {key}.{name} what ends shorter steps"
    return f"++{key}.segmenter={'turns+text' if prpo.cuts_turns else 'text'}"
