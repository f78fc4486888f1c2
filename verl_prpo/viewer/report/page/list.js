// The list on the left: groups with their outcomes, or what a filter or the search leaves.

const itemsBox = document.getElementById("items");

const MEASURES = {
  "liked-wrong": (r) => `${MEAN_Z} ${signed(r.zMean, 2)}`,
  "disliked-right": (r) => `${MEAN_Z} ${signed(r.zMean, 2)}`,
  "sign-flips": (r) => `${percent(r.flips)} of tokens`,
  failures: (r) => r.failure ?? "overlong",
  longest: (r) => plural(r.tokens, "token"),
};
const MARKS = { right: "✓", wrong: "✗", unknown: "?" };

function outcomeMark(response) {
  const kind = verdict(response);
  return el("span", { class: `mark ${kind}`, "aria-hidden": "true" }, MARKS[kind]);
}

function responseName(response) {
  return `group ${response.group.number}, response ${response.nth}`;
}

function groupName(group) {
  return data.steps.length > 1 ? `Step ${group.step} · group ${group.number}` : `Group ${group.number}`;
}

/** What the PRM thinks of a response that the verdict contradicts, in words; null where they agree. */
function contradiction(response) {
  if (!against(response)) return null;
  return response.right ? "right, but the PRM disliked it" : "wrong, but the PRM liked it";
}

function pill(response, attributes = { "data-open": response.index }) {
  const alert = response.failure != null || response.overlong;
  const words = [
    responseName(response),
    contradiction(response) ?? (response.right == null ? "verdict unknown" : verdict(response)),
    response.zMean == null ? "no PRM score" : `${MEAN_Z} ${signed(response.zMean, 2)}, PRM ${fixed(response.prm, 2)}`,
    ...(alert ? [response.failure ?? "overlong"] : []),
  ];
  return el(
    "button",
    {
      type: "button",
      class: `pill ${scoreClass(response.zMean)}${against(response) ? " against" : ""}`,
      "aria-label": words.join(", "),
      title: words.join(", "),
      ...attributes,
    },
    outcomeMark(response),
    el("span", {}, response.zMean == null ? "–" : signed(response.zMean, 2)),
    alert ? el("span", { class: "alert", "aria-hidden": "true" }, "!") : null,
  );
}

function groupCard(group, members) {
  const { right, unknown, responses: all } = group;
  const agree = responses[all[0]].agrees;
  const same = unknown === all.length ? "equal outcomes" : right === 0 ? "all wrong" : "all right";
  const compare = el("button", { type: "button", class: "compare-open", title: "Side by side (c)" }, "Compare");
  compare.addEventListener("click", () => openCompare(group, true));
  return el(
    "section",
    { class: "group" },
    el(
      "h2",
      {},
      el("span", {}, groupName(group)),
      el("span", { class: "numbers" }, unknown ? `${unknown} unknown` : `${right}/${all.length} right`),
      el("span", { class: "numbers" }, group.prm == null ? "no scores" : `PRM ${fixed(group.prm, 2)}`),
      all.length > 1 ? compare : null,
    ),
    el("p", { class: "question" }, ...richExcerpt(group.question, 140)),
    agree ? el("p", { class: "agree" }, `${same}: ${apart(responses[all[0]])}`) : null,
    el("div", { class: "pills" }, ...members.map((i) => pill(responses[i]))),
  );
}

/** Who tells the responses of a group of one verdict apart. */
function apart({ weight, allEqual }) {
  if (weight == null) return "only the PRM tells them apart";
  if (!allEqual) return "trained as a mixed group, as GRPO";
  return weight === 0 ? "w = 0, as GRPO" : "w × score relative to the group";
}

function row(response, measure) {
  const { group } = response;
  return el(
    "button",
    { type: "button", class: "row", "data-open": response.index },
    outcomeMark(response),
    el("span", { class: "row-name" }, `${groupName(group)} · ${response.nth}`, el("span", { class: "unseen" }, ` (${verdict(response)})`)),
    el("span", { class: "numbers" }, measure),
    el("span", { class: "row-excerpt" }, excerpt(group.question, 90)),
  );
}

function renderFilters() {
  const chip = (key, name, count, place) =>
    el(
      "button",
      {
        type: "button",
        "data-filter": key ?? "",
        "aria-pressed": String(state.filter === key),
        title: `${name} (${place})`,
        onclick: () => setFilter(key),
      },
      name,
      el("span", { class: "count" }, String(count)),
    );
  document
    .getElementById("filters")
    .replaceChildren(
      chip(null, "All", responses.length, 0),
      ...data.filters.map((filter, place) => chip(filter.key, filter.name, filter.responses.length, place + 1)),
    );
}

function renderList() {
  state.listed = listed();
  const filter = data.filters.find((one) => one.key === state.filter);
  const kept = new Set(state.listed);
  const found = state.query ? `${plural(state.listed.length, "response")} found. ` : "";
  document.getElementById("sorting").hidden = Boolean(filter) || data.groups.length < 2;
  document.getElementById("rule").textContent =
    found +
    (filter?.rule ??
      `A mark is a response: ✓ right or ✗ wrong, and its ${MEAN_Z}. Blue: the PRM likes it. Orange: it does not. A thick frame: that contradicts the verdict.`);
  const cards = filter
    ? state.listed.map((i) => row(responses[i], MEASURES[state.filter](responses[i])))
    : sortedGroups()
        .map((group) => [group, group.responses.filter((i) => kept.has(i))])
        .filter(([, members]) => members.length)
        .map(([group, members]) => groupCard(group, members));
  if (!cards.length) {
    const why = state.query ? `Nothing here contains “${excerpt(state.query, 40)}”.` : "No response is like that.";
    cards.push(
      el(
        "div",
        { class: "empty" },
        el("p", {}, why),
        el("button", { type: "button", onclick: () => (setQuery(""), setFilter(null)) }, "Show all responses"),
      ),
    );
  }
  itemsBox.replaceChildren(...cards);
  markCurrent();
}

function markCurrent(scroll = false) {
  for (const button of itemsBox.querySelectorAll("[data-open]")) {
    const open = Number(button.dataset.open) === state.current;
    if (open) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
    if (open && scroll) button.scrollIntoView({ block: "nearest" });
  }
}

function setFilter(key) {
  state.filter = key;
  renderFilters();
  renderList();
  itemsBox.scrollTop = 0;
  const wide = matchMedia("(min-width: 901px)").matches;
  if (wide && key && state.listed.length && !state.listed.includes(state.current)) openResponse(state.listed[0]);
  else if (state.current != null) renderResponse();
}

function setQuery(query) {
  state.query = query.trim();
  const box = document.getElementById("query");
  if (box.value.trim() !== state.query) box.value = query;
  renderList();
}

itemsBox.addEventListener("click", (event) => {
  const button = event.target.closest("[data-open]");
  if (button) openResponse(Number(button.dataset.open), true);
});
