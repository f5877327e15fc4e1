// Filters, search, and Python colours on opening. The page reads without it; every text is set as text, never as HTML.
"use strict";
const items = [...document.querySelectorAll(".item")];
const buttons = [...document.querySelectorAll("[data-filter]")];
const search = document.getElementById("search");
let filter = "";

function apply() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const item of items) {
    const tagged = !filter || item.dataset.tags.split(" ").includes(filter);
    const parts = [...item.querySelectorAll(".id, .problem, .text")].map((node) => node.textContent);
    const text = words.length ? parts.join(" ").toLowerCase() : "";
    item.hidden = !(tagged && words.every((word) => text.includes(word)));
    shown += item.hidden ? 0 : 1;
  }
  document.getElementById("nothing").hidden = shown > 0 || items.length === 0;
}

for (const button of buttons) {
  button.addEventListener("click", () => {
    filter = button.dataset.filter;
    for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
    apply();
  });
}
search.addEventListener("input", apply);

const TOKEN = /(#[^\n]*)|("""[^]*?"""|'''[^]*?'''|[rbf]?"(?:\\.|[^"\\\n])*"|[rbf]?'(?:\\.|[^'\\\n])*')|\b(and|as|assert|break|class|continue|def|del|elif|else|except|False|finally|for|from|if|import|in|is|lambda|None|not|or|pass|print|raise|return|True|try|while|with|yield)\b|\b(\d[\d_.]*(?:e[+-]?\d+)?)\b/g;

function paint(code) {
  if (code.dataset.painted) return;
  code.dataset.painted = "1";
  const text = code.textContent;
  const parts = [];
  let last = 0;
  for (const found of text.matchAll(TOKEN)) {
    const span = document.createElement("span");
    span.className = found[1] ? "c" : found[2] ? "s" : found[3] ? "k" : "n";
    span.textContent = found[0];
    parts.push(text.slice(last, found.index), span);
    last = found.index + found[0].length;
  }
  code.replaceChildren(...parts, text.slice(last));
}

document.addEventListener("toggle", (event) => {
  if (event.target.matches(".vote[open]")) event.target.querySelectorAll(".code code").forEach(paint);
}, true);
document.querySelectorAll(".vote[open] .code code").forEach(paint);
