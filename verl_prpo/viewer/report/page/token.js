// The numbers of one token: on hover, on focus, on a tap.

const tip = document.getElementById("tip");
let tipToken = null;

/** The numbers of token t; of a printed formula, which reaches up to token `last`, those of its first one. */
function tipRows(response, t, last) {
  const tokens = tokensOf(response);
  const s = tokens.segmentOf[t];
  const score = s < 0 ? null : response.segments[s][2];
  const own = Boolean(tokens.own[t]);
  const nats = (value) => (value == null ? "none" : `${(value / 1000).toFixed(3)} nats`);
  const span = last > t + 1 ? `${t + 1} to ${last}` : `${t + 1}`;
  return [
    [last > t + 1 ? "tokens" : "token", `${span} of ${response.tokens}`],
    ...data.signals.map((name) => [name, nats(response.signals[name]?.[t])]),
    ["segment", s < 0 ? "none" : `${s + 1} of ${response.segments.length}`],
    ["PRM score", score && Math.abs(score) < 5e-4 ? score.toExponential(1).replace("-", "−") : fixed(score)],
    ...(RELATIVE ? [["relative score", s < 0 ? "none" : signed(response.segments[s][3])]] : []),
    [PARTS[0], own ? signed(tokens.z[t]) : "not trained"],
    [PARTS[1], own ? signed(tokens.beta[t]) : "not trained"],
    ["A (PRPO)", own ? signed(tokens.A[t]) : "not trained"],
    ["A (GRPO)", own ? signed(response.grpo) : "not trained"],
  ];
}

function showTip(token) {
  const response = responses[state.current];
  const t = Number(token.dataset.t);
  const text = token.getAttribute("aria-label") ?? tokensOf(response).texts[t];
  tipToken?.removeAttribute("aria-describedby");
  tipToken = token;
  token.setAttribute("aria-describedby", "tip");
  tip.replaceChildren(
    el("p", { class: "tip-text" }, ...(text ? shown(text.replaceAll("\n", "↵")) : ["▫ no text of its own"])),
    el("dl", {}, ...tipRows(response, t, Number(token.dataset.end ?? t + 1)).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
  );
  tip.hidden = false;
  placeTip();
  const here = document.querySelector("#map .here");
  if (here) {
    const x = ((t + 0.5) / response.tokens) * here.ownerSVGElement.clientWidth;
    here.setAttribute("x1", x);
    here.setAttribute("x2", x);
  }
}

/** Puts the numbers next to their token: below it, above where there is no room, on a phone at the bottom. */
function placeTip() {
  const at = tipToken.getBoundingClientRect();
  const sheet = matchMedia("(max-width: 700px)").matches;
  tip.classList.toggle("sheet", sheet);
  if (sheet) {
    tip.style.top = tip.style.left = "";
    return;
  }
  const below = at.bottom + 8 + tip.offsetHeight < innerHeight;
  tip.style.top = `${below ? at.bottom + 8 : Math.max(8, at.top - tip.offsetHeight - 8)}px`;
  tip.style.left = `${Math.max(8, Math.min(at.left, innerWidth - tip.offsetWidth - 8))}px`;
}

function focusedToken() {
  return document.activeElement?.closest("#tokens [data-t]") ?? null;
}

/** The numbers follow the focus when the text moves; those of the mouse go. */
function onScroll() {
  if (!tipToken) return;
  if (focusedToken() === tipToken) placeTip();
  else hideTip();
}

function hideTip() {
  tip.hidden = true;
  tipToken?.removeAttribute("aria-describedby");
  tipToken = null;
}

/** The element of a token; of one inside a printed formula, that of the formula. */
function tokenAt(t) {
  const exact = document.querySelector(`#tokens [data-t="${t}"]`);
  if (exact) return exact;
  return [...document.querySelectorAll("#tokens [data-end]")].find((one) => Number(one.dataset.t) <= t && t < Number(one.dataset.end)) ?? null;
}

/** Moves the one tab stop of the text to a token and the focus with it. */
function focusToken(t) {
  const last = responses[state.current].tokens - 1;
  const token = tokenAt(Math.max(0, Math.min(last, t)));
  if (!token) return;
  document.querySelector('#tokens [tabindex="0"]')?.setAttribute("tabindex", "-1");
  token.setAttribute("tabindex", "0");
  token.focus({ preventScroll: true });
  token.scrollIntoView({ block: "nearest" });
  showTip(token);
}

function tokenKey(event) {
  const t = Number(event.target.dataset.t);
  const response = responses[state.current];
  const s = tokensOf(response).segmentOf[t];
  const start = (place) => response.segments[Math.max(0, Math.min(response.segments.length - 1, place))]?.[0] ?? 0;
  const goals = {
    ArrowRight: Number(event.target.dataset.end ?? t + 1),
    ArrowLeft: t - 1,
    ArrowDown: start(s + 1),
    ArrowUp: t > start(s) ? start(s) : start(s - 1),
    Home: 0,
    End: response.tokens - 1,
  };
  if (!(event.key in goals)) return;
  event.preventDefault();
  event.stopPropagation();
  focusToken(goals[event.key]);
}

/** Lets a text whose tokens carry data-t show their numbers. */
function watchTokens(box) {
  const token = (event) => event.target.closest?.("[data-t]");
  box.addEventListener("pointerover", (event) => {
    if (event.pointerType === "mouse" && token(event)) showTip(token(event));
  });
  box.addEventListener("pointerleave", (event) => {
    if (event.pointerType !== "mouse") return;
    if (focusedToken()) showTip(focusedToken());
    else hideTip();
  });
  box.addEventListener("click", (event) => token(event) && focusToken(Number(token(event).dataset.t)));
  box.addEventListener("focusin", (event) => token(event) && showTip(token(event)));
  box.addEventListener("focusout", hideTip);
  box.addEventListener("keydown", tokenKey);
}
