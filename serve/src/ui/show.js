// From answers to elements. Texts become text nodes only, never HTML.

/** An element with attributes and children. A child is an element or a text. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) element.setAttribute(attribute, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** A number from 0 to 1 that the style sheet draws. */
function withShare(element, share) {
  element.style.setProperty("--share", Math.min(1, Math.max(0, share)));
  return element;
}

const decimals = (value, digits = 4) => value.toFixed(digits);

function table(caption, names, rows) {
  const head = make("thead", {}, make("tr", {}, ...names.map(name => make("th", { scope: "col" }, name))));
  return make("div", { class: "scroll" }, make("table", {}, make("caption", {}, caption), head, make("tbody", {}, ...rows)));
}

const number = text => make("td", { class: "number" }, text);
const bar = share => make("div", { class: "bar", "aria-hidden": "true" }, withShare(make("span"), share));

/** Rows of a name, and its score with a bar. */
function bars(caption, names, scored) {
  const row = ({ name, score, rest = [] }) =>
    make("tr", { class: "scored" }, make("th", { scope: "row" }, name), make("td", { class: "number" }, bar(score), decimals(score)), ...rest.map(text => make("td", {}, text)));
  return table(caption, names, scored.map(row));
}

function cosine(a, b) {
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) { ab += a[i] * b[i]; aa += a[i] * a[i]; bb += b[i] * b[i]; }
  return ab / Math.sqrt(aa * bb);
}

/** The cosine of every vector to every other one. */
function heatMap(texts, vectors) {
  const cell = value => withShare(make("td", {}, decimals(value, 3)), value);
  const row = (text, i) => make("tr", {}, make("th", { scope: "row" }, `${i + 1}. ${text}`), ...vectors.map(other => cell(cosine(vectors[i], other))));
  const shown = table("Cosine similarity of every two sentences", ["Sentence", ...texts.map((_, i) => `${i + 1}`)], texts.map(row));
  shown.firstChild.classList.add("heat");
  return shown;
}

/**
 * A text with marks. Places count characters as Python does, which are code points, while a JavaScript string counts units of UTF-16.
 * A range that overlaps an earlier one is not marked; it is counted in the answer.
 */
function marked(text, ranges) {
  const characters = Array.from(text);
  const shown = make("p", { class: "text" });
  let [end, left] = [0, 0];
  for (const range of [...ranges].sort((a, b) => a.start - b.start)) {
    if (range.start < end) { left += 1; continue; }
    shown.append(characters.slice(end, range.start).join(""));
    shown.append(make("mark", { class: range.style, "data-label": range.label }, characters.slice(range.start, range.end).join("")));
    end = range.end;
  }
  shown.append(characters.slice(end).join(""));
  return { shown, left };
}

/** Colours for labels, in the order in which they appear. Labels beyond the last colour share one; each mark also has its label as text. */
function coloured(labels) {
  const COLOURS = 8;
  return new Map([...new Set(labels)].map((label, i) => [label, `c${i % COLOURS}`]));
}

function tokenList(tokens) {
  const one = ({ id, text, special }) => make("li", { class: special && "special" }, text || "\u00a0", make("small", {}, `${id}`));
  return make("ul", { class: "tokens" }, ...tokens.map(one));
}

/** How long the answer took: as the server says in its headers, and as the page measured it. */
function timings({ headers, took }) {
  const list = make("dl", { "aria-label": "Timings" });
  const add = (name, value) => list.append(make("div", {}, make("dt", {}, name), make("dd", {}, value)));
  add("round trip", `${decimals(took, 1)} ms`);
  for (const [name, header, unit] of [
    ["server, in all", "x-total-time", " ms"], ["in the queue", "x-queue-time", " ms"], ["tokenizing", "x-tokenization-time", " ms"],
    ["inference", "x-inference-time", " ms"], ["tokens", "x-compute-tokens", ""], ["characters", "x-compute-characters", ""],
    ["truncated inputs", "x-truncated-inputs", ""],
  ]) {
    const value = headers.get(header);
    if (value !== null) add(name, value + unit);
  }
  return list;
}
