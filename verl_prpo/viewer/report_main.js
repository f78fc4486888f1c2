// Overview, keys, and the start.

const MOVES = { j: 1, k: -1 };
const help = document.getElementById("help");

function renderOverview() {
  const all = data.all;
  const of = (count, whole) => (whole ? percent(count / whole) : "none");
  document.getElementById("overview").append(
    fact("Responses", `${all.responses.toLocaleString("en")} in ${plural(all.groups, "group")}`),
    fact("Right", of(all.right, all.responses)),
    fact("PRM mean, right", all.prm_right == null ? "none" : fixed(all.prm_right, 2)),
    fact("PRM mean, wrong", all.prm_wrong == null ? "none" : fixed(all.prm_wrong, 2)),
    fact("Signs flipped", percent(all.flip_share)),
    fact("Groups that agree", `${all.all_equal} of ${all.groups}`),
    fact("Failures", String(all.failures)),
    fact("Mean length", all.mean_tokens == null ? "none" : plural(Math.round(all.mean_tokens), "token")),
  );
  const sample = document.getElementById("sample");
  const notes = [];
  if (data.sample.shown < data.sample.read) {
    notes.push(
      `Shown: ${data.sample.shown} of ${data.sample.read} responses, ${data.groups.length} of ${data.sample.groups} groups, ` +
        `${data.sample.how}. The numbers above are those of all ${data.sample.read}.`,
    );
  }
  if (data.sample.skipped) {
    const rows = plural(data.sample.skipped, "row");
    notes.push(`${rows} of the dump without a record left out (padding, or more than algorithm.prpo.dump_responses).`);
  }
  sample.textContent = notes.join(" ");
  sample.hidden = !notes.length;
  if (data.steps.length < 2) return;
  const head = ["step", "responses", "right", "PRM mean", "PRM, right", "PRM, wrong", "signs flipped", "groups that agree", "failures", "mean length"];
  const line = (s) => [
    s.step, s.responses, of(s.right, s.responses), fixed(s.prm_mean, 2), fixed(s.prm_right, 2), fixed(s.prm_wrong, 2),
    percent(s.flip_share), `${s.all_equal} of ${s.groups}`, s.failures, Math.round(s.mean_tokens ?? 0),
  ];
  const steps = document.getElementById("steps");
  steps.hidden = false;
  steps.querySelector("table").append(
    el("thead", {}, el("tr", {}, ...head.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, ...data.steps.map((s) => el("tr", {}, ...line(s).map((value) => el("td", {}, String(value)))))),
  );
}

function move(by) {
  if (!state.listed.length) return;
  const place = state.listed.indexOf(state.current);
  const next = place < 0 ? 0 : Math.max(0, Math.min(state.listed.length - 1, place + by));
  openResponse(state.listed[next]);
}

function moveGroup(by) {
  const groups = [...new Set(state.listed.map((i) => responses[i].group))];
  if (!groups.length) return;
  const place = groups.indexOf(responses[state.current]?.group);
  const next = groups[place < 0 ? 0 : Math.max(0, Math.min(groups.length - 1, place + by))];
  openResponse(state.listed.find((i) => responses[i].group === next));
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  const query = document.getElementById("query");
  if (event.target === query) {
    if (event.key === "Escape") {
      setQuery("");
      query.blur();
    }
    return;
  }
  const keys = {
    g: () => setGrpo(!state.grpo),
    s: () => setSignal(data.signals[(data.signals.indexOf(state.signal) + 1) % data.signals.length] ?? null),
    t: switchTheme,
    e: () => state.current != null && focusToken(0),
    "/": () => (closeResponseOnPhone(), query.focus()),
    "?": () => help.showModal(),
    "[": () => moveGroup(-1),
    "]": () => moveGroup(1),
    Escape: hideTip,
    0: () => setFilter(null),
  };
  data.filters.forEach((filter, place) => (keys[place + 1] = () => setFilter(filter.key)));
  const act = event.key in MOVES ? () => move(MOVES[event.key]) : keys[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

function closeResponseOnPhone() {
  if (matchMedia("(max-width: 900px)").matches) closeResponse();
}

function openFromHash() {
  const place = /^#r(\d+)$/.exec(location.hash);
  const index = place ? Number(place[1]) - 1 : -1;
  if (index in responses) openResponse(index);
  else closeResponse();
}

document.getElementById("help-open").addEventListener("click", () => help.showModal());
document.getElementById("back").addEventListener("click", () => {
  history.pushState(null, "", location.pathname + location.search);
  closeResponse();
});
let typing;
document.getElementById("query").addEventListener("input", (event) => {
  clearTimeout(typing);
  typing = setTimeout(() => setQuery(event.target.value), 120);
});
document.addEventListener("keydown", onKey);
addEventListener("popstate", openFromHash);
let resizing;
addEventListener("resize", () => {
  clearTimeout(resizing);
  resizing = setTimeout(drawMap, 100);
});
addEventListener("scroll", onScroll, true);

document.getElementById("whose").append(toggle());
renderOverview();
renderFilters();
renderList();
openFromHash();
if (state.current == null && matchMedia("(min-width: 901px)").matches && state.listed.length) openResponse(state.listed[0]);
