// What the page holds, and what is chosen.

const data = await unpacked();
const responses = data.responses;
data.groups.forEach((group, place) => {
  group.number = place + 1;
  group.question = (group.messages.findLast?.((m) => m.role === "user") ?? group.messages.at(-1))?.content ?? "";
  group.responses.forEach((i, nth) => Object.assign(responses[i], { index: i, group, nth: nth + 1 }));
});

const state = {
  current: null, // index of the open response
  comparing: null, // place of the group whose responses stand side by side
  beside: new Set(), // which of them
  filter: null, // key of a filter, null for all
  query: "",
  sort: "against", // key of a sorting of groups
  grpo: false, // GRPO's advantage instead of PRPO's
  signal: data.signals[0] ?? null, // which one the map draws
  listed: [], // indexes in the order of the list
  promptOpen: true,
  math: await loadMath(), // whether formulas are printed; else their text stands as it is
};
const canMath = state.math;

const EPSILON = 1e-6;

/** Under the credit trust there is no prior: scores are compared with those of their group. */
const RELATIVE = data.scale.prior.source === "relative";
const Z = RELATIVE ? "relative score" : "z";
const MEAN_Z = RELATIVE ? "relative score" : "mean z";
const PARTS = RELATIVE ? ["PRM’s part", "outcome’s part"] : ["z", "β"]; // of an advantage

/** Where a number lies on the diverging scale: -3 to 3 in thirds of the limit; 0 only within `neutral` of it. */
function level(value, limit, neutral) {
  if (value == null || Math.abs(value) <= neutral) return 0;
  return Math.sign(value) * Math.min(3, Math.ceil((3 * Math.abs(value)) / limit));
}

function named(kind, size) {
  return size === 0 ? `${kind}-0` : `${kind}-${size > 0 ? "p" : "n"}${Math.abs(size)}`;
}

function advantageClass(advantage) {
  return named("a", level(advantage, data.scale.limit, EPSILON));
}

/** The shade of a score, by its distance z from the prior or from its group's mean. */
function scoreClass(z) {
  return z == null ? "z-none" : named("z", level(z, data.scale.zLimit, data.scale.zLimit / 20));
}

function scoreShare(score) {
  const [low, high] = data.scale.scores;
  return Math.max(0, Math.min(1, (score - low) / (high - low)));
}

/** Whether the PRM's mean speaks against the verdict: a wrong response liked, a right one disliked. */
function against(response) {
  return response.against > 0;
}

function verdict(response) {
  return response.right == null ? "unknown" : response.right ? "right" : "wrong";
}

function flips(advantage, grpo) {
  return Math.abs(advantage) > EPSILON && Math.abs(grpo) > EPSILON && advantage * grpo < 0;
}

/** The indexes that filter and search leave, in the filter's order. */
function listed() {
  const filter = data.filters.find((one) => one.key === state.filter);
  const kept = filter ? filter.responses : sortedGroups().flatMap((group) => group.responses);
  const words = state.query.toLowerCase().split(/\s+/).filter(Boolean);
  const holds = (response, word) =>
    searchable(response).includes(word) || (word.length >= 8 && response.group.uid.toLowerCase().includes(word));
  return words.length ? kept.filter((i) => words.every((word) => holds(responses[i], word))) : kept;
}

function searchable(response) {
  response.searchable ??= [
    ...response.group.messages.map((message) => message.content ?? ""),
    response.text,
    response.group.truth ?? "",
    response.failure ?? "",
    response.detail,
  ].join("\n").toLowerCase();
  return response.searchable;
}

/** The lists per token of a response, made when it is first opened. */
function tokensOf(response) {
  if (response.perToken) return response.perToken;
  let at = 0;
  const starts = [0];
  const texts = response.lengths.map((length) => {
    const text = response.text.slice(at, (at += length));
    starts.push(at);
    return text;
  });
  const segmentOf = new Array(response.tokens).fill(-1);
  response.segments.forEach(([begin, end], s) => segmentOf.fill(s, begin, end));
  response.perToken = {
    texts,
    starts, // of each token in the text, and the text's end
    segmentOf,
    own: perToken(response.own),
    z: perToken(response.z),
    beta: perToken(response.beta),
    A: perToken(response.A),
  };
  return response.perToken;
}
