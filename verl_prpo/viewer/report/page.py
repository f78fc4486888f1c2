# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""One HTML page that shows rollouts. It holds everything and fetches nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from verl_prpo.viewer.report.facts import Facts, Survey, by_group, end_of_scale
from verl_prpo.viewer.report.filters import FILTERS
from verl_prpo.viewer.report.mathematics import katex_for
from verl_prpo.viewer.report.payload import as_json, number, response_json
from verl_prpo.viewer.report.render import packed, render
from verl_prpo.viewer.report.summary import Summary, by_step, summary
from verl_prpo.viewer.report.trust import done_by_weights

if TYPE_CHECKING:
    from verl_prpo.telemetry.rollouts.read import Rollout

SIGNALS = ("entropy", "surprisal")
"""Signals of a token. Of those that a dump holds, the first is drawn first."""

BINS = 24
"""Bins of the histogram of PRM scores."""


@dataclass(frozen=True)
class Page:
    """A page and what it holds.

    Attributes:
        html: the page.
        shown: responses on it.
        read: responses that the steps hold.
        math_bytes: bytes of the page that render mathematics. 0 where no text has any.
    """

    html: str
    shown: int
    read: int
    math_bytes: int


@dataclass(frozen=True)
class Heading:
    """The words of the page on itself.

    Attributes:
        name: the name of the run or file, for the title.
        drawn: how responses were chosen, when not everything is shown.
        would: lines on how the dump was scored, where its own run had no PRM. Empty for a run with PRPO.
    """

    name: str
    drawn: str
    would: tuple[str, ...] = ()


def build_page(
    heading: Heading,
    survey: Survey,
    curve: Sequence[tuple[int, Summary]],
    drawn: Sequence[Sequence[Facts]],
    rollouts: Iterable["Rollout"],
    max_bytes: int,
) -> Page:
    """Make the page.

    Args:
        heading: the page's words on itself.
        survey: the survey of everything that was read.
        curve: a summary per step, for the curves.
        drawn: the groups to show, those to keep first.
        rollouts: the responses of `drawn`, in the order of the dump.
        max_bytes: most bytes of the page. Groups are left out from the end of `drawn` until it fits, then responses
            from the end of the first group, but never its first response.
    """
    facts = survey.facts
    places = sorted(fact.index for group in drawn for fact in group)
    by_place = {fact.index: fact for fact in facts}
    encoded: dict[int, str] = {}
    prompts: dict[tuple[int, str], dict[str, Any]] = {}
    signals: set[str] = set()
    texts: list[str] = []
    for place, rollout in zip(places, rollouts, strict=True):
        encoded[place] = response_json(rollout, by_place[place])
        texts.append(rollout.response)
        prompts.setdefault((rollout.step, rollout.uid), _prompt(rollout))
        signals.update(name for name in SIGNALS if getattr(rollout, name))
    texts += [str(message["content"]) for prompt in prompts.values() for message in prompt["messages"]]
    katex = katex_for(texts)
    overall = {
        "name": heading.name,
        "would": list(heading.would),
        "signals": [name for name in SIGNALS if name in signals],
        "all": asdict(summary(facts)),
        "verdicts": survey.verdicts,
        "trouble": survey.trouble,
        "trust": done_by_weights(facts),
        "steps": [{"step": step, **asdict(summary(rows))} for step, rows in by_step(facts).items()],
        "curve": [{"step": step, **asdict(point)} for step, point in curve],
        "scale": _scale(survey),
        "histogram": _histogram(survey),
    }
    sample = {"read": len(facts), "groups": len(by_group(facts)), "how": heading.drawn, "skipped": survey.skipped}
    steps = list(by_step(facts))
    plain, frame = (len(render(heading.name, steps, "", brought).encode()) for brought in (None, katex))
    kept = len(drawn)
    relative = survey.prior.source == "relative"
    while True:
        shown = sorted((fact for group in drawn[:kept] for fact in group), key=lambda fact: fact.index)
        head = overall | _lists(shown, prompts, relative) | {"sample": sample | {"shown": len(shown)}}
        responses = ",".join(encoded[fact.index] for fact in shown)
        payload = packed(f'{as_json(head)[:-1]},"responses":[{responses}]}}')
        room = max_bytes - frame
        if len(payload) <= room or len(shown) == 1:
            return Page(render(heading.name, steps, payload, katex), len(shown), len(facts), frame - plain)
        share = 0.98 * max(0, room) / len(payload)
        if kept > 1:
            kept = max(1, min(kept - 1, int(share * kept)))
        else:
            drawn = [drawn[0][: max(1, min(len(shown) - 1, int(share * len(shown))))]]


def _lists(shown: Sequence[Facts], prompts: dict[tuple[int, str], dict[str, Any]], relative: bool) -> dict[str, Any]:
    """List groups and filters, with responses named by their place on the page."""
    place = {fact.index: i for i, fact in enumerate(shown)}
    groups = [_group(group, place, prompts[group[0].group]) for group in by_group(shown)]
    filters = [
        {
            "key": f.key,
            "name": f.name,
            "rule": f.described(relative),
            "responses": [place[fact.index] for fact in f.select(shown)],
        }
        for f in FILTERS
    ]
    return {"groups": groups, "filters": filters}


def _group(group: Sequence[Facts], place: dict[int, int], prompt: dict[str, Any]) -> dict[str, Any]:
    found = summary(group)
    known = found.right + found.wrong
    return {
        "step": group[0].step,
        "uid": group[0].uid,
        **prompt,
        "right": found.right,
        "unknown": found.unknown,
        "accuracy": number(found.right / known) if known else None,
        "prm": number(found.prm_mean),
        "against": number(sum(fact.against for fact in group) / len(group)),
        "flips": number(found.flip_share),
        "responses": [place[fact.index] for fact in group],
    }


def _prompt(rollout: "Rollout") -> dict[str, Any]:
    messages = [{"role": str(m.get("role")), "content": m.get("content")} for m in rollout.messages or []]
    if not any(isinstance(message["content"], str) for message in messages):
        messages = [{"role": "prompt", "content": rollout.prompt}]
    return {"messages": messages, "truth": rollout.ground_truth}


def _scale(survey: Survey) -> dict[str, Any]:
    """Return where colours are neutral and where they end, and the range of the scores.

    Few responses lie beyond the end of the colours.
    """
    scores = [score for fact in survey.facts for score in fact.scores]
    low, high = min(scores, default=0.0), max(scores, default=1.0)
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    sizes = [abs(segment.z) for fact in survey.facts for segment in fact.segments if segment.z is not None]
    prior = survey.prior
    return {
        "limit": number(end_of_scale([fact.peak for fact in survey.facts])),
        "zLimit": number(end_of_scale(sizes)),
        "scores": [number(low), number(high if high > low else low + 1)],
        "prior": {"mean": number(prior.mean), "std": number(prior.std), "source": prior.source},
    }


def _histogram(survey: Survey) -> dict[str, Any]:
    """Count the responses of each verdict by their mean score."""
    means = [fact.prm_mean for fact in survey.facts if fact.prm_mean is not None]
    low, high = min(means, default=0.0), max(means, default=1.0)
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    width = (high - low) / BINS or 1.0
    counts = {"right": [0] * BINS, "wrong": [0] * BINS, "unknown": [0] * BINS}
    for fact in survey.facts:
        if fact.prm_mean is not None:
            verdict = "unknown" if fact.right is None else "right" if fact.right else "wrong"
            counts[verdict][min(BINS - 1, int((fact.prm_mean - low) / width))] += 1
    return {"low": number(low), "high": number(low + BINS * width), **counts}
