// Responses of a group side by side.

const PRESETS = [
  ["All", (group) => group.responses],
  ["Most telling two", (group) => tellingPair(group)],
];

/** The wrong response that the PRM likes most, and the right one that it likes least; else the two ends of its scores. */
function tellingPair(group) {
  const scored = group.responses.filter((i) => responses[i].prm != null).sort((a, b) => responses[b].prm - responses[a].prm);
  const wrong = scored.find((i) => responses[i].right === false);
  const right = scored.findLast((i) => responses[i].right === true);
  const pair = wrong != null && right != null ? [right, wrong] : [scored[0], scored.at(-1)];
  return pair[0] == null ? group.responses.slice(0, 2) : [...new Set(pair)];
}

function openCompare(group, push = false) {
  const same = state.comparing === group.number - 1;
  state.comparing = group.number - 1;
  state.current = null;
  if (!same) state.beside = new Set(group.responses);
  leaveFor(`#g${group.number}`, push);
  renderCompare();
  toTop();
  markCurrent();
  document.getElementById("say").textContent = `${groupName(group)}, responses side by side`;
}

function renderCompare() {
  const group = data.groups[state.comparing];
  const chosen = group.responses.filter((i) => state.beside.has(i));
  const choose = (indexes) => {
    state.beside = new Set(indexes);
    renderCompare();
  };
  const toggled = (i) => (state.beside.has(i) ? chosen.filter((one) => one !== i) : [...chosen, i]);
  const same = (indexes) => indexes.length === chosen.length && indexes.every((i) => state.beside.has(i));
  responseBox.replaceChildren(
    el("header", { class: "response-head" }, el("h2", {}, `${groupName(group)} · side by side`), toggle(), ...(mathToggle() ?? [])),
    promptBox(group),
    el(
      "div",
      { class: "beside", role: "group", "aria-label": "Responses that stand side by side" },
      ...PRESETS.map(([name, of]) =>
        el("button", { type: "button", "aria-pressed": String(same(of(group))), onclick: () => choose(of(group)) }, name),
      ),
      ...group.responses.map((i) =>
        pill(responses[i], { "aria-pressed": null, "data-beside": i, "data-on": String(state.beside.has(i)), onclick: () => choose(toggled(i)) }),
      ),
    ),
    el("div", { class: "columns", tabindex: 0, role: "region", "aria-label": "Responses, side by side" }, ...chosen.map((i) => column(responses[i]))),
  );
}

function column(response) {
  const open = el("button", { type: "button", title: "Open this response" }, "Open");
  open.addEventListener("click", () => openResponse(response.index, true));
  return el(
    "section",
    { class: "column", "aria-label": `Response ${response.nth}` },
    el(
      "header",
      {},
      verdictBadge(response),
      el("b", {}, `${response.nth}`),
      el("span", { class: "numbers" }, response.prm == null ? "no scores" : `PRM ${fixed(response.prm, 2)}, ${Z} ${signed(response.zMean, 2)}`),
      el("span", { class: "numbers" }, `GRPO’s A ${signed(response.grpo, 2)}`),
      response.flips > 0 ? el("span", { class: "flip" }, `⇄ ${percent(response.flips)}`) : null,
      open,
    ),
    ...trustNote(response),
    ...notes(response),
    ...segmentsOf(response).map((segment, s) => segmentBox(response, segment, s, true)),
  );
}
