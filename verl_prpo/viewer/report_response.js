// The open response.

const responseBox = document.getElementById("response");
const READ_OUT = [-3, -2, -1, 0, 1, 2, 3];

function openResponse(index, push = false) {
  hideTip();
  state.current = index;
  const hash = `#r${index + 1}`;
  if (location.hash !== hash) history[push ? "pushState" : "replaceState"](null, "", hash);
  document.body.classList.add("reading");
  document.getElementById("back").hidden = false;
  renderResponse();
  responseBox.scrollTop = 0;
  if (matchMedia("(max-width: 900px)").matches) scrollTo(0, 0);
  markCurrent(true);
  const response = responses[index];
  document.getElementById("say").textContent = `${responseName(response)}, ${response.right ? "right" : "wrong"}`;
}

function closeResponse() {
  hideTip();
  document.body.classList.remove("reading");
  document.getElementById("back").hidden = true;
}

function fact(name, ...value) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, ...value));
}

function responseHead(response) {
  const { group } = response;
  const place = state.listed.indexOf(response.index);
  const step = (by, name, key) =>
    el(
      "button",
      { type: "button", title: `${name} response (${key})`, "aria-label": `${name} response`, onclick: () => move(by) },
      by < 0 ? "‹" : "›",
    );
  const where =
    (data.steps.length > 1 ? `Step ${group.step} · group` : "Group") +
    ` ${group.number} · response ${response.nth} of ${group.responses.length}`;
  return el(
    "header",
    { class: "response-head" },
    el("span", { class: `badge ${response.right ? "right" : "wrong"}` }, response.right ? "✓ Right" : "✗ Wrong"),
    el("h2", {}, where),
    el(
      "span",
      { class: "steppers" },
      place < 0 ? null : el("span", { class: "numbers" }, `${place + 1} / ${state.listed.length}`),
      step(-1, "Previous", "k"),
      step(1, "Next", "j"),
    ),
  );
}

function responseFacts(response) {
  const parts = Object.entries(response.parts).filter(([, value]) => value != null && value !== "");
  const scored = response.prm != null;
  return el(
    "dl",
    { class: "facts" },
    fact("Outcome reward", signed(response.reward, 2)),
    response.group.truth == null ? null : fact("Expected answer", ...shown(excerpt(response.group.truth, 80))),
    fact("PRM mean", scored ? fixed(response.prm, 2) : "none"),
    fact("Mean z", scored ? signed(response.zMean, 2) : "none"),
    fact("GRPO’s A", signed(response.grpo, 2)),
    fact("Signs flipped", percent(response.flips)),
    fact("Length", plural(response.tokens, "token")),
    response.latency == null ? null : fact("PRM took", `${response.latency.toFixed(2)} s${response.cached ? ", cached" : ""}`),
    parts.length ? fact("Verifier", ...shown(excerpt(parts.map(([k, v]) => `${k} ${v}`).join(", "), 120))) : null,
  );
}

function notes(response) {
  const found = [];
  if (response.failure != null) {
    found.push([`The PRM gave no scores (${response.failure}): this response is trained on its outcome alone.`, response.detail]);
  }
  if (response.overlong) found.push(["Longer than the PRM’s context: it did not read all segments.", ""]);
  if (response.failure == null && response.prm == null) found.push(["The PRM was not asked about this response.", ""]);
  return found.map(([what, detail]) =>
    el("p", { class: "note" }, el("b", {}, "! "), what, ...(detail ? [" ", ...shown(excerpt(detail, 300))] : [])),
  );
}

function promptBox(group) {
  const box = el(
    "details",
    { class: "prompt", open: state.promptOpen, ontoggle: (event) => (state.promptOpen = event.target.open) },
    el("summary", {}, "Prompt"),
    ...group.messages.flatMap((message) => [
      el("h3", {}, message.role),
      el("p", { class: "message" }, ...shown(message.content ?? "(not text)")),
    ]),
  );
  return box;
}

function legend() {
  const third = data.scale.limit / 3;
  const words = (size) => {
    if (size === 0) return "0";
    const from = (Math.abs(size) - 1) * third;
    if (from === 0) return size < 0 ? "< 0" : "> 0";
    return size < 0 ? `< −${fixed(from, 2)}` : `> +${fixed(from, 2)}`;
  };
  const [low, high] = data.scale.scores;
  return el(
    "div",
    { class: "legend" },
    el(
      "div",
      { class: "legend-scale", role: "group", "aria-label": "Colours of tokens by advantage" },
      el("b", {}, "Tokens by A"),
      ...READ_OUT.map((size) =>
        el("span", { class: `sample a-${size === 0 ? "0" : (size < 0 ? "n" : "p") + Math.abs(size)}` }, words(size)),
      ),
    ),
    el(
      "div",
      { class: "legend-scale", role: "group", "aria-label": "Shades of segments by PRM score" },
      el("b", {}, "Segments by PRM"),
      ...[0, 1, 2, 3, 4].map((fifth) =>
        el("span", { class: `shade s-${fifth}` }, fixed(low + ((high - low) * (fifth + 0.5)) / 5, 1)),
      ),
    ),
  );
}

function toggle() {
  const choice = (name, grpo) =>
    el(
      "button",
      { type: "button", "data-grpo": String(grpo), "aria-pressed": String(state.grpo === grpo), onclick: () => setGrpo(grpo) },
      name,
    );
  return el(
    "div",
    { class: "toggle whose", role: "group", "aria-label": "Whose advantage colours the tokens", title: "Switch (g)" },
    choice("PRPO", false),
    choice("GRPO", true),
  );
}

/** The value that the trained tokens of a span share, or its range. */
function spread(values, own, begin, end) {
  let [least, most] = [Infinity, -Infinity];
  for (let t = begin; t < end; t++) {
    if (!own[t] || values[t] == null) continue;
    least = Math.min(least, values[t]);
    most = Math.max(most, values[t]);
  }
  if (least > most) return "none";
  const [low, high] = [signed(least, 2), signed(most, 2)];
  return low === high ? low : `${low} … ${high}`;
}

function segmentBox(response, [begin, end, score], s) {
  const tokens = tokensOf(response);
  const flipped = !response.agrees && tokens.A.slice(begin, end).some((a, i) => tokens.own[begin + i] && flips(a, response.grpo));
  const numbers = state.grpo
    ? [el("span", {}, "GRPO’s A ", el("b", {}, signed(response.grpo, 2)))]
    : [
        el("span", {}, `z ${spread(tokens.z, tokens.own, begin, end)}`),
        el("span", {}, `β ${spread(tokens.beta, tokens.own, begin, end)}`),
        el("span", {}, "A ", el("b", {}, spread(tokens.A, tokens.own, begin, end))),
      ];
  const meter = score == null ? null : el("i", { class: "meter", "aria-hidden": "true" }, el("i"));
  if (meter) meter.firstChild.style.width = `${100 * scoreShare(score)}%`;
  return el(
    "section",
    { class: `segment s-${score == null ? "none" : scoreLevel(score)}`, "aria-label": `Segment ${s + 1}` },
    el(
      "h3",
      {},
      el("span", { class: "segment-number" }, String(s + 1)),
      el("span", { class: "segment-score" }, score == null ? "no score" : `PRM ${fixed(score)}`),
      meter,
      ...numbers,
      flipped ? el("span", { class: "flip", title: "The opposite sign of GRPO’s" }, "⇄ flipped") : null,
      el("span", { class: "segment-tokens" }, `${plural(end - begin, "token")}`),
    ),
    el("p", { class: "text" }, ...tokenSpans(response, begin, end)),
  );
}

function tokenSpans(response, begin, end) {
  const tokens = tokensOf(response);
  const spans = [];
  for (let t = begin; t < end; t++) {
    const advantage = state.grpo ? response.grpo : tokens.A[t];
    const classes = ["t", tokens.own[t] ? advantageClass(advantage) : "a-off"];
    const text = tokens.texts[t];
    if (!text) classes.push("bare");
    spans.push(
      el(
        "span",
        { class: classes.join(" "), "data-t": t, tabindex: t === 0 ? 0 : -1 },
        ...(text ? shown(text, true) : ["▫"]),
      ),
    );
  }
  return spans;
}

function renderResponse() {
  const response = responses[state.current];
  const segments = response.segments.length ? response.segments : response.tokens ? [[0, response.tokens, null]] : [];
  const tokens = el("div", { id: "tokens" }, ...segments.map((segment, s) => segmentBox(response, segment, s)));
  if (!segments.length) tokens.append(el("p", { class: "empty" }, "The response is empty."));
  watchTokens(tokens);
  const map = el("div", { id: "map" });
  const signals = data.signals.filter((name) => response.signals[name]);
  responseBox.replaceChildren(
    responseHead(response),
    responseFacts(response),
    ...notes(response),
    promptBox(response.group),
    el("div", { class: "controls" }, toggle(), legend()),
    el(
      "figure",
      { class: "map" },
      map,
      el("figcaption", {}, "Top to bottom: ", ...signalChoice(signals), "PRM score of each segment, advantage of each token."),
    ),
    tokens,
  );
  drawMap();
}

/** The name of what the map draws on top; a button where there is something else to draw. */
function signalChoice(signals) {
  if (!signals.length) return [];
  if (signals.length === 1) return [`${signals[0]} with the cuts, `];
  const choice = (name) =>
    el("button", { type: "button", "aria-pressed": String(name === state.signal), onclick: () => setSignal(name) }, name);
  return [el("span", { class: "toggle small", role: "group", "aria-label": "What the map draws (s)" }, ...signals.map(choice)), " with the cuts, "];
}

function setSignal(name) {
  state.signal = name;
  for (const button of document.querySelectorAll(".small button")) {
    button.setAttribute("aria-pressed", String(button.textContent === name));
  }
  drawMap();
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
}

function showTipAt(t, event) {
  showTip(tokenAt(t));
  tip.style.top = `${event.clientY + 16}px`;
  tip.style.left = `${Math.max(8, Math.min(event.clientX + 12, innerWidth - tip.offsetWidth - 8))}px`;
}

function setGrpo(grpo) {
  state.grpo = grpo;
  document.getElementById("whose").replaceChildren(toggle());
  if (state.current == null) return;
  const [box, page] = [responseBox.scrollTop, scrollY];
  const held = focusedToken()?.dataset.t;
  renderResponse();
  responseBox.scrollTop = box;
  scrollTo(0, page);
  if (held != null) focusToken(Number(held));
}
