// The first look: what is wrong, with a way to it, and the step in numbers and charts.

const overviewBox = document.getElementById("overview");
const TOLD = 4; // responses listed under a finding

/** What there is to see: [whether it is alarming, headline, explanation, responses, the measure of each]. */
function findings() {
  const all = data.all;
  const of = (key) => data.filters.find((filter) => filter.key === key).responses;
  const meanZ = (r) => `PRM ${fixed(r.prm, 2)}, ${Z} ${signed(r.zMean, 2)}`;
  const among = RELATIVE ? " of mixed groups" : "";
  const found = [];
  if (all.ranked != null) {
    const chance = all.ranked < 0.55;
    const words = chance ? "no better than a coin: its scores do not tell right from wrong here" : "50% is chance";
    found.push([chance, `The PRM ranks right above wrong in ${percent(all.ranked)} of the pairs`, words, [], null]);
  }
  const share = (count, whole) => count > 0 && count >= 0.25 * whole;
  found.push([
    share(all.liked_wrong, all.checked_wrong),
    `${all.liked_wrong} of ${plural(all.checked_wrong, "wrong response")}${among} the PRM liked`,
    RELATIVE
      ? "mean score above the group’s: this takes from what the PRM can earn"
      : "mean score above the prior: it pays for wrong work, or the work is right up to a late slip",
    of("liked-wrong"),
    meanZ,
    "liked-wrong",
  ]);
  found.push([
    share(all.disliked_right, all.checked_right),
    `${all.disliked_right} of ${plural(all.checked_right, "right response")}${among} the PRM disliked`,
    RELATIVE
      ? "mean score below the group’s: this takes from what the PRM can earn"
      : "mean score below the prior: it punishes right work, or the answer was right by luck",
    of("disliked-right"),
    meanZ,
    "disliked-right",
  ]);
  found.push([
    (all.flip_share ?? 0) >= 0.25,
    `${percent(all.flip_share ?? 0)} of the tokens change sign against GRPO`,
    `in ${plural(all.flip_responses, "response")}: PRPO pushes them the other way`,
    of("sign-flips"),
    (r) => `${percent(r.flips)} of tokens`,
    "sign-flips",
  ]);
  if (all.failures || all.overlong) {
    found.push([
      true,
      [all.failures ? `${plural(all.failures, "response")} without scores` : "", all.overlong ? `${all.overlong} longer than the PRM’s context` : ""].filter(Boolean).join(", "),
      "the PRM failed on them, or could not read them to the end",
      of("failures"),
      (r) => r.failure ?? "overlong",
      "failures",
    ]);
  }
  if (all.unknown) {
    found.push([true, `${plural(all.unknown, "response")} of unknown verdict`, data.verdicts, [], null]);
  }
  return found;
}

function findingBox([alarming, headline, explanation, indexes, measure, key]) {
  const more = indexes.length > TOLD ? el("button", { type: "button", class: "more", onclick: () => setFilter(key) }, `all ${indexes.length}`) : null;
  return el(
    "section",
    { class: `finding${alarming ? " alarming" : ""}${indexes.length ? "" : " brief"}` },
    el("h3", {}, el("span", { class: "sign", "aria-hidden": "true" }, alarming ? "⚠ " : ""), headline, alarming ? el("span", { class: "unseen" }, " (look here)") : null),
    el("p", {}, explanation),
    ...indexes.slice(0, TOLD).map((i) => telling(responses[i], measure(responses[i]))),
    more,
  );
}

/** A line that opens a response at the segment that speaks most against its verdict, and shows that segment. */
function telling(response, measure) {
  const worst = response.worst == null ? null : response.segments[response.worst];
  const starts = tokensOf(response).starts;
  const text = worst ? response.text.slice(starts[worst[0]], starts[worst[1]]) : response.group.question;
  const line = row(response, measure);
  line.classList.add("telling");
  line.removeAttribute("data-open"); // that is for the list, which marks the open one
  line.dataset.to = response.index;
  line.querySelector(".row-excerpt").replaceChildren(
    ...(worst ? [el("b", { class: `shade ${scoreClass(worst[3])}` }, `${response.worst + 1}: ${fixed(worst[2], 2)}`), " "] : []),
    ...richExcerpt(text, 110),
  );
  line.addEventListener("click", () => (openResponse(response.index, true), showWorst()));
  return line;
}

function priorWords() {
  const { mean, std, source } = data.scale.prior;
  if (source === "relative") return "none: scores are compared with their group";
  if (source === "group") return "of each group: its own mean";
  const words = `${fixed(mean, 2)} ± ${fixed(std, 2)}`;
  return source === "assumed" ? `${words}, assumed` : words;
}

function numbers() {
  const all = data.all;
  const known = all.right + all.wrong;
  return el(
    "dl",
    { class: "facts" },
    fact("Responses", `${all.responses.toLocaleString("en")} in ${plural(all.groups, "group")}`),
    fact("Right", known ? percent(all.right / known) : "unknown"),
    fact("PRM mean, right", fixed(all.prm_right, 2)),
    fact("PRM mean, wrong", fixed(all.prm_wrong, 2)),
    fact("Prior", priorWords()),
    fact("Signs flipped", percent(all.flip_share)),
    fact("Groups of one verdict", `${all.all_equal} of ${all.groups}`),
    fact("Failures", String(all.failures)),
    fact("Segments", fixed(all.segments, 1)),
    fact("Mean length", all.mean_tokens == null ? "none" : plural(Math.round(all.mean_tokens), "token")),
  );
}

/** What is not as one would think, each in a sentence; nothing of it is wrong. */
function remarks() {
  const { sample } = data;
  const said = data.trust ? [data.trust] : [];
  if (sample.shown < sample.read) {
    said.push(
      `Shown: ${sample.shown} of ${sample.read} responses, ${data.groups.length} of ${sample.groups} groups, ` +
        `${sample.how}. Numbers and scores are those of all ${sample.read}.`,
    );
  }
  if (sample.skipped) {
    said.push(`${plural(sample.skipped, "row")} of the dump without a record left out (padding, or more than algorithm.prpo.dump_responses).`);
  }
  if (data.scale.prior.source === "assumed" && data.all.prm_mean != null) {
    said.push("The dump does not say the PRM’s prior: colours part at an assumed one.");
  }
  if (data.trouble) said.push(data.trouble);
  if (data.verdicts && !data.all.unknown) said.push(`Verdicts: ${data.verdicts}.`);
  return said;
}

function stepTable() {
  const head = ["step", "responses", "right", "PRM, right", "PRM, wrong", "ranked", "liked wrong", "disliked right", "signs flipped", "one verdict", "failures", "mean length"];
  const line = (s) => [
    s.step, s.responses, s.right + s.wrong ? percent(s.right / (s.right + s.wrong)) : "unknown", fixed(s.prm_right, 2), fixed(s.prm_wrong, 2),
    percent(s.ranked), s.liked_wrong, s.disliked_right, percent(s.flip_share), `${s.all_equal} of ${s.groups}`, s.failures, Math.round(s.mean_tokens ?? 0),
  ];
  return el(
    "details",
    { id: "steps" },
    el("summary", {}, "Step by step"),
    el(
      "div",
      { class: "scroll" },
      el(
        "table",
        {},
        el("thead", {}, el("tr", {}, ...head.map((name) => el("th", { scope: "col" }, name)))),
        el("tbody", {}, ...data.steps.map((s) => el("tr", {}, ...line(s).map((value) => el("td", {}, String(value)))))),
      ),
    ),
  );
}

function renderOverview() {
  const said = remarks();
  const would = document.getElementById("would");
  would.replaceChildren(...data.would.map((line, place) => el(place ? "span" : "b", {}, ...shown(line), " ")));
  would.hidden = !data.would.length;
  overviewBox.replaceChildren(...[
    el("h2", {}, "What to look at"),
    el("div", { class: "findings" }, ...findings().map(findingBox)),
    numbers(),
    said.length ? el("p", { id: "sample" }, ...shown(said.join(" "))) : null,
    ...(data.steps.length > 1 ? [stepTable()] : []),
    ...plots(),
  ].filter(Boolean));
}
