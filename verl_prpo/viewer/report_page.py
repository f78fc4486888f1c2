# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""One HTML page that shows rollouts: everything in it, nothing fetched."""

import base64
import gzip
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from verl_prpo.viewer.report_facts import FILTERS, Facts, by_group, end_of_scale, summary
from verl_prpo.viewer.report_payload import as_json, number, response_json

if TYPE_CHECKING:
    from verl_prpo.rollout_dump import Rollout

FIRST = ("report_theme.js", "report_unpack.js")
"""Parts of the page's script that do not need the data."""

REST = tuple(f"report_{part}.js" for part in ("text", "state", "list", "chart", "token", "response", "main"))
"""The parts that do, in this order: together one function."""

SIGNALS = ("entropy", "surprisal")
"""Of a token; the first that there is is drawn first."""


@dataclass(frozen=True)
class Page:
    """A page and what it holds.

    Attributes:
        html: the page.
        shown: responses on it.
        read: responses that the steps hold.
    """

    html: str
    shown: int
    read: int


def build_page(
    name: str,
    facts: Sequence[Facts],
    drawn: Sequence[Sequence[Facts]],
    rollouts: Iterable["Rollout"],
    max_bytes: int,
    how_drawn: str,
    skipped: int = 0,
) -> Page:
    """Make the page.

    Args:
        name: of the run or file, for the title.
        facts: of everything that was read.
        drawn: the groups to show, those to keep first.
        rollouts: the responses of `drawn`, in the order of the dump.
        max_bytes: of the page; groups are left out from the end of `drawn` until it fits, then responses from the end
            of the first one, but never its first.
        how_drawn: for people, when not everything is shown.
        skipped: rows of the dump that carry no record.
    """
    places = sorted(fact.index for group in drawn for fact in group)
    by_place = {fact.index: fact for fact in facts}
    encoded: dict[int, str] = {}
    prompts: dict[tuple[int, str], dict[str, Any]] = {}
    signals: set[str] = set()
    for place, rollout in zip(places, rollouts, strict=True):
        encoded[place] = response_json(rollout, by_place[place])
        prompts.setdefault((rollout.step, rollout.uid), _prompt(rollout))
        signals.update(name for name in SIGNALS if getattr(rollout, name))
    known = [name for name in SIGNALS if name in signals]
    overall = {
        "name": name,
        "signals": known,
        "all": asdict(summary(facts)),
        "steps": [{"step": step, **asdict(summary(rows))} for step, rows in _by_step(facts).items()],
    }
    sample = {"read": len(facts), "groups": len(by_group(facts)), "how": how_drawn, "skipped": skipped}
    frame = len(_render(name, "", facts).encode())
    kept = len(drawn)
    while True:
        shown = sorted((fact for group in drawn[:kept] for fact in group), key=lambda fact: fact.index)
        head = overall | _lists(shown, prompts) | {"scale": _scale(shown), "sample": sample | {"shown": len(shown)}}
        responses = ",".join(encoded[fact.index] for fact in shown)
        payload = _packed(f'{as_json(head)[:-1]},"responses":[{responses}]}}')
        room = max_bytes - frame
        if len(payload) <= room or len(shown) == 1:
            return Page(_render(name, payload, facts), len(shown), len(facts))
        share = 0.98 * max(0, room) / len(payload)
        if kept > 1:
            kept = max(1, min(kept - 1, int(share * kept)))
        else:
            drawn = [drawn[0][: max(1, min(len(shown) - 1, int(share * len(shown))))]]


def _lists(shown: Sequence[Facts], prompts: dict[tuple[int, str], dict[str, Any]]) -> dict[str, Any]:
    """Groups and filters, with responses named by their place on the page."""
    place = {fact.index: i for i, fact in enumerate(shown)}
    groups = [
        {
            "step": group[0].step,
            "uid": group[0].uid,
            **prompts[group[0].step, group[0].uid],
            "right": sum(fact.right for fact in group),
            "prm": number(summary(group).prm_mean),
            "responses": [place[fact.index] for fact in group],
        }
        for group in by_group(shown)
    ]
    filters = [
        {"key": f.key, "name": f.name, "rule": f.rule, "responses": [place[fact.index] for fact in f.select(shown)]}
        for f in FILTERS
    ]
    return {"groups": groups, "filters": filters}


def _prompt(rollout: "Rollout") -> dict[str, Any]:
    messages = [{"role": str(m.get("role")), "content": m.get("content")} for m in rollout.messages or []]
    if not any(isinstance(message["content"], str) for message in messages):
        messages = [{"role": "prompt", "content": rollout.prompt}]
    return {"messages": messages, "truth": rollout.ground_truth}


def _scale(shown: Sequence[Facts]) -> dict[str, Any]:
    """The end of the colour scale of advantages, which few responses pass, and the range of the scores."""
    scores = [score for fact in shown for score in fact.scores]
    low, high = min(scores, default=0.0), max(scores, default=1.0)
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    return {"limit": number(end_of_scale(shown)), "scores": [number(low), number(high if high > low else low + 1)]}


def _by_step(facts: Sequence[Facts]) -> dict[int, list[Facts]]:
    steps: dict[int, list[Facts]] = {}
    for fact in facts:
        steps.setdefault(fact.step, []).append(fact)
    return steps


def _render(name: str, payload: str, facts: Sequence[Facts]) -> str:
    from jinja2 import DictLoader, Environment, StrictUndefined
    from markupsafe import Markup

    here = files("verl_prpo.viewer")
    style = (here / "report.css").read_text(encoding="utf-8")
    first, rest = ("".join((here / part).read_text(encoding="utf-8") for part in parts) for parts in (FIRST, REST))
    # Only this very script runs: the page's policy names its hash.
    script = f'"use strict";\n{first}(async () => {{\n{rest}}})().catch(cannotShow);\n'
    loader = DictLoader({"report.html": (here / "report.html").read_text(encoding="utf-8")})
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    steps = list(_by_step(facts))
    return environment.get_template("report.html").render(
        name=re.sub("[\ud800-\udfff]", "\ufffd", name),
        steps=", ".join(map(str, steps)),
        many=len(steps) > 1,
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
        payload=Markup(payload),
    )


def _packed(text: str) -> str:
    """A text as the base64 of its gzip: small, and no sign in it means anything in HTML."""
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
