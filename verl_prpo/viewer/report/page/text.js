// Text and numbers for people. Text of models only ever becomes text nodes.

const ODD =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]|\p{Surrogate}/gu;

/** An element with attributes and children; a string child becomes a text node. */
function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value != null) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

function svg(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function codePoint(character) {
  return "U+" + character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
}

/** Nodes that show a text: characters that cannot be seen, or would reorder the line, by name. */
function shown(text, lineEnds = false) {
  const nodes = [];
  let from = 0;
  const plain = (piece) => {
    if (!lineEnds) return nodes.push(piece);
    piece.split(/(\n)/).forEach((part) => {
      if (part === "\n") nodes.push(el("i", { class: "line-end", "aria-hidden": "true" }, "↵"), "\n");
      else if (part) nodes.push(part);
    });
  };
  for (const found of text.matchAll(ODD)) {
    if (found.index > from) plain(text.slice(from, found.index));
    nodes.push(el("span", { class: "odd" }, codePoint(found[0])));
    from = found.index + found[0].length;
  }
  if (from < text.length) plain(text.slice(from));
  return nodes;
}

function excerpt(text, length) {
  const line = text.replace(ODD, "\ufffd").replace(/\s+/g, " ").trim();
  return line.length > length ? line.slice(0, length).replace(/[\ud800-\udbff]$/, "") + "…" : line;
}

function fixed(value, digits = 3) {
  if (value == null) return "none";
  const text = Math.abs(value).toFixed(digits);
  return (value < 0 && Number(text) !== 0 ? "−" : "") + text;
}

function signed(value, digits = 3) {
  return value == null ? "none" : (Number(value.toFixed(digits)) > 0 ? "+" : "") + fixed(value, digits);
}

function percent(share) {
  if (share == null) return "none";
  return share > 0 && share < 0.01 ? "< 1%" : Math.round(100 * share) + "%";
}

function plural(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/** Values per token from a list, or from pairs (value, count). */
function perToken(values) {
  if (!Array.isArray(values[0])) return values;
  return values.flatMap(([value, count]) => new Array(count).fill(value));
}
