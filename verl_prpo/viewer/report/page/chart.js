// The map of a response: entropy with its cuts, the PRM's scores from the prior, the advantages, all along the tokens.

/** Heights in pixels; less on a phone, where the map stays in view over a small text. */
function lanes(signal) {
  const phone = matchMedia("(max-width: 900px)").matches;
  return { top: 14, entropy: signal ? (phone ? 18 : 34) : 0, gap: 4, score: phone ? 22 : 30, advantage: 13 };
}

/** Draws the map for a width in pixels. Of the tokens in a column the highest entropy counts, so no spike is lost. */
function chart(response, width) {
  const tokens = tokensOf(response);
  const signal = response.signals[state.signal];
  const LANES = lanes(signal);
  const count = Math.max(1, response.tokens);
  const x = (token) => (token / count) * width;
  const scoreTop = LANES.top + LANES.entropy + LANES.gap;
  const advantageTop = scoreTop + LANES.score + LANES.gap;
  const height = advantageTop + LANES.advantage;
  const half = LANES.advantage / 2;
  const middle = advantageTop + half;
  const drawn = svg("svg", {
    width,
    height,
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": chartWords(response),
  });
  for (const [begin, end] of response.heard) {
    drawn.append(svg("rect", { class: "heard-span", x: x(begin), width: x(end) - x(begin), y: LANES.top, height: height - LANES.top }));
  }
  if (signal) drawn.append(...signalLane(LANES, signal, width, count));
  const neutral = scoreTop + LANES.score / 2;
  response.segments.forEach(([begin, end, , z], s) => {
    const tall = z == null ? 0 : Math.max(1.5, (LANES.score / 2) * Math.min(1, Math.abs(z) / data.scale.zLimit));
    const span = { x: x(begin) + 0.5, width: Math.max(0.5, x(end) - x(begin) - 1) };
    drawn.append(svg("rect", { class: `score ${scoreClass(z)}`, ...span, y: z > 0 ? neutral - tall : neutral, height: tall }));
    if (s === response.worst) drawn.append(svg("text", { class: "worst-sign", x: span.x + span.width / 2, y: neutral + (z > 0 ? 11 : -3) }, "⚠"));
  });
  drawn.append(svg("line", { class: "axis", x1: 0, x2: width, y1: neutral, y2: neutral }));
  const told = (t) => (tokens.own[t] ? advantageClass(state.grpo ? response.grpo : tokens.A[t]) : "a-off");
  for (let begin = 0, end; begin < response.tokens; begin = end) {
    for (end = begin + 1; end < response.tokens && told(end) === told(begin); end++);
    const [, sign, size] = /^a-([pn])(\d)$/.exec(told(begin)) ?? [];
    const height = size ? (half * size) / 3 : 1; // up or down from the middle, so that colour is not all there is
    const span = { x: x(begin), width: x(end) - x(begin), y: middle - (sign === "p" ? height : 0), height };
    drawn.append(svg("rect", { class: `lane ${told(begin)}`, ...span }));
  }
  drawn.append(svg("line", { class: "axis", x1: 0, x2: width, y1: middle, y2: middle }));
  let labelled = -20;
  response.segments.forEach(([begin], s) => {
    const at = x(begin);
    if (s > 0) drawn.append(svg("line", { class: "cut", x1: at, x2: at, y1: LANES.top - 4, y2: height }));
    if (at - labelled >= 18 && at < width - 8) {
      drawn.append(svg("text", { class: "cut-number", x: at + (s > 0 ? 2 : 0), y: 10 }, String(s + 1)));
      labelled = at;
    }
  });
  drawn.append(svg("line", { class: "here", x1: -9, x2: -9, y1: 0, y2: height }));
  return drawn;
}

function signalLane(LANES, signal, width, count) {
  const top = signal.reduce((most, value) => Math.max(most, value ?? 0), 500);
  const columns = Math.max(1, Math.min(count, Math.floor(width / 1.5)));
  const floor = LANES.top + LANES.entropy;
  const steps = [];
  for (let column = 0; column < columns; column++) {
    const begin = Math.floor((column * count) / columns);
    const end = Math.max(begin + 1, Math.floor(((column + 1) * count) / columns));
    const value = signal.slice(begin, end).reduce((most, v) => Math.max(most, v ?? 0), 0);
    const y = floor - (LANES.entropy * value) / top;
    steps.push(`V${y.toFixed(1)}H${(((column + 1) * width) / columns).toFixed(1)}`);
  }
  const line = steps.join("");
  return [
    svg("path", { class: "entropy-area", d: `M0,${floor}${line}V${floor}Z` }),
    svg("path", { class: "entropy-line", d: `M0,${floor}${line}` }),
    svg("line", { class: "axis", x1: 0, x2: width, y1: floor, y2: floor }),
  ];
}

function chartWords(response) {
  const cuts = plural(Math.max(0, response.segments.length - 1), "cut");
  const scores = response.segments.map((segment) => (segment[2] == null ? "none" : fixed(segment[2], 2))).join(", ");
  const signal = response.signals[state.signal] ? `${state.signal} of ${plural(response.tokens, "token")}, ` : "";
  return `${signal}${cuts}; PRM scores of the segments: ${scores || "none"}`;
}

function drawMap() {
  const map = document.getElementById("map");
  if (!map || state.current == null || !map.clientWidth) return;
  const response = responses[state.current];
  const drawn = chart(response, map.clientWidth);
  const at = (event) =>
    Math.max(0, Math.min(response.tokens - 1, Math.floor((event.offsetX / map.clientWidth) * response.tokens)));
  drawn.addEventListener("pointermove", (event) => {
    if (event.pointerType === "mouse" && response.tokens) showTipAt(at(event), event);
  });
  drawn.addEventListener("pointerleave", hideTip);
  drawn.addEventListener("click", (event) => response.tokens && focusToken(at(event)));
  map.replaceChildren(drawn);
  document.documentElement.style.setProperty("--dock", `${map.closest(".dock").offsetHeight}px`);
}

function showTipAt(t, event) {
  showTip(tokenAt(t));
  tip.style.top = `${event.clientY + 16}px`;
  tip.style.left = `${Math.max(8, Math.min(event.clientX + 12, innerWidth - tip.offsetWidth - 8))}px`;
}
