// What the items of a page hold, in the page or in parts beside it, and the search in all of it. A part is a script, for a
// page on a disk may read no other file; it gives its items as text, which is parsed when one of them is opened.
"use strict";
const HELD = 8; // parts kept in memory
const AHEAD = 3; // parts that a search asks for before it needs them

const held = new Map();
const waiting = new Map();
window.genprmPart = (part, text) => {
  const found = { text };
  held.set(part, found);
  if (held.size > HELD) held.delete(held.keys().next().value);
  waiting.get(part)?.resolve(found);
  waiting.delete(part);
};

/** A part: a promise where it lies beside the page. */
function load(part) {
  const found = data.parts ? { details: data.parts[part] } : held.get(part);
  if (found) return found;
  if (!waiting.has(part)) {
    waiting.set(part, resolvers());
    const script = h("script", { src: `${data.folder}/${part}.js`, onload: () => script.remove() });
    script.addEventListener("error", () => {
      waiting.get(part)?.reject(new Error(`${script.getAttribute("src")} is not beside the page; keep the folder with it`));
      waiting.delete(part);
    });
    document.head.append(script);
  }
  return waiting.get(part).promise;
}

/** The details of its items. */
function detailsOf(found) {
  found.details ??= JSON.parse(found.text);
  return found.details;
}

/** A promise that is kept elsewhere. */
function resolvers() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  made.promise.catch(() => {}); // one that nobody waits for any more is no error
  return made;
}

function partOf(index) {
  let low = 0, high = data.starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (data.starts[middle] <= index) low = middle; else high = middle - 1;
  }
  return low;
}

// ---- search

const texts = []; // what a search looks at, by item, once it was looked at
let deep = new Set(); // items that a search found in parts beside the page

const wordsOf = (query) => query.toLowerCase().split(/\s+/).filter(Boolean);

/** All texts in a value. */
function textOf(value) {
  if (typeof value === "string") return value;
  return value && typeof value === "object" ? Object.values(value).map(textOf).join(" ") : "";
}

/** Whether an item holds all words; of one beside the page, whether what the list shows of it does. */
function has(index, words) {
  const row = data.rows[index];
  if (data.parts) texts[index] ??= `${row[ID]} ${textOf(data.parts[partOf(index)][index - data.starts[partOf(index)]])}`.toLowerCase();
  else texts[index] ??= `${row[ID]} ${row[GIST]}`.toLowerCase();
  return words.every((word) => texts[index].includes(word));
}

/** Look through the parts beside the page, one after another, until the question changes. */
async function search(query) {
  const words = wordsOf(query);
  if (data.parts || !words.length) return;
  const parts = [...new Set(tagged().map(partOf))];
  for (const [done, part] of parts.entries()) {
    parts.slice(done + 1, done + 1 + AHEAD).forEach(load);
    const found = await load(part);
    if (query !== state.q) return;
    for (const index of hits(found, part, words)) deep.add(index);
    if (done % 16 === 15 || done === parts.length - 1) choose();
    if (done < parts.length - 1) describe(`, ${done + 1} of ${parts.length} parts searched`);
  }
}

const PLAIN = /^[!#-;=-[\]-~]+$/; // what stands in JSON as it is

/** The items of a part that hold all words. A part whose text lacks one is not parsed: nearly all of them, mostly. */
function hits(found, part, words) {
  const first = data.starts[part];
  const ids = data.rows.slice(first, data.starts[part + 1]).map((row) => row[ID]).join("\n").toLowerCase();
  const text = found.text.toLowerCase();
  if (words.some((word) => PLAIN.test(word) && !text.includes(word) && !ids.includes(word))) return [];
  const places = [...detailsOf(found).entries()].filter(([offset, detail]) => {
    const own = `${data.rows[first + offset][ID]} ${textOf(detail)}`.toLowerCase();
    return words.every((word) => own.includes(word));
  });
  return places.map(([offset]) => first + offset);
}
