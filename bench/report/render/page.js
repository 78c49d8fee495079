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
