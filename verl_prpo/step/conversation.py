# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Read a response with tools as a conversation: the policy's own words by segment, and what it heard between."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from verl_prpo.prm.conversation import Heard
from verl_prpo.text.turns import TurnReader

LOOP = "actor_rollout_ref.rollout.agent.default_agent_loop"


class BadMask(ValueError):
    """A response mask that does not fit its response. The message says where, and names the agent loop's setting."""


@dataclass(frozen=True)
class Interlude:
    """A stretch of foreign tokens in a response.

    Attributes:
        begin, end: half-open span of tokens.
        messages: role and text of each message in it. There are none where it says nothing.
        recognised: whether it has the form in which the policy's chat template writes a turn.
    """

    begin: int
    end: int
    messages: list[tuple[str, str]] = field(default_factory=list)
    recognised: bool = True

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Interlude":
        """Build it from `dataclasses.asdict`, or from a rollout dump, where the messages are chat messages."""
        written = data["messages"]
        messages = [(m["role"], m["content"]) if isinstance(m, Mapping) else (m[0], m[1]) for m in written]
        return cls(int(data["begin"]), int(data["end"]), messages, bool(data.get("recognised", True)))

    def message_dicts(self) -> list[dict[str, str]]:
        """Give its messages as chat messages."""
        return [{"role": role, "content": content} for role, content in self.messages]


def interludes_of(
    response_ids: Sequence[int], response_mask: Sequence[int], reader: TurnReader, end_ids: frozenset[int]
) -> list[Interlude]:
    """Find what others say in a response, in order. There is nothing in one that is all the policy's.

    Args:
        response_ids: token ids, without padding.
        response_mask: 1 on the policy's own tokens, one per token.
        reader: of the policy's chat template.
        end_ids: tokens at which the rollout ends the policy's turn.

    Raises:
        BadMask: the mask has another length, or values other than 0 and 1, or it claims the turn of another as the
            policy's own.
    """
    require_fit(len(response_ids), response_mask)
    found, at = [], 0
    while at < len(response_ids):
        own = bool(response_mask[at])
        end = at + 1
        while end < len(response_ids) and bool(response_mask[end]) == own:
            end += 1
        stretch = list(response_ids[at:end])
        if own:
            claimed = reader.foreign_turn(stretch, end_ids)
            if claimed is not None:
                raise BadMask(
                    f"response_mask is 1 on token {at + claimed[0] + 1} and those after it, where the policy has ended "
                    f"its turn and one of role {claimed[1]} begins. The agent loop ({LOOP}) must give mask 0 to tokens "
                    "that the policy did not sample, or it is trained to say what its tools say"
                )
        else:
            read = reader.read(stretch)
            found.append(Interlude(at, end, read.messages, read.recognised))
        at = end
    return found


def require_fit(length: int, response_mask: Sequence[int]) -> None:
    """Check that a mask has one 0 or 1 for each token of a response.

    Raises:
        BadMask: the mask does not.
    """
    if len(response_mask) != length:
        raise BadMask(
            f"response_mask has {len(response_mask)} entries for a response of {length} tokens. The agent loop "
            f"({LOOP}) must give each token its 0 or 1"
        )
    odd = next((value for value in response_mask if value not in (0, 1)), None)
    if odd is not None:
        raise BadMask(
            f"response_mask holds {odd!r} at token {list(response_mask).index(odd)}. The agent loop ({LOOP}) must give "
            "1 to tokens that the policy sampled and 0 to all others"
        )


def own_words(
    token_texts: Sequence[str],
    response_mask: Sequence[int],
    bounds: Sequence[tuple[int, int]],
    interludes: Sequence[Interlude],
) -> tuple[list[str], list[Heard]]:
    """Collect the policy's own words by segment, and what it heard before or within each.

    Args:
        token_texts: the text that each token adds.
        response_mask: 1 on the policy's own tokens.
        bounds: token spans of the segments, which tile the response.
        interludes: as `interludes_of` gives them.

    Returns:
        One text per segment, and what the policy heard. What was said after its last token is left out.
    """
    own = [text if mine else "" for text, mine in zip(token_texts, response_mask, strict=True)]
    heard = []
    for interlude in interludes:
        segment = next((k for k, (begin, end) in enumerate(bounds) if begin <= interlude.end < end), None)
        if segment is None:
            continue
        begin = bounds[segment][0]
        offset = sum(map(len, own[begin : interlude.begin])) if begin < interlude.begin else 0
        heard += [Heard(segment, offset, role, content) for role, content in interlude.messages]
    return ["".join(own[begin:end]) for begin, end in bounds], heard
