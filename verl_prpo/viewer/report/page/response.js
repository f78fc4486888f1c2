// The open response.

const responseBox = document.getElementById("response");

function openResponse(index, push = false) {
  state.current = index;
  state.comparing = null;
  leaveFor(`#r${index + 1}`, push);
  renderResponse();
  toTop();
  markCurrent(true);
  const response = responses[index];
  document.getElementById("say").textContent = `${responseName(response)}, ${contradiction(response) ?? verdict(response)}`;
}

/** From the list or the overview to what fills the page. */
function leaveFor(hash, push) {
  hideTip();
  if (location.hash !== hash) history[push ? "pushState" : "replaceState"](null, "", hash);
  document.body.classList.add("reading");
  document.getElementById("back").hidden = false;
}

function toTop() {
  responseBox.scrollTop = 0;
  if (matchMedia("(max-width: 900px)").matches) scrollTo(0, 0);
}

function closeResponse() {
  hideTip();
  state.current = state.comparing = null;
  document.body.classList.remove("reading");
  document.getElementById("back").hidden = true;
  responseBox.replaceChildren();
  markCurrent();
}

function fact(name, ...value) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, ...value));
}

function verdictBadge(response) {
  const kind = verdict(response);
  return el("span", { class: `badge ${kind}` }, `${MARKS[kind]} ${{ right: "Right", wrong: "Wrong", unknown: "Unknown" }[kind]}`);
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
  const where = `${groupName(group)} · response ${response.nth} of ${group.responses.length}`;
  return el(
    "header",
    { class: "response-head" },
    verdictBadge(response),
    against(response) ? el("span", { class: "badge against" }, `⚠ the PRM ${response.right ? "disliked" : "liked"} it`) : null,
    el("h2", {}, where),
    group.responses.length > 1 ? el("button", { type: "button", title: "Side by side (c)", onclick: () => openCompare(group, true) }, "Compare") : null,
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
    response.group.truth == null ? null : fact("Expected answer", ...richExcerpt(response.group.truth, 80)),
    fact("PRM mean", scored ? fixed(response.prm, 2) : "none"),
    response.weight == null ? null : fact("Weight w", fixed(response.weight, 2)),
    fact(RELATIVE ? "Relative score" : "Mean z", scored ? signed(response.zMean, 2) : "none"),
    fact("GRPO’s A", signed(response.grpo, 2)),
    fact("Signs flipped", percent(response.flips)),
    fact("Length", plural(response.tokens, "token")),
    response.turns.length > 1 ? fact("Turns", String(response.turns.length)) : null,
    response.latency == null ? null : fact("PRM took", `${response.latency.toFixed(2)} s${response.cached ? ", cached" : ""}`),
    parts.length ? fact("Verifier", ...shown(excerpt(parts.map(([k, v]) => `${k} ${v}`).join(", "), 120))) : null,
  );
}

/** What the weight of the credit trust did to the response. */
function trustNote(response) {
  return response.trust == null ? [] : [el("p", { class: "trust" }, response.trust)];
}

function notes(response) {
  const found = [];
  if (response.failure != null) {
    found.push([`The PRM gave no scores (${response.failure}): this response is trained on its outcome alone.`, response.detail]);
  }
  if (response.windows) {
    const seen = response.context == null ? "" : ` Its scores had seen ${percent(response.context)} of what came before them.`;
    found.push([`Longer than the PRM’s context: it read the response in ${plural(response.windows, "window")}.${seen}`, ""]);
  }
  if (response.overlong) found.push(["Longer than the PRM’s context: it did not read all segments.", ""]);
  if (response.hidden.length) {
    found.push([`Hidden from the PRM: ${plural(response.hidden.length, "thought")}. Their tokens get the outcome alone.`, ""]);
  }
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
      el("p", { class: "message" }, ...rich(message.content ?? "(not text)")),
    ]),
  );
  return box;
}

/** What speaks most against the verdict, and the way to it. */
function worstNote(response) {
  if (response.worst == null) return [];
  const [, , score, z] = response.segments[response.worst];
  const does = response.right ? "disliked most in this right answer" : "liked most in this wrong answer";
  return [
    el(
      "p",
      { class: "worst-note" },
      `Segment ${response.worst + 1} is what the PRM ${does}: `,
      el("b", { class: `shade ${scoreClass(z)}` }, `${fixed(score)}, ${Z} ${signed(z, 2)}`),
      " ",
      el("button", { type: "button", title: "Go to it (w)", onclick: showWorst }, "Go to it"),
    ),
  ];
}

function showWorst() {
  document.querySelector("#tokens .is-worst")?.scrollIntoView({ block: "center" });
}

function renderResponse() {
  if (state.comparing != null) return renderCompare();
  const response = responses[state.current];
  const segments = segmentsOf(response);
  const tokens = el("div", { id: "tokens" }, ...segments.map((segment, s) => segmentBox(response, segment, s)));
  if (!segments.length) tokens.append(el("p", { class: "empty" }, "The response is empty."));
  watchTokens(tokens);
  const signals = data.signals.filter((name) => response.signals[name]);
  const dock = el(
    "div",
    { class: "dock" },
    el("div", { class: "controls" }, toggle(), ...(mathToggle() ?? []), legend()),
    el("figure", { class: "map" }, el("div", { id: "map" }), el("figcaption", {}, "Top to bottom: ", ...signalChoice(signals), `PRM score of each segment from ${RELATIVE ? "its group’s mean" : "the prior"}, advantage of each token.`)),
  );
  responseBox.replaceChildren(
    responseHead(response),
    responseFacts(response),
    ...trustNote(response),
    ...notes(response),
    ...worstNote(response),
    promptBox(response.group),
    dock,
    tokens,
  );
  drawMap();
}
