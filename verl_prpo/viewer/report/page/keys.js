// Keys, and what they move between.

const MOVES = { j: 1, k: -1 };
const help = document.getElementById("help");

function move(by) {
  if (!state.listed.length) return;
  const place = state.listed.indexOf(state.current);
  const next = place < 0 ? 0 : Math.max(0, Math.min(state.listed.length - 1, place + by));
  openResponse(state.listed[next]);
}

function moveGroup(by) {
  const groups = [...new Set(state.listed.map((i) => responses[i].group))];
  if (!groups.length) return;
  const place = groups.indexOf(responses[state.current]?.group ?? data.groups[state.comparing]);
  const next = groups[place < 0 ? 0 : Math.max(0, Math.min(groups.length - 1, place + by))];
  if (state.comparing != null) return openCompare(next);
  openResponse(state.listed.find((i) => responses[i].group === next));
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || help.open || event.target.id === "sort") return;
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
    m: () => setMath(!state.math),
    e: () => state.current != null && focusToken(0),
    w: showWorst,
    o: showOverview,
    c: () => {
      const group = responses[state.current]?.group ?? data.groups[state.comparing] ?? responses[state.listed[0]]?.group;
      if (group) openCompare(group, true);
    },
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

/** Back to the first look, and on a phone to the list. */
function showOverview() {
  history.pushState(null, "", location.pathname + location.search);
  closeResponse();
}

function closeResponseOnPhone() {
  if (matchMedia("(max-width: 900px)").matches) closeResponse();
}
