// What a reader switches: whose advantage, formulas or raw text, entropy or surprisal. And the legend.

const READ_OUT = [-3, -2, -1, 0, 1, 2, 3];

/** The one scale of the page: A of tokens and scores of segments, both from where they are neutral. */
function legend() {
  const words = (size, limit, text) => {
    const from = ((Math.abs(size) - 1) * limit) / 3;
    if (size === 0 || from === 0) return size === 0 ? text(0) : size < 0 ? "down" : "up";
    return (size < 0 ? "< " : "> ") + text(Math.sign(size) * from);
  };
  const { zLimit, limit, prior } = data.scale;
  const score = (z) => (prior.mean == null ? signed(z, 1) : fixed(prior.mean + z * prior.std, 2));
  return el(
    "div",
    { class: "legend" },
    el(
      "div",
      { class: "legend-scale", role: "group", "aria-label": "Colours of tokens by advantage" },
      el("b", {}, "Tokens by A"),
      ...READ_OUT.map((size) => el("span", { class: `sample ${named("a", size)}` }, words(size, limit, (a) => (a ? signed(a, 2) : "0")))),
    ),
    el(
      "div",
      { class: "legend-scale", role: "group", "aria-label": "Shades of segments by PRM score" },
      el("b", {}, prior.mean == null ? `Segments by ${Z}` : "Segments by PRM"),
      ...READ_OUT.map((size) =>
        el("span", { class: `shade ${named("z", size)}` }, size === 0 ? (RELATIVE ? score(0) : `prior ${score(0)}`) : words(size, zLimit, score)),
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

/** Printed formulas or the text as it is; null where the page has no formulas. */
function mathToggle() {
  if (!canMath) return null;
  const choice = (name, math) =>
    el("button", { type: "button", "data-math": String(math), "aria-pressed": String(state.math === math), onclick: () => setMath(math) }, name);
  return [el("div", { class: "toggle", role: "group", "aria-label": "Formulas", title: "Switch (m)" }, choice("Formulas", true), choice("Raw text", false))];
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

function setMath(math) {
  state.math = math && canMath;
  renderOverview();
  renderList();
  again();
}

function setGrpo(grpo) {
  state.grpo = grpo;
  document.getElementById("whose").replaceChildren(toggle());
  again();
}

/** Draws what is open anew, where it was scrolled to. */
function again() {
  if (state.current == null && state.comparing == null) return;
  const [box, page] = [responseBox.scrollTop, scrollY];
  const held = focusedToken()?.dataset.t;
  renderResponse();
  responseBox.scrollTop = box;
  scrollTo(0, page);
  if (held != null) focusToken(Number(held));
}
