// Charts of the step: scores by verdict, advantages under PRPO and GRPO, curves over the steps.

const PLOT = { width: 380, height: 190, left: 34, right: 10, top: 8, bottom: 30 };

function frame(words, height = PLOT.height) {
  const { width } = PLOT;
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words, class: "plot" });
}

function scaled(from, to, begin, end) {
  return (value) => begin + ((value - from) / (to - from || 1)) * (end - begin);
}

function label(x, y, text, anchor = "middle", name = "plot-label") {
  return svg("text", { x, y, "text-anchor": anchor, class: name }, text);
}

function line(x1, y1, x2, y2, name = "axis") {
  return svg("line", { x1, y1, x2, y2, class: name });
}

function short(value) {
  return fixed(value, Math.abs(value) >= 10 ? 0 : 2);
}

function figure(title, drawn, caption) {
  return el("figure", { class: "plot-box" }, el("h3", {}, title), drawn, el("figcaption", {}, caption));
}

/** How the mean scores of right responses (up) and of wrong ones (down) lie around the prior. */
function scoreFigure() {
  const { low, high, right, wrong, unknown } = data.histogram;
  const { width, height, left, right: margin, top, bottom } = PLOT;
  const drawn = frame(
    `PRM mean of right responses ${fixed(data.all.prm_right, 2)}, of wrong ones ${fixed(data.all.prm_wrong, 2)}`,
  );
  const x = scaled(low, high, left, width - margin);
  const middle = top + (height - top - bottom) / 2;
  const most = Math.max(1, ...right.map((count, i) => count + unknown[i]), ...wrong);
  const tall = (count) => (count / most) * (middle - top);
  const step = (high - low) / right.length;
  right.forEach((count, i) => {
    const box = { x: x(low + i * step) + 0.5, width: Math.max(1, x(low + step) - x(low) - 1) };
    const bar = (kind, tallness, y) => tallness && drawn.append(svg("rect", { ...box, y, height: tallness, class: `bar ${kind}` }));
    bar("right", tall(count), middle - tall(count));
    bar("unknown", tall(unknown[i]), middle - tall(count) - tall(unknown[i]));
    bar("wrong", tall(wrong[i]), middle);
  });
  drawn.append(line(left, middle, width - margin, middle));
  const { mean } = data.scale.prior;
  if (mean != null && mean >= low && mean <= high) {
    drawn.append(line(x(mean), top, x(mean), height - bottom, "prior"), label(x(mean), height - 4, `prior ${short(mean)}`));
  }
  const free = (value) => mean == null || Math.abs(x(value) - x(mean)) > 60;
  for (const [value, anchor] of [[low, "start"], [high, "end"]]) {
    if (free(value)) drawn.append(label(x(value), height - 4, short(value), anchor));
  }
  if (right.some(Boolean)) drawn.append(label(left - 4, top + 12, "✓", "end", "plot-label right"));
  if (unknown.some(Boolean)) drawn.append(label(left - 4, top + 28, "?", "end"));
  if (wrong.some(Boolean)) drawn.append(label(left - 4, height - bottom - 2, "✗", "end", "plot-label wrong"));
  const ranked = data.all.ranked == null ? "" : ` The right one of a pair scores higher in ${percent(data.all.ranked)} of the pairs; 50% is chance.`;
  return figure("PRM mean score", drawn, `Responses that are right above the line, wrong below it.${ranked}`);
}

/** Each response's mean advantage under PRPO against GRPO's; in the shaded corners the signs differ. */
function advantageFigure() {
  const { width, height, left, right: margin, top, bottom } = PLOT;
  const points = responses.filter((r) => r.aMean != null && r.grpo != null);
  const reach = (of) => 1.1 * Math.max(0.1, ...points.map((r) => Math.abs(of(r))));
  const [across, up] = [reach((r) => r.grpo), reach((r) => r.aMean)];
  const x = scaled(-across, across, left, width - margin);
  const y = scaled(-up, up, height - bottom, top);
  const drawn = frame(`PRPO's mean advantage against GRPO's, ${plural(points.length, "response")}`);
  const corner = (x1, x2, y1, y2) => svg("rect", { x: x1, y: y1, width: x2 - x1, height: y2 - y1, class: "corner" });
  drawn.append(corner(left, x(0), top, y(0)), corner(x(0), width - margin, y(0), height - bottom));
  drawn.append(line(left, y(0), width - margin, y(0)), line(x(0), top, x(0), height - bottom));
  drawn.append(label(left + 4, top + 11, "⇄ up, GRPO down", "start"), label(width - margin - 4, height - bottom - 5, "⇄ down, GRPO up", "end"));
  for (const response of points) {
    const kind = verdict(response);
    const at = [x(response.grpo), y(response.aMean)];
    const title = `${responseName(response)}, ${kind}: PRPO ${signed(response.aMean, 2)}, GRPO ${signed(response.grpo, 2)}`;
    const shape =
      kind === "wrong"
        ? svg("path", { d: `M${at[0] - 3.5},${at[1] - 3.5}l7,7m0,-7l-7,7` })
        : svg("circle", { cx: at[0], cy: at[1], r: 3.5 });
    const dot = svg("g", { class: `dot ${kind}` }, svg("title", {}, title), svg("circle", { cx: at[0], cy: at[1], r: 8, class: "reach" }), shape);
    dot.addEventListener("click", () => openResponse(response.index, true));
    drawn.append(dot);
  }
  drawn.append(label((left + width) / 2, height - 4, `GRPO’s A, −${short(across)} to +${short(across)}`));
  const side = label(0, 0, `PRPO’s mean A, ±${short(up)}`);
  side.setAttribute("transform", `translate(12 ${(top + height - bottom) / 2}) rotate(-90)`);
  drawn.append(side);
  return figure("Advantage, PRPO against GRPO", drawn, "A point is a response, ● right, ✗ wrong; a click opens it. In the shaded corners the two push it in opposite directions.");
}

const CURVES = [
  ["accuracy", "right responses", [["right", (s) => (s.right + s.wrong ? s.right / (s.right + s.wrong) : null)]], percent],
  ["PRM mean score", "✓ right, ✗ wrong", [["right", (s) => s.prm_right], ["wrong", (s) => s.prm_wrong]], (v) => fixed(v, 2)],
  ["signs flipped", "share of tokens", [["plain", (s) => s.flip_share]], percent],
  ["segments", "in a response", [["plain", (s) => s.segments]], (v) => fixed(v, 1)],
];

function curveFigure([name, unit, series, words]) {
  const { width, left } = { ...PLOT, left: 44 };
  const height = 92;
  const steps = data.curve.map((s) => s.step);
  const values = series.flatMap(([, of]) => data.curve.map(of)).filter((value) => value != null);
  const drawn = frame(`${name} over ${plural(steps.length, "step")}`, height);
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const x = scaled(steps[0], steps.at(-1), left, width - 14);
  const y = most > least ? scaled(least, most, height - 24, 12) : () => height / 2 - 6;
  drawn.append(line(left, height - 18, width - 14, height - 18));
  for (const [kind, of] of series) {
    const points = data.curve.filter((s) => of(s) != null).map((s) => [x(s.step), y(of(s))]);
    if (!points.length) continue;
    drawn.append(svg("path", { d: `M${points.map((p) => p.map((v) => v.toFixed(1)).join(",")).join("L")}`, class: `curve ${kind}` }));
    drawn.append(...points.map(([cx, cy]) => svg("circle", { cx, cy, r: 2, class: `curve-point ${kind}` })));
    if (series.length > 1) drawn.append(label(width - 6, points.at(-1)[1] + 4, MARKS[kind], "middle", `plot-label ${kind}`));
  }
  if (values.length) drawn.append(label(left - 5, y(most) + 4, words(most), "end"));
  if (most > least) drawn.append(label(left - 5, y(least) + 4, words(least), "end"));
  drawn.append(label(left, height - 4, `step ${steps[0]}`, "start"), label(width - 14, height - 4, String(steps.at(-1)), "end"));
  return el("figure", { class: "plot-box" }, el("h3", {}, name, " ", el("span", {}, unit)), drawn);
}

function plots() {
  const shown = [scoreFigure(), advantageFigure()];
  const curves = data.curve.length > 1 ? CURVES.map(curveFigure) : [];
  return [
    el("div", { class: "plots" }, ...shown),
    ...(curves.length ? [el("h2", {}, `Over the dump’s steps, ${data.curve.length} of them`), el("div", { class: "plots curves" }, ...curves)] : []),
  ];
}
