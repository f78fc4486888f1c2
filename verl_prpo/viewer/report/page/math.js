// Mathematics in texts: where formulas lie, and what KaTeX makes of them. A model wrote them: nothing in them is trusted.

const LONGEST_FORMULA = 4000; // characters
const KATEX = { output: "html", throwOnError: true, strict: "ignore", trust: false, maxSize: 12, maxExpand: 200 };
const ENVIRONMENT = /\\begin\{((?:align|aligned|equation|gather|gathered|multline|split|cases|array|[bBpvV]?matrix)\*?)\}/y;
const BOX = /\\boxed\s*\{/y;

/** Runs KaTeX where the page brings it; whether it does. Its script and style are those that the page's policy names. */
async function loadMath() {
  const packed = document.getElementById("katex");
  if (!packed) return false;
  const { script, style } = JSON.parse(await unzipped(packed.textContent));
  document.head.append(el("style", {}, style), el("script", {}, script));
  return typeof globalThis.katex === "object";
}

/** The formulas of a text in their order: where each begins and ends with its marks, its TeX, and whether it stands alone. */
function formulas(text) {
  const found = [];
  const sign = /[\\$]/g;
  for (let hit; (hit = sign.exec(text)); ) {
    const one = formulaAt(text, hit.index);
    if (one && one.end - one.begin <= LONGEST_FORMULA && one.tex.trim() && one.tex.search(ODD) < 0) {
      // A bare percent sign would begin a comment of TeX.
      found.push({ ...one, tex: one.tex.replace(/(?<!\\)%/g, "\\%") });
      sign.lastIndex = one.end;
    } else {
      const two = text.startsWith("$$", hit.index) || text[hit.index] === "\\";
      sign.lastIndex = hit.index + (two ? 2 : 1); // so that \$ is no dollar sign
    }
  }
  return found;
}

function formulaAt(text, begin) {
  const between = (open, close, display) => {
    const at = text.indexOf(close, begin + open.length);
    if (at < 0) return null;
    return { begin, end: at + close.length, tex: text.slice(begin + open.length, at), display };
  };
  if (text.startsWith("$$", begin)) return between("$$", "$$", true);
  if (text[begin] === "$") return inDollars(text, begin);
  if (text.startsWith("\\[", begin)) return between("\\[", "\\]", true);
  if (text.startsWith("\\(", begin)) return between("\\(", "\\)", false);
  ENVIRONMENT.lastIndex = BOX.lastIndex = begin;
  const name = ENVIRONMENT.exec(text)?.[1];
  if (name) {
    const close = `\\end{${name}}`;
    const at = text.indexOf(close, begin);
    const end = at + close.length;
    return at < 0 ? null : { begin, end, tex: text.slice(begin, end), display: true };
  }
  const box = BOX.exec(text)?.[0];
  const end = box ? afterBrace(text, begin + box.length) : -1;
  return end < 0 ? null : { begin, end, tex: text.slice(begin, end), display: false };
}

/** A formula in single dollar signs; sums of money are none. */
function inDollars(text, begin) {
  const close = /(?<!\\)\$/g;
  close.lastIndex = begin + 1;
  const at = close.exec(text)?.index ?? -1;
  if (at < 0) return null;
  const tex = text.slice(begin + 1, at);
  const loose = /^\s|\s$/.test(tex) && !/[\\^_]/.test(tex);
  const money = /^\d/.test(text[at + 1] ?? "") && !tex.includes("\\");
  if (loose || money || /\n\s*\n/.test(tex)) return null;
  return { begin, end: at + 1, tex, display: false };
}

function afterBrace(text, from) {
  let depth = 1;
  for (let at = from; at < text.length && at - from < LONGEST_FORMULA; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === "{") depth++;
    else if (text[at] === "}" && --depth === 0) return at + 1;
  }
  return -1;
}

/** An element with the formula as it is printed; null where KaTeX cannot read it. */
function typeset(formula, raw) {
  try {
    const tree = withStyles(katex.__renderToHTMLTree(formula.tex, { ...KATEX, displayMode: formula.display }));
    const name = formula.display ? "formula display" : "formula";
    return el("span", { class: name, role: "math", "aria-label": raw, title: raw.slice(0, 400) }, tree.toNode());
  } catch {
    return null;
  }
}

/** Has the nodes of KaTeX set their style attributes as properties, which the page's policy allows. */
function withStyles(node) {
  if (node.attributes?.style) {
    const { style, ...others } = node.attributes;
    node.attributes = others;
    const make = node.toNode;
    node.toNode = () => {
      const made = make.call(node);
      made.style.cssText = style;
      return made;
    };
  }
  node.children?.forEach(withStyles);
  return node;
}

/** Nodes that show a text with its formulas printed. */
function rich(text) {
  if (!state.math) return shown(text);
  const nodes = [];
  let from = 0;
  for (const formula of formulas(text)) {
    const made = typeset(formula, text.slice(formula.begin, formula.end));
    if (!made) continue;
    nodes.push(...shown(text.slice(from, formula.begin)), made);
    from = formula.end;
  }
  return [...nodes, ...shown(text.slice(from))];
}

/** The same of the beginning of a text, in one line; no formula is cut. */
function richExcerpt(text, length) {
  const line = text.replace(ODD, "\ufffd").replace(/\s+/g, " ").trim();
  if (!state.math) return [excerpt(text, length)];
  const across = formulas(line).find((formula) => formula.begin < length && formula.end > length);
  const cut = across ? (across.end < 2 * length ? across.end : across.begin) : length;
  return [...rich(line.slice(0, cut).replace(/[\ud800-\udbff]$/, "")), ...(line.length > cut ? ["…"] : [])];
}
