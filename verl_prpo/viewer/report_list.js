// The list on the left: groups with their outcomes, or what a filter or the search leaves.

const itemsBox = document.getElementById("items");

const MEASURES = {
  "liked-wrong": (r) => `mean z ${signed(r.zMean, 2)}`,
  "disliked-right": (r) => `mean z ${signed(r.zMean, 2)}`,
  "sign-flips": (r) => `${percent(r.flips)} of tokens`,
  failures: (r) => r.failure ?? "overlong",
  longest: (r) => plural(r.tokens, "token"),
};

function outcomeMark(right) {
  return el("span", { class: right ? "mark right" : "mark wrong", "aria-hidden": "true" }, right ? "✓" : "✗");
}

function responseName(response) {
  return `group ${response.group.number}, response ${response.nth}`;
}

function pill(response) {
  const score = response.prm == null ? "no score" : fixed(response.prm, 2);
  const alert = response.failure != null || response.overlong;
  const words = [
    responseName(response),
    response.right ? "right" : "wrong",
    response.prm == null ? "no PRM score" : `PRM ${score}`,
    ...(alert ? [response.failure ?? "overlong"] : []),
  ];
  return el(
    "button",
    {
      type: "button",
      class: "pill",
      "data-open": response.index,
      "aria-label": words.join(", "),
      title: words.join(", "),
    },
    outcomeMark(response.right),
    el("span", {}, response.prm == null ? "–" : score),
    alert ? el("span", { class: "alert", "aria-hidden": "true" }, "!") : null,
  );
}

function groupCard(group, members) {
  const right = group.responses.filter((i) => responses[i].right).length;
  const agree = responses[group.responses[0]].agrees;
  const all = right === 0 ? "all wrong" : right === group.responses.length ? "all right" : "equal outcomes";
  return el(
    "section",
    { class: "group" },
    el(
      "h2",
      {},
      el("span", {}, data.steps.length > 1 ? `Step ${group.step} · group ${group.number}` : `Group ${group.number}`),
      el("span", { class: "numbers" }, `${right}/${group.responses.length} right`),
      el("span", { class: "numbers" }, group.prm == null ? "no scores" : `PRM ${fixed(group.prm, 2)}`),
    ),
    el("p", { class: "question" }, excerpt(group.question, 160)),
    agree ? el("p", { class: "agree" }, `${all}: only the PRM tells them apart`) : null,
    el("div", { class: "pills" }, ...members.map((i) => pill(responses[i]))),
  );
}

function row(response) {
  const { group } = response;
  const place = `${data.steps.length > 1 ? `Step ${group.step} · group` : "Group"} ${group.number} · ${response.nth}`;
  return el(
    "button",
    { type: "button", class: "row", "data-open": response.index },
    outcomeMark(response.right),
    el("span", { class: "row-name" }, place, el("span", { class: "unseen" }, response.right ? " (right)" : " (wrong)")),
    el("span", { class: "numbers" }, MEASURES[state.filter](response)),
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
  document.getElementById("rule").textContent =
    found + (filter?.rule ?? (found ? "" : "Each mark is a response: its outcome, and its mean PRM score."));
  const cards = filter
    ? state.listed.map((i) => row(responses[i]))
    : data.groups
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
  if (wide && state.listed.length && !state.listed.includes(state.current)) openResponse(state.listed[0]);
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
