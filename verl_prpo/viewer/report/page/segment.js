// A segment: its head with the numbers, its text as tokens and formulas.

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

function isFlipped(response, begin, end) {
  const { own, A } = tokensOf(response);
  return !response.flat && A.slice(begin, end).some((a, i) => own[begin + i] && flips(a, response.grpo));
}

/** The mark of the segment that speaks most against the verdict. */
function worstMark(response) {
  const words = response.right ? "disliked most, in a right answer" : "liked most, in a wrong answer";
  return el("span", { class: "worst" }, `⚠ ${words}`);
}

function segmentNumbers(response, [begin, end, , z]) {
  if (state.grpo) return [el("span", {}, "GRPO’s A ", el("b", {}, signed(response.grpo, 2)))];
  const tokens = tokensOf(response);
  return [
    RELATIVE && z != null ? el("span", {}, `relative ${signed(z, 2)}`) : null,
    el("span", {}, `${PARTS[0]} ${spread(tokens.z, tokens.own, begin, end)}`),
    el("span", {}, `${PARTS[1]} ${spread(tokens.beta, tokens.own, begin, end)}`),
    el("span", {}, "A ", el("b", {}, spread(tokens.A, tokens.own, begin, end))),
  ];
}

/** The segment with its text; short ones, as stand side by side, name the score and A alone. */
function segmentBox(response, segment, s, brief = false) {
  const [begin, end, score, z] = segment;
  const tokens = tokensOf(response);
  const meter = score == null || brief ? null : el("i", { class: "meter", "aria-hidden": "true" }, el("i"));
  if (meter) meter.firstChild.style.width = `${100 * scoreShare(score)}%`;
  const worst = s === response.worst;
  const advantage = state.grpo ? signed(response.grpo, 2) : spread(tokens.A, tokens.own, begin, end);
  return el(
    "section",
    { class: `segment ${scoreClass(z)}${worst ? " is-worst" : ""}`, "aria-label": `Segment ${s + 1}`, "data-segment": s },
    el(
      "h3",
      {},
      el("span", { class: "segment-number" }, String(s + 1)),
      response.turns.length > 1 ? el("span", { class: "segment-turn" }, turnWords(response, begin, end)) : null,
      el("span", { class: "segment-score" }, score == null ? "no score" : `PRM ${fixed(score, brief ? 2 : 3)}`),
      meter,
      ...(brief ? [el("span", {}, "A ", el("b", {}, advantage))] : segmentNumbers(response, segment)),
      isFlipped(response, begin, end) ? el("span", { class: "flip", title: "The opposite sign of GRPO’s" }, brief ? "⇄" : "⇄ flipped") : null,
      worst ? worstMark(response) : null,
      brief ? null : el("span", { class: "segment-tokens" }, plural(end - begin, "token")),
    ),
    ...textNodes(response, begin, end, brief),
  );
}

/** Which turn of the policy a segment is of, or goes over. */
function turnWords(response, begin, end) {
  const before = (token) => Math.max(1, response.turns.filter((turn) => turn <= token).length);
  const [first, last] = [before(begin), before(end - 1)];
  return first === last ? `turn ${first}` : `turns ${first} to ${last}`;
}

/** The text of a segment: the policy's tokens, and in its own box what it heard between them. */
function textNodes(response, begin, end, brief) {
  const nodes = [];
  const own = (from, to) => from < to && nodes.push(el("p", { class: "text" }, ...tokenNodes(response, from, to, brief)));
  let at = begin;
  for (const heard of response.heard) {
    const [from, to, messages] = heard;
    if (from < begin || to > end || !messages.length) continue;
    own(at, from);
    nodes.push(heardBox(heard));
    at = to;
  }
  own(at, end);
  return nodes;
}

/** What a tool or another said: one place for the reader, many tokens that are not trained. */
function heardBox([begin, end, messages]) {
  return el(
    "div",
    { class: "heard t a-off", "data-t": begin, "data-end": end, tabindex: begin === 0 ? 0 : -1 },
    ...messages.map(([role, content]) => el("p", {}, el("b", {}, role), " ", ...shown(content, true))),
  );
}

function segmentsOf(response) {
  if (response.segments.length) return response.segments;
  return response.tokens ? [[0, response.tokens, null, null]] : [];
}

/** The formulas of a response that KaTeX can read, found when it is first opened. */
function formulasOf(response) {
  if (!state.math) return [];
  response.formulas ??= formulas(response.text).filter((formula) => {
    formula.made = typeset(formula, response.text.slice(formula.begin, formula.end));
    return formula.made;
  });
  return response.formulas;
}

/** The formula as printed; what finding it has made is used first. */
function printed(response, formula) {
  const { made } = formula;
  formula.made = null;
  return made ?? typeset(formula, response.text.slice(formula.begin, formula.end));
}

/**
 * The text of a segment. Where formulas are printed, one that lies whole in the segment stands as printed. One that a cut
 * goes through is printed where it begins, and its text follows, each token in the segment that it belongs to.
 * Where no token is asked for its numbers, neighbours of one colour share an element.
 */
function tokenNodes(response, begin, end, shared = false) {
  const tokens = tokensOf(response);
  const { starts, texts } = tokens;
  const [low, high] = [starts[begin], starts[end]];
  const inside = formulasOf(response).filter((formula) => formula.begin < high && formula.end > low);
  const nodes = [];
  const add = (t, text, more = "") => {
    const made = tokenSpan(response, t, text, more);
    const last = nodes.at(-1);
    if (shared && last?.className === made.className && !last.dataset.end) last.append(...made.childNodes);
    else nodes.push(made);
  };
  let next = 0; // of the formulas
  for (let t = begin; t < end; t++) {
    if (!texts[t]) {
      const within = inside.some((formula) => formula.begin < starts[t] && starts[t] < formula.end && formula.begin >= low && formula.end <= high);
      if (!within) add(t, "▫", "bare");
      continue;
    }
    for (let from = starts[t]; from < starts[t + 1]; ) {
      while (next < inside.length && inside[next].end <= from) next++;
      const formula = inside[next];
      const until = Math.min(starts[t + 1], !formula || formula.begin > from ? (formula?.begin ?? Infinity) : formula.end);
      if (!formula || formula.begin > from) add(t, response.text.slice(from, until));
      else if (formula.begin < low || formula.end > high) {
        if (formula.begin === from) nodes.push(cutFormula(response, formula));
        add(t, response.text.slice(from, until), "rest");
        if (until === high && formula.end > high) nodes.push(el("span", { class: "cut-mark", title: "The formula goes on in the next segment" }, `✂ ${tokens.segmentOf[end] + 1}`));
      } else if (formula.begin === from) nodes.push(formulaNode(response, formula, t));
      from = until;
    }
  }
  return nodes;
}

function tokenSpan(response, t, text, more = "") {
  const classes = ["t", tokenClass(response, t), more];
  const attributes = { class: classes.filter(Boolean).join(" "), "data-t": t, tabindex: t === 0 ? 0 : -1 };
  return el("span", attributes, ...(more === "bare" ? [text] : shown(text, true)));
}

function tokenClass(response, t) {
  const { own, A } = tokensOf(response);
  return own[t] ? advantageClass(state.grpo ? response.grpo : A[t]) : "a-off";
}

/** A printed formula in the place of its tokens, of which the first gives it its colour and numbers. */
function formulaNode(response, formula, t) {
  const { starts } = tokensOf(response);
  let last = t + 1;
  while (starts[last] < formula.end) last++;
  const made = printed(response, formula);
  made.classList.add("t", tokenClass(response, t));
  made.dataset.t = t;
  made.dataset.end = last;
  made.tabIndex = t === 0 ? 0 : -1;
  return made;
}

/** A formula that a cut goes through, printed without a colour: its tokens follow as text, here and in the next segments. */
function cutFormula(response, formula) {
  const made = printed(response, formula);
  made.classList.add("cut-through");
  made.title = "A cut goes through this formula. What of it lies in this segment follows as text";
  return made;
}
