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
  filter: null, // key of a filter, null for all
  query: "",
  grpo: false, // GRPO's advantage instead of PRPO's
  signal: data.signals[0] ?? null, // which one the map draws
  listed: [], // indexes in the order of the list
  promptOpen: true,
};

const EPSILON = 1e-6;

/** Size and direction of an advantage: -3 to 3 in thirds of the scale, 0 only for none. */
function level(advantage) {
  if (advantage == null || Math.abs(advantage) < EPSILON) return 0;
  return Math.sign(advantage) * Math.min(3, Math.ceil((3 * Math.abs(advantage)) / data.scale.limit));
}

function advantageClass(advantage) {
  const size = level(advantage);
  return size === 0 ? "a-0" : `a-${size > 0 ? "p" : "n"}${Math.abs(size)}`;
}

/** Where a PRM score lies in its range, in fifths: 0 to 4. */
function scoreLevel(score) {
  const [low, high] = data.scale.scores;
  return Math.max(0, Math.min(4, Math.floor((5 * (score - low)) / (high - low))));
}

function scoreShare(score) {
  const [low, high] = data.scale.scores;
  return Math.max(0, Math.min(1, (score - low) / (high - low)));
}

function flips(advantage, grpo) {
  return Math.abs(advantage) > EPSILON && Math.abs(grpo) > EPSILON && advantage * grpo < 0;
}

/** The indexes that filter and search leave, in the filter's order. */
function listed() {
  const filter = data.filters.find((one) => one.key === state.filter);
  const kept = filter ? filter.responses : data.groups.flatMap((group) => group.responses);
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
  const texts = response.lengths.map((length) => response.text.slice(at, (at += length)));
  const segmentOf = new Array(response.tokens).fill(-1);
  response.segments.forEach(([begin, end], s) => segmentOf.fill(s, begin, end));
  response.perToken = {
    texts,
    segmentOf,
    own: perToken(response.own),
    z: perToken(response.z),
    beta: perToken(response.beta),
    A: perToken(response.A),
  };
  return response.perToken;
}
