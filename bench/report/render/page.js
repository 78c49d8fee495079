"use strict";

// A click on a column's header sorts the rows: ascending, descending, then in the page's own order again.

const SCALES = { k: 1e3, M: 1e6, G: 1e9, million: 1e6, billion: 1e9 };
const NUMBER =
  /^(about |[<≤>≥] ?)?([+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?) ?(k|M|G|million|billion)?(?=$|[\s%(),;[\]])/;
const [IS_NUMBER, IS_TEXT, IS_MISSING] = [0, 1, 2];
const words = new Intl.Collator("en", { numeric: true });

// What a cell sorts by. `65.97 ± 1.73 (2)`, `0.27M`, `−1.2`, `64,000` and `< 0.001` are numbers, the last one
// just below 0.001; `ResNet-20`, `2.14.1` and `18-layer` are words.
function key(cell) {
  const text = cell.textContent.trim().replaceAll("−", "-").replace(/(\d),(?=\d{3}(?!\d))/g, "$1");
  if (text === "" || text === "–") return { kind: IS_MISSING };
  const match = NUMBER.exec(text);
  if (!match) return { kind: IS_TEXT, text };
  const side = /^[<≤]/.test(text) ? -1 : /^[>≥]/.test(text) ? 1 : 0;
  return { kind: IS_NUMBER, value: Number(match[2]) * (SCALES[match[3]] ?? 1), side };
}

// Numbers before words, and what is missing last in both directions: it is neither small nor large.
function compare(a, b, direction) {
  if (a.kind !== b.kind) return a.kind - b.kind;
  if (a.kind === IS_NUMBER) return direction * (a.value - b.value || a.side - b.side);
  return a.kind === IS_TEXT ? direction * words.compare(a.text, b.text) : 0;
}

function sort(body, rows, column, direction) {
  const keyed = rows.map((row) => ({ row, key: key(row.cells[column]) }));
  if (direction) keyed.sort((a, b) => compare(a.key, b.key, direction)); // stable: equal rows keep their order
  body.append(...keyed.map((one) => one.row));
}

const NEXT = { none: "ascending", ascending: "descending", descending: "none" };
const DIRECTION = { none: 0, ascending: 1, descending: -1 };

function makeSortable(table) {
  const body = table.tBodies[0];
  const rows = body ? [...body.rows] : [];
  const headers = [...table.tHead.rows[0].cells];
  if (rows.length < 2) return;
  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    if (!button.textContent.trim()) button.setAttribute("aria-label", "first column");
    header.append(button);
    header.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const order = NEXT[header.getAttribute("aria-sort")];
      headers.forEach((other) => other.setAttribute("aria-sort", other === header ? order : "none"));
      sort(body, rows, column, DIRECTION[order]);
    });
  });
}

document.querySelectorAll("table").forEach(makeSortable);

// The contents follow: the section that is read is marked, and of the pages' sections its own page's are listed. On a
// narrow screen they fold into a bar. Without this script all of it is there, unfolded.

const root = document.documentElement;
const nav = document.querySelector("nav");
const fold = nav.querySelector("details");
const wide = matchMedia("(min-width: 64rem)");
const places = [...nav.querySelectorAll("a")].map((link) => {
  return { link, target: document.getElementById(decodeURIComponent(link.hash.slice(1))) };
});
let here = null;

function follow() {
  if (!places.length) return;
  const atEnd = scrollY > 0 && scrollY + innerHeight >= root.scrollHeight - 2;
  const margin = parseFloat(getComputedStyle(places[0].target).scrollMarginTop); // where a link leads to
  const line = atEnd ? innerHeight : margin + 8;
  const now = places.findLast((place) => place.target.getBoundingClientRect().top <= line) ?? places[0];
  if (now === here) return;
  here?.link.removeAttribute("aria-current");
  here = now;
  here.link.setAttribute("aria-current", "location");
  nav.querySelectorAll("li.open").forEach((item) => item.classList.remove("open"));
  here.link.closest("nav > details > ul > li").classList.add("open");
  nav.querySelector("summary span").textContent = here.link.textContent;
  showInList();
}

function showInList() {
  const list = wide.matches ? nav : fold.querySelector("ul");
  const [link, frame] = [here.link.getBoundingClientRect(), list.getBoundingClientRect()];
  if (link.top < frame.top || link.bottom > frame.bottom) list.scrollTop += link.top - frame.top - frame.height / 3;
}

function close() {
  if (!wide.matches) fold.open = false;
}

root.classList.add("scripted");
fold.open = wide.matches;
wide.addEventListener("change", () => (fold.open = wide.matches));
fold.addEventListener("toggle", () => fold.open && here && showInList());
document.addEventListener("click", (event) => {
  if (!nav.contains(event.target) || event.target.closest("nav a")) close();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") close();
});
addEventListener("scroll", () => requestAnimationFrame(follow), { passive: true });
addEventListener("resize", follow);
follow();

// What scrolls sideways can be scrolled by the keyboard.
const boxes = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
document.querySelectorAll(".table, .figure, pre").forEach((box) => boxes.observe(box));
