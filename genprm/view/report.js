// The list of a page, one item of it, filters, keys, and annotations; parts.js stands before it. Everything is in the page or in scripts
// beside it; every text is set as text, never as HTML. What is shown stands behind the # of the address, so it can be sent.
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data")?.textContent ?? "null");
const [ID, GIST, TAGS, CHIP, COLOUR, MARK, STRIP, NUMBERS, STEPS] = Array(9).keys();
const HEIGHT = 54; // of a row of the list, as in the style sheet

/** An element. `more`: class names after dots, e.g. "span.id"; attributes; children, text or elements. */
function h(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const made = document.createElement(tag);
  if (classes.length) made.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "r") value === null ? made.classList.add("unknown") : made.style.setProperty("--r", value.toFixed(3));
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(key, value);
  }
  made.append(...children.flat().filter((child) => child !== null));
  return made;
}
const two = (value) => (value === null ? "–" : value.toFixed(2));

// What is shown: f filters (any of them), q words, s sort, i item, t step, v vote (or "all").
const state = { f: "", q: "", s: "", i: "", t: "", v: "" };
let shown = []; // indices of rows, in the order of the list

function remember() {
  const set = Object.entries(state).filter(([, value]) => value !== "");
  history.replaceState(null, "", `#${new URLSearchParams(set)}`);
}

function recall() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const key of Object.keys(state)) state[key] = given.get(key) ?? "";
}

// ---- filter and sort; the search is in parts.js

const tagNumbers = new Map(data?.tags.map((tag, number) => [tag, number]));
const places = new Map(data?.rows.map((row, index) => [row[ID], index]));

function tagged() {
  if (!state.f) return data.rows.map((_, index) => index);
  const wanted = state.f.split(",").map((tag) => tagNumbers.get(tag));
  return [...data.rows.keys()].filter((index) => wanted.some((tag) => data.rows[index][TAGS].includes(tag)));
}

function choose() {
  const words = wordsOf(state.q);
  shown = tagged();
  if (words.length) shown = shown.filter((index) => deep.has(index) || has(index, words));
  const column = data.sorts.indexOf(state.s.replace("-", ""));
  if (column >= 0) {
    const sign = state.s.startsWith("-") ? -1 : 1;
    const value = (index) => data.rows[index][NUMBERS][column] ?? sign * Infinity; // what is not known comes last
    shown.sort((a, b) => sign * (value(a) - value(b)) || a - b);
  }
  describe();
  $("rows").style.height = `${shown.length * HEIGHT}px`;
  draw();
}

function describe(more = "") {
  for (const button of document.querySelectorAll("[data-filter]")) {
    button.setAttribute("aria-pressed", String(button.dataset.filter === state.f));
  }
  const unnamed = ![...document.querySelectorAll("[data-filter]")].some((one) => one.dataset.filter === state.f);
  const names = new Map(data.names);
  $("other").hidden = !unnamed;
  $("other").textContent = state.f.split(",").map((tag) => names.get(tag) ?? tag).join(" or ");
  $("search").value = state.q;
  $("sort").value = state.s;
  $("said").textContent = `${shown.length.toLocaleString("en")} of ${data.rows.length.toLocaleString("en")}${more}`;
}

// ---- the list

function draw() {
  const list = $("list");
  const first = Math.max(0, Math.floor(list.scrollTop / HEIGHT) - 4);
  const last = Math.min(shown.length, first + Math.ceil(list.clientHeight / HEIGHT) + 9);
  $("rows").replaceChildren(...shown.slice(first, last).map((index, offset) => rowOf(index, first + offset)));
}

function rowOf(index, place) {
  const row = data.rows[index];
  const current = row[ID] === state.i;
  const made = h("div.row", { role: "option", id: `row-${index}`, "aria-selected": String(current), onclick: () => open(index) },
    h("span.id", { title: row[ID] }, row[ID]),
    row[ID] in notes ? h("span.note", { title: "Your annotation" }, labelText(notes[row[ID]])) : null,
    h(`span.chip${row[COLOUR] ? `.${row[COLOUR]}` : ""}`, {}, row[CHIP]),
    h(`span.truth${row[MARK] ? `.${row[MARK]}` : ""}`, { title: { same: "Equals the label", other: "Is not the label" }[row[MARK]] ?? null }, { same: "✓", other: "✗" }[row[MARK]] ?? ""),
    h("span.strip", {}, row[STRIP].slice(0, 40).map((one) => (typeof one === "string" ? h(`i.${one}`) : h("i", { r: one })))),
    h("span.gist", {}, row[GIST]));
  made.style.top = `${place * HEIGHT}px`;
  if (current) $("list").setAttribute("aria-activedescendant", made.id);
  return made;
}

function reveal() {
  const place = shown.indexOf(places.get(state.i));
  if (place < 0) return;
  const list = $("list");
  if (place * HEIGHT < list.scrollTop) list.scrollTop = place * HEIGHT;
  else if ((place + 1) * HEIGHT > list.scrollTop + list.clientHeight) list.scrollTop = (place + 1) * HEIGHT - list.clientHeight;
  draw();
}

function move(by) {
  const place = shown.indexOf(places.get(state.i));
  const next = shown[Math.min(Math.max(place + by, 0), shown.length - 1)];
  if (next !== undefined) open(next);
}

// ---- one item

let current = null; // the detail that is drawn

async function open(index, step = "", vote = "") {
  const row = data.rows[index];
  Object.assign(state, { i: row[ID], t: step, v: vote });
  remember();
  reveal();
  try {
    const part = partOf(index);
    const found = await load(part);
    if (row[ID] !== state.i) return; // another one was opened meanwhile
    current = detailsOf(found)[index - data.starts[part]];
    $("item").scrollTop = 0;
    show();
  } catch (error) {
    $("item").replaceChildren(h("p.none", {}, error.message));
  }
}

const KINDS = { verification, curation, rollouts, refinement, training };

function show() {
  const row = data.rows[places.get(state.i)];
  $("item").replaceChildren(
    h("header", {}, h("span.id", {}, row[ID]), h(`span.chip${row[COLOUR] ? `.${row[COLOUR]}` : ""}`, {}, row[CHIP])),
    h("p.problem", {}, current.problem),
    h("dl.facts", {}, current.meta.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value ?? "–")))),
    ...KINDS[data.kind](current, row),
    h("details.places", {}, h("summary", {}, "lines in the run directory"), h("p", {}, current.places.flatMap((place, number) => [number ? " · " : "", lineIn(place, row[ID])]))));
  for (const code of $("item").querySelectorAll(".code")) paint(code);
}

/** A link to the line of an item: "FILE:LINE", or that with the id that the line has where it is not the item's own. */
function lineIn(place, own) {
  const [shown, id] = typeof place === "string" ? [place, own] : place;
  return lineOf(shown, `"id": ${JSON.stringify(id)}`);
}

/** A link to a line of the run directory; a browser that shows the file goes to where it says `text`. */
function lineOf(place, text, shown = place) {
  const file = place.slice(0, place.lastIndexOf(":"));
  return h("a", { href: `${encodeURI(file)}#:~:text=${encodeURIComponent(text).replaceAll("-", "%2D")}`, target: "_blank", rel: "noopener" }, shown);
}

/** The index of a step: a button that says it is the first wrong one. */
function pick(row, step) {
  const chosen = notes[row[ID]] === step;
  return h("button.index", { type: "button", "aria-pressed": String(chosen), title: `Annotate: step ${step} is the first wrong one`, onclick: () => annotate(chosen ? null : step) }, String(step));
}

function noError(row) {
  const chosen = notes[row[ID]] === -1;
  return h("p.noerror", {}, h("button", { type: "button", "aria-pressed": String(chosen), onclick: () => annotate(chosen ? null : -1) }, "no step is wrong"));
}

function verification(item, row) {
  const wrong = item.steps.findIndex((step) => step.reward !== null && step.reward < 0.5);
  if (state.t === "") state.t = String(Math.max(wrong, 0));
  if (state.v === "") state.v = String(item.votes[0]?.vote ?? "all");
  return [
    legend(),
    h("ol.steps", {}, item.steps.map((step, index) => stepOf(item, row, step, index))),
    noError(row),
  ];
}

function legend() {
  return h("p.legend", {},
    h("span.square", { r: 0.95 }), "one vote", h("span.circle", { r: 0.7 }), "all votes",
    h("span.scale"), "0 wrong to 1 right", h("span.square", { r: null }), "no judgement",
    h("span.square.broken", { r: 0.95 }), "code failed", h("span.square.conflict", { r: 0.95 }), "code contradicts it");
}

function stepOf(item, row, step, index) {
  const opened = state.t === String(index);
  const cells = item.votes.filter((vote) => index < vote.steps.length).map((vote) => ({ ...vote.steps[index], ...{ vote: vote.vote, place: vote.place, counted: vote.counted } }));
  const judged = cells.filter((cell) => cell.judgement && cell.counted);
  const yes = judged.filter((cell) => cell.judgement === "Yes").length;
  const go = (vote) => () => {
    const again = opened && state.v === vote;
    Object.assign(state, { t: again ? "none" : String(index), v: vote });
    remember();
    show();
  };
  const circle = { type: "button", r: step.reward, title: `all votes side by side: ${yes} of ${judged.length} say Yes`, "aria-pressed": String(opened && state.v === "all"), onclick: go("all") };
  const read = opened ? cells.filter((cell) => state.v === "all" || state.v === String(cell.vote)) : [];
  return h(`li.step${opened ? ".open" : ""}`, { r: step.reward },
    h("div.head", {},
      pick(row, index),
      h("span.text", {}, step.text, item.label === index ? h("span.mark", { title: "The label names this step" }, "label") : null),
      h("span.cells", {}, cells.map((cell) => squareOf(cell, opened && state.v === String(cell.vote), go(String(cell.vote)))), h("button.circle", circle), h("span.reward", {}, two(step.reward)))),
    opened && !cells.length ? h("p.none", {}, "No vote reached this step.") : null,
    read.length ? h("div.votes", {}, read.map(voteOf)) : null);
}

function squareOf(cell, pressed, onclick) {
  const failed = cell.code.some((status) => status !== "ok" && status !== "not_run");
  const classes = `${failed ? ".broken" : ""}${cell.conflict ? ".conflict" : ""}${cell.counted ? "" : ".extra"}`;
  const said = cell.judgement ? `${cell.judgement}, ${two(cell.reward)}` : cell.failure ?? cell.status;
  const title = `vote ${cell.vote}: ${said}${cell.code.length ? `; code ${cell.code.join(", ")}` : ""}${cell.conflict ? "; the code says the opposite" : ""}${cell.counted ? "" : "; the verdict does not rest on it"}`;
  return h(`button.square${classes}`, { type: "button", r: cell.reward, title, "aria-label": title, "aria-pressed": String(pressed), onclick });
}

const STATUS = { ok: "printed", not_run: "not run; the model wrote this output" };

function voteOf(cell) {
  const words = cell.judgement
    ? ["Judgement ", h("b", {}, cell.judgement), ` with P(Yes) ${two(cell.yes)}, P(No) ${two(cell.no)}`]
    : [`No judgement: ${cell.failure ?? cell.status}`];
  return h("section.vote", { r: cell.reward },
    h("p.top", {}, `vote ${cell.vote} · ${cell.tokens} tokens · `, lineOf(cell.place, `"id": ${JSON.stringify(state.i)}, "vote": ${cell.vote},`)),
    cell.blocks.map(([kind, text, status]) => {
      if (kind === "words") return h("p.words", {}, text);
      if (kind === "code") return h("pre.code", {}, text);
      return h(`div.output${status === "ok" ? "" : ".bad"}`, {}, h("span", {}, STATUS[status] ?? status), h("pre", {}, text));
    }),
    h("p.verdict", {}, words, cell.conflict ? h("em", {}, " · the code printed the opposite") : null));
}

function curation(item, row) {
  const head = h("tr", {}, h("th", {}, ""), h("th.left", {}, "step"), h("th", {}, "right of all"), item.rules.map((rule) => h("th", {}, rule)), h("th.left", {}, "code"));
  const lines = item.steps.map((step, index) => h("tr", {},
    h("td", {}, pick(row, index)),
    h("td.long", {}, h("span.text", {}, step.text), step.named.flatMap((name) => [" ", h("span.mark", { title: `The first error of: ${name}` }, name)])),
    h("td", {}, step.count ? `${step.count[0]}/${step.count[1]}` : "–"),
    step.values.map((value, rule) => h(step.off[rule] ? "td.off" : "td", {}, value)),
    h("td.left", {}, step.code)));
  return [h("div.scroll", {}, h("table.labels", {}, h("thead", {}, head), h("tbody", {}, lines))), noError(row)];
}

/** The rounds of a solution: what stood before each, the step that was criticised, and what was said. */
function refinement(item) {
  return item.rounds.map((round, number) => {
    const facts = [round.right === "unknown" ? "" : `${round.right} answer`, round.score === null ? "" : `score ${two(round.score)}`, round.invalid ? `${round.invalid} new solutions could not be used` : "", round.others.length ? `not taken: ${round.others.join(", ")}` : ""];
    const said = h("div", {}, h("span.mark", {}, "criticised"), round.words ? h("p.words", {}, round.words) : null);
    const steps = h("ol.said", {}, round.steps.map((text, index) => h("li", {}, h("span.index", {}, String(index)), h("span.text", {}, text, index === round.step ? said : null))));
    return h("details.branch", round.same ? {} : { open: "" },
      h("summary", {}, h(`span.node.${round.right}`, {}, h("i", {}, String(number))), h("span.text", {}, [number ? `after round ${number}` : "as given", ...(round.same ? ["unchanged"] : []), ...facts.filter(Boolean)].join(" · ")), h("span.id", {}, round.id)),
      steps);
  });
}

/** What each policy wrote, the first and the last open. */
function training(item) {
  return item.policies.map((one, number) => h("details.branch", number === 0 || number === item.policies.length - 1 ? { open: "" } : {},
    h("summary", {}, h(`span.node.${one.right}`, {}, h("i", {}, String(number))), h("span.text", {}, `policy ${number} · ${one.right} · answer ${one.answer} · ${one.tokens} tokens`)),
    h("ol.said", {}, one.steps.map((text, index) => h("li", {}, h("span.index", {}, String(index)), h("span.text", {}, text))))));
}

const SIGNS = { right: "✓", wrong: "✗", invalid: "?" };

function rollouts(item) {
  const share = (counts) => (counts && counts[1] ? counts[0] / counts[1] : null);
  const node = (name, sign, counts, text) => h(`span.node${name}`, { r: share(counts), title: text }, h("i", {}, sign), h("b", {}, counts ? `${counts[0]}/${counts[1]}` : "–"));
  const leaf = (line, index) => h(`span.node.${line.answer}`, { title: `step ${index}, the last: its answer` }, h("i", {}, SIGNS[line.answer] ?? String(index)), h("b", {}, SIGNS[line.answer] ? line.answer : "–"));
  const unread = (counts) => (counts?.[2] ? `; ${counts[2]} completions without an answer that can be read` : "");
  const lines = item.rows.map((line, place) => h("li", {}, h("details.branch", place ? {} : { open: "" },
    h("summary", {}, line.steps.map((step, index) => (index === line.steps.length - 1 ? leaf(line, index) : node("", String(index), step.counts, `step ${index}${unread(step.counts)}`))), h("span.id", {}, line.id)),
    h("ol.said", {}, line.steps.map((step, index) => h("li", {}, h("span.index", {}, String(index)), h("span.text", {}, step.text)))))));
  const none = h("li.none", {}, `No solution of this problem was kept${item.finished ? "" : " so far"}.`);
  const samples = item.samples.map(([id, outcome, reason, place]) => {
    const title = `${id}: ${outcome}${reason ? `, ${reason}` : ""} (${place})`;
    return lineOf(place, `"id": ${JSON.stringify(id)}`, h(`i.${outcome}`, { title }));
  });
  return [
    h("p.legend", {}, h("span.node.right", {}, h("i", {}, "✓")), "right answer", h("span.node.wrong", {}, h("i", {}, "✗")), "wrong", h("span.node.invalid", {}, h("i", {}, "?")), "none that can be read", h("span.node", { r: 0.75 }, h("i", {}, "0")), "a step, with right completions of all behind it"),
    samples.length ? h("p.samples", {}, `${samples.length} samples `, h("span.strip", {}, samples)) : "",
    h("div.tree", {}, node(".root", "P", item.alone, "the problem alone"), h("ol", {}, lines.length ? lines : none)),
  ];
}

const TOKEN = /(#[^\n]*)|("""[^]*?"""|'''[^]*?'''|[rbf]?"(?:\\.|[^"\\\n])*"|[rbf]?'(?:\\.|[^'\\\n])*')|\b(and|as|assert|break|class|continue|def|del|elif|else|except|False|finally|for|from|if|import|in|is|lambda|None|not|or|pass|print|raise|return|True|try|while|with|yield)\b|\b(\d[\d_.]*(?:e[+-]?\d+)?)\b/g;

/** Colours for Python. */
function paint(code) {
  const text = code.textContent;
  const parts = [];
  let last = 0;
  for (const found of text.matchAll(TOKEN)) {
    parts.push(text.slice(last, found.index), h(`span.${found[1] ? "c" : found[2] ? "s" : found[3] ? "k" : "n"}`, {}, found[0]));
    last = found.index + found[0].length;
  }
  code.replaceChildren(...parts, text.slice(last));
}

// ---- annotations: the first wrong step of an item, -1 for none; kept by the browser until they are cleared

const STORE = `genprm ${location.pathname}`;
let notes = Object.create(null);
let typed = { digits: "", at: 0 };

function recallNotes() {
  try {
    Object.assign(notes, JSON.parse(localStorage.getItem(STORE) ?? "{}"));
  } catch { /* a browser that keeps nothing: they last as long as the page, and can be saved */ }
}

const labelText = (label) => (label < 0 ? "none" : `step ${label}`);

/** The lines that genprm reads as labels that people gave. */
function annotations() {
  const given = data.rows.filter((row) => row[ID] in notes);
  return given.map((row) => `${JSON.stringify({ id: row[ID], label: notes[row[ID]] })}\n`).join("");
}

function annotate(label) {
  const row = data.rows[places.get(state.i)];
  if (!row || label >= row[STEPS]) return;
  if (label === null) delete notes[row[ID]]; else notes[row[ID]] = label;
  keep();
  show();
}

function keep() {
  try {
    localStorage.setItem(STORE, JSON.stringify(notes));
  } catch { /* see recallNotes */ }
  const count = data.rows.filter((row) => row[ID] in notes).length;
  $("notes").hidden = !data.rows.some((row) => row[STEPS]);
  $("noted").textContent = `${count} annotated`;
  $("save").disabled = $("forget").disabled = !count;
  draw();
}

function save() {
  const link = h("a", { href: URL.createObjectURL(new Blob([annotations()])), download: `annotations-${document.title.split(" · ")[0]}.jsonl` });
  link.click();
  URL.revokeObjectURL(link.href);
}

function digit(key) {
  const now = Date.now();
  const longer = now - typed.at < 800 ? typed.digits + key : key;
  const steps = data.rows[places.get(state.i)]?.[STEPS] ?? 0;
  typed = { digits: Number(longer) < steps ? longer : key, at: now };
  annotate(Number(typed.digits));
}

// ---- keys

function step(by) {
  const next = Math.min(Math.max((Number(state.t) || 0) + by, 0), (current.steps?.length ?? 1) - 1);
  Object.assign(state, { t: String(next) });
  remember();
  show();
  $("item").querySelector(".step.open")?.scrollIntoView({ block: "nearest" });
}

function vote(by) {
  const all = [...(current.votes ?? []).map((one) => String(one.vote)), "all"];
  state.v = all[(all.indexOf(state.v) + by + all.length) % all.length];
  remember();
  show();
}

const KEYS = [
  ["j  ↓", "next item", () => move(1)], ["k  ↑", "previous item", () => move(-1)],
  ["l  →", "next step", () => step(1)], ["h  ←", "previous step", () => step(-1)],
  ["v", "next vote", () => vote(1)], ["a", "all votes side by side", () => { state.v = "all"; vote(0); }],
  ["/", "search", () => $("search").focus()], ["n", "annotate: no step is wrong", () => annotate(-1)],
  ["u", "take the annotation back", () => annotate(null)], ["b", "hide verdicts", () => { $("blind").click(); }],
  ["?", "this help", () => $("help").showModal()],
];
const ARROWS = { ArrowDown: "j", ArrowUp: "k", ArrowRight: "l", ArrowLeft: "h" };

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  if (event.target.matches("input[type=search], select")) {
    if (event.key === "Escape" || (event.key === "Enter" && event.target === $("search"))) $("list").focus();
    return;
  }
  const key = ARROWS[event.key] ?? event.key;
  const found = KEYS.find(([name]) => name[0] === key);
  if (/^\d$/.test(key)) digit(key);
  else if (found) found[2]();
  else return;
  event.preventDefault();
}

// ---- start

function apply() {
  recall();
  deep = new Set();
  choose();
  search(state.q).catch((error) => describe(`; ${error.message}`));
  const index = places.get(state.i) ?? shown[0];
  if (index === undefined) $("item").replaceChildren(h("p.none", {}, "Nothing matches."));
  else open(index, state.t, state.v);
}

function change(field, value) {
  Object.assign(state, { [field]: value, i: "", t: "", v: "" });
  $("list").scrollTop = 0;
  remember();
  apply();
}

function start() {
  recallNotes();
  for (const button of document.querySelectorAll("[data-filter]")) button.addEventListener("click", () => change("f", button.dataset.filter));
  $("other").addEventListener("click", () => change("f", ""));
  let timer = 0;
  $("search").addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => change("q", $("search").value), data.parts ? 0 : 150);
  });
  $("sort").addEventListener("change", () => change("s", $("sort").value));
  $("list").addEventListener("scroll", draw, { passive: true });
  $("save").addEventListener("click", save);
  $("forget").addEventListener("click", () => { notes = Object.create(null); keep(); show(); });
  $("blind").addEventListener("change", () => document.body.classList.toggle("blind", $("blind").checked));
  $("keys").addEventListener("click", () => $("help").showModal());
  const help = [...KEYS.map(([key, what]) => [key, what]), ["0–9", "annotate: the first wrong step"]];
  $("help").querySelector("dl").append(...help.map(([key, what]) => h("div", {}, h("dt", {}, key), h("dd", {}, what))));
  document.addEventListener("keydown", press);
  addEventListener("resize", draw);
  addEventListener("hashchange", () => { apply(); $("work").scrollIntoView(); });
  const linked = location.hash !== "";
  keep();
  apply();
  if (linked) $("work").scrollIntoView();
}

/** A click on a heading sorts its table. */
function sortable(table) {
  table.querySelectorAll("th").forEach((head, column) => head.addEventListener("click", () => {
    const falling = head.getAttribute("aria-sort") !== "descending";
    for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const value = (line) => line.cells[column].dataset.value ?? line.cells[column].textContent;
    const order = (a, b) => value(a).localeCompare(value(b), "en", { numeric: true }) * (falling ? -1 : 1);
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
  }));
}

if (data) start();
document.querySelectorAll("table.sortable").forEach(sortable);
