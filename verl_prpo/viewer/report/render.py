# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The page as a file: its parts put together, with a content policy by which only these parts run."""

import base64
import gzip
import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files

from verl_prpo.viewer.report.mathematics import Katex
from verl_prpo.viewer.report.payload import as_json

FIRST = ("theme", "unpack")
"""Parts of the page's script that do not need the data."""

REST: tuple[str, ...] = (
    *("text", "math", "state", "sort", "list", "chart", "plots", "overview"),
    *("token", "segment", "controls", "response", "compare", "keys", "main"),
)
"""Parts of the page's script that need the data, in this order. Together they are one function."""

STYLES = ("page", "parts")
"""Style sheets, in this order."""


def render(name: str, steps: Sequence[int], payload: str, katex: Katex | None) -> str:
    """Put the page together.

    Args:
        name: the name of the run or file, for the title.
        steps: the steps that it shows.
        payload: its data, `packed`.
        katex: prints formulas. None where there are none.
    """
    from jinja2 import DictLoader, Environment, StrictUndefined
    from markupsafe import Markup

    here = files("verl_prpo.viewer.report") / "page"

    def parts(names: Sequence[str]) -> str:
        return "".join((here / f"{part}.js").read_text(encoding="utf-8") for part in names)

    style = "".join((here / f"{part}.css").read_text(encoding="utf-8") for part in STYLES)
    # Only these very scripts run: the page's policy names their hashes.
    script = f'"use strict";\n{parts(FIRST)}(async () => {{\n{parts(REST)}}})().catch(cannotShow);\n'
    scripts, styles = [script], [style]
    if katex is not None:
        scripts.append(katex.script)
        styles.append(katex.style)
    loader = DictLoader({"page.html": (here / "page.html").read_text(encoding="utf-8")})
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    return environment.get_template("page.html").render(
        name=re.sub("[\ud800-\udfff]", "\ufffd", name),
        steps=", ".join(map(str, steps)),
        many=len(steps) > 1,
        style=Markup(style),
        script=Markup(script),
        style_hashes=Markup(" ".join(map(_hash, styles))),
        script_hashes=Markup(" ".join(map(_hash, scripts))),
        katex=None if katex is None else Markup(packed(as_json({"script": katex.script, "style": katex.style}))),
        licence="" if katex is None else Markup(katex.licence.replace("--", "- -")),
        payload=Markup(payload),
    )


def packed(text: str) -> str:
    """Encode a text as the base64 of its gzip. It is then small, and no sign in it has a meaning in HTML."""
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
