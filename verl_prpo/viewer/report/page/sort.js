// The order of groups.

const SORTS = {
  against: ["PRM against verdict, most first", (group) => -group.against],
  flips: ["sign flips, most first", (group) => -(group.flips ?? -1)],
  "accuracy-low": ["accuracy, lowest first", (group) => group.accuracy ?? Infinity],
  "accuracy-high": ["accuracy, highest first", (group) => -(group.accuracy ?? -Infinity)],
  "prm-low": ["PRM mean, lowest first", (group) => group.prm ?? Infinity],
  "prm-high": ["PRM mean, highest first", (group) => -(group.prm ?? -Infinity)],
  dump: ["as in the dump", (group) => group.number],
};

/** All groups in the chosen order; equals stay as in the dump. */
function sortedGroups() {
  const [, rank] = SORTS[state.sort];
  return [...data.groups].sort((a, b) => {
    const [x, y] = [rank(a), rank(b)];
    return x < y ? -1 : x > y ? 1 : a.number - b.number;
  });
}

function renderSort() {
  const choice = document.getElementById("sort");
  choice.replaceChildren(...Object.entries(SORTS).map(([key, [name]]) => el("option", { value: key }, name)));
  choice.value = state.sort;
  choice.addEventListener("change", () => {
    state.sort = choice.value;
    renderList();
    itemsBox.scrollTop = 0;
  });
}
