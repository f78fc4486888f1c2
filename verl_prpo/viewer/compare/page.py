# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The comparison as one HTML page that opens from disk: no network, no script, light and dark."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from verl_prpo.viewer.compare.arms import Arm
from verl_prpo.viewer.compare.curves import Metric
from verl_prpo.viewer.compare.plots import COLOURS, DARK_COLOURS, legend_of, style_of, svg
from verl_prpo.viewer.compare.table import COLUMNS, NONE, Table, run_name
from verl_prpo.viewer.report.terminal_response import visible

TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{ labels | join(" vs ") }}</title>
<style>
:root { color-scheme: light dark; --page: #fff; --card: #f6f8fa; --ink: #1b1f24; --soft: #57606a; --grid: #d0d5da;
{%- for colour in colours %} --arm{{ loop.index0 }}: {{ colour }};{% endfor %} }
@media (prefers-color-scheme: dark) {
:root { --page: #0f1318; --card: #181e26; --ink: #e6e9ed; --soft: #9aa4b0; --grid: #39424d;
{%- for colour in dark_colours %} --arm{{ loop.index0 }}: {{ colour }};{% endfor %} } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 84rem; padding: 1rem; background: var(--page); color: var(--ink);
  font: 16px/1.45 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; margin: 0 0 .6rem; } h2 { font-size: 1.1rem; margin: 1.6rem 0 .5rem; }
.legend { list-style: none; margin: 0 0 1rem; padding: 0; }
.legend svg { width: 3rem; height: 1rem; vertical-align: middle; margin-right: .5rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); gap: .8rem; }
figure { margin: 0; padding: .6rem; background: var(--card); border-radius: .5rem; }
figcaption { font-weight: 600; font-size: .95rem; margin: 0 .2rem .3rem; }
figure svg { display: block; width: 100%; height: auto; }
svg text { font-family: system-ui, sans-serif !important; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; text-align: left; vertical-align: top; overflow-wrap: break-word; }
td { white-space: nowrap; }
thead th { color: var(--soft); font-weight: 600; border-bottom: 2px solid var(--grid); }
tbody { border-bottom: 1px solid var(--grid); }
td b { font-weight: 400; color: var(--soft); display: none; }
.scroll { overflow-x: auto; }
.notes, .logs { color: var(--soft); font-size: .9rem; padding-left: 1.2rem; }
@media (max-width: 46rem) {
  thead { display: none; } table, tbody, tr, td, tbody th { display: block; white-space: normal; }
  tbody { padding: .5rem 0; }
  td, tbody th { padding: .05rem 0; } td.arm { font-weight: 600; margin-top: .35rem; }
  td b { display: inline; } td.none { display: none; } }
</style>
</head>
<body>
<h1>{{ labels | join(" vs ") }}</h1>
<ul class="legend">
{%- for arm in legend %}
<li><svg viewBox="0 0 48 16" aria-hidden="true"><g style="stroke: var({{ arm.colour }}); fill: var({{ arm.colour }})">
<path d="M0 8H48" stroke-width="2" stroke-dasharray="{{ arm.dashes }}"/><path d="{{ arm.marker }}"/></g></svg>
{{- arm.text }}</li>
{%- endfor %}
</ul>
<div class="charts">
{%- for chart in charts %}
<figure><figcaption>{{ chart.title }}</figcaption>
{{ chart.svg | safe }}</figure>
{%- endfor %}
</div>
<h2>Differences</h2>
<div class="scroll"><table>
<thead><tr>{% for column in columns %}<th scope="col">{{ column }}</th>{% endfor %}</tr></thead>
{%- for metric, rows in groups %}
<tbody>
{%- for row in rows %}
<tr>{% if loop.first %}<th scope="rowgroup" rowspan="{{ rows | length }}">{{ metric }}</th>
<td rowspan="{{ rows | length }}"><b>steps </b>{{ row.steps }}</td>{% endif %}
<td class="arm">{{ row.arm }}</td>
{%- for cell in row.cells %}<td{% if cell == none_mark and not loop.first %} class="none"{% endif %}><b>
{{- columns[loop.index0 + 3] }} </b>{{ cell }}</td>{% endfor %}</tr>
{%- endfor %}
</tbody>
{%- endfor %}
</table></div>
<h2>Notes</h2>
<ul class="notes">
{%- for note in notes %}
<li>{{ note }}</li>
{%- endfor %}
</ul>
<h2>Logs</h2>
<ul class="logs">
{%- for log in logs %}
<li>{{ log }}</li>
{%- endfor %}
</ul>
</body>
</html>
"""

# In the swatch's 48 x 16 units, around its middle.
_MARKERS = {
    "o": "M28 8a4 4 0 1 1-8 0a4 4 0 1 1 8 0z",
    "s": "M20 4h8v8h-8z",
    "^": "M24 3l5 9h-10z",
    "D": "M24 3l5 5l-5 5l-5-5z",
    "v": "M24 13l5-9h-10z",
    "P": "M22.5 3h3v3.5h3.5v3h-3.5v3.5h-3v-3.5h-3.5v-3h3.5z",
    "X": "M20 5.5l1.5-1.5l2.5 2.5l2.5-2.5l1.5 1.5l-2.5 2.5l2.5 2.5l-1.5 1.5l-2.5-2.5l-2.5 2.5l-1.5-1.5l2.5-2.5z",
}
_DASHES = {"-": "", "--": "7 3", "-.": "10 3 2 3", ":": "2 3"}


def save_page(arms: Sequence[Arm], metrics: Sequence[Metric], table: Table, path: Path) -> None:
    """Write the page.

    Args:
        arms: the baseline first.
        metrics: the metrics that are drawn. Some arm has each of them.
        table: the table of the same arms.
        path: the file to write.
    """
    from jinja2 import Environment

    legend = []
    for index, arm in enumerate(arms):
        style = style_of(index)
        dashes = style["linestyle"]
        legend.append(
            {
                "text": legend_of(arm),
                "colour": f"--arm{index % len(COLOURS)}",
                "marker": _MARKERS[style["marker"]],
                "dashes": _DASHES[dashes] if isinstance(dashes, str) else " ".join(str(2 * part) for part in dashes[1]),
            }
        )
    page = (
        Environment(autoescape=True, finalize=lambda value: visible(value) if type(value) is str else value)
        .from_string(TEMPLATE)
        .render(
            labels=[arm.label for arm in arms],
            colours=COLOURS,
            dark_colours=DARK_COLOURS,
            legend=legend,
            charts=[{"title": metric.heading, "svg": svg(arms, metric)} for metric in metrics],
            columns=COLUMNS,
            none_mark=NONE,
            groups=[(title, list(rows)) for title, rows in itertools.groupby(table.rows, lambda row: row.metric)],
            notes=table.notes,
            logs=described(arms),
        )
    )
    path.write_text(page, encoding="utf-8")


def described(arms: Sequence[Arm]) -> list[str]:
    """Write a line per run: its name, its steps and the log they come from."""
    lines = []
    for arm in arms:
        for index, run in enumerate(arm.runs):
            steps = run.steps
            lines.append(f"{run_name(arm, index)}: steps {steps[0]} to {steps[-1]}, {run.path}")
    return lines
