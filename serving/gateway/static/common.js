// What the pages about models share: elements, errors, the key, reports in a sandbox.

import { GatewayError, apiKey, getText } from "/static/api.js";

const UNAUTHENTICATED = 401;
const FORBIDDEN = 403;

export const $ = (selector) => document.querySelector(selector);

export function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = String(text);
  if (className) made.className = className;
  return made;
}

export function link(href, text, className) {
  const made = element("a", text, className);
  made.href = href;
  return made;
}

export function button(text, onclick, className) {
  const made = element("button", text, className);
  made.type = "button";
  made.addEventListener("click", onclick);
  return made;
}

// A list of terms with what they mean; values may be elements. What is empty is left out.
export function facts(entries) {
  const list = element("dl", undefined, "facts");
  for (const [name, value] of entries) {
    if (value === null || value === undefined || value === "") continue;
    const told = element("dd");
    told.append(value instanceof Node ? value : String(value));
    list.append(element("dt", name), told);
  }
  return list;
}

// A table in a frame that scrolls, for the keyboard, too. Cells may be elements.
export function table(heads, rows, name) {
  const made = element("table");
  const head = made.createTHead().insertRow();
  for (const each of heads) {
    const cell = element("th", each);
    cell.scope = "col";
    head.append(cell);
  }
  const body = made.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    row.forEach((value, place) => {
      const cell = line.insertCell();
      // On a phone the heads go, and each cell tells its own.
      cell.dataset.name = heads[place];
      cell.append(value instanceof Node ? value : String(value ?? ""));
    });
  }
  const frame = element("div", undefined, "wide");
  frame.append(made);
  Object.assign(frame, { tabIndex: 0, role: "region", ariaLabel: name });
  return frame;
}

export const when = (iso) => `${iso.slice(0, 16).replace("T", " ")} UTC`;
export const short = (digest) => (digest ?? "").slice(0, 12);
export const figure = (value) =>
  value === null || value === undefined ? "–" : String(Number(Number(value).toPrecision(4)));
export const runPath = (one) =>
  `/runs/${encodeURIComponent(one.model)}/${encodeURIComponent(one.run)}`;

// A dotted name, which may be broken behind its parts.
export function dotted(name) {
  const made = element("span");
  for (const part of name.split(/(?<=[._])/)) made.append(part, element("wbr"));
  return made;
}

export function digest(value) {
  const made = element("code", short(value));
  made.title = value;
  return made;
}

export function badge(word) {
  return element("span", word, `badge ${word}`);
}

// Where a version serves, and when that was seen unless it was just now.
export function places(serving, none = "nowhere, as far as is known") {
  if (!serving.length) return element("span", none, "soft");
  const list = element("ul", undefined, "places");
  for (const one of serving) {
    const item = element("li", `${one.server} `);
    for (const label of one.labels) item.append(element("span", label, "badge label"), " ");
    const since = one.fresh ? `since ${when(one.since)}` : `last seen ${when(one.seen)}`;
    item.append(element("small", since));
    list.append(item);
  }
  return list;
}

// --- errors and the key -----------------------------------------------------------------------

export function notice(error) {
  const asks = error?.status === UNAUTHENTICATED || error?.status === FORBIDDEN;
  $("#key-form").hidden = !asks;
  const keyless = error?.status === UNAUTHENTICATED && !apiKey.get();
  $("#notice").hidden = !error || keyless;
  $("#notice").textContent = error && !keyless ? error.message : "";
  if (asks) $("#key").focus();
}

// What went wrong is told; nothing else is hidden.
export async function guarded(work) {
  try {
    notice(null);
    return await work();
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    notice(error);
    return null;
  }
}

export function useKey(again) {
  $("#key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    apiKey.set($("#key").value.trim());
    again();
  });
}

// --- reports ----------------------------------------------------------------------------------

// A report without links to what lies beside it on disk, which cannot be opened from here.
const apart = (html) => html.replace(/<a href=(?!["']?(?:#|https?:))[^>]*>(.*?)<\/a>/gs, "$1");

// A button for each report, and the frame in which it is shown.
export function reports(pages, path) {
  const place = element("div", undefined, "reports");
  const row = element("div", undefined, "row");
  const frame = element("iframe");
  // Their scripts, had somebody put some in, do not run.
  frame.setAttribute("sandbox", "allow-popups");
  frame.hidden = true;
  for (const name of pages) {
    const word = name.replace(".html", "");
    const open = button(word, async () => {
      const shown = open.getAttribute("aria-pressed") === "true";
      for (const other of row.children) other.setAttribute("aria-pressed", "false");
      const html = shown ? null : await guarded(() => getText(`${path}/${name}`));
      // Before the page is set: one that is loaded into a hidden frame may stay without a size.
      frame.hidden = html === null;
      if (html === null) return;
      frame.srcdoc = apart(html);
      frame.title = `Report: ${word}`;
      open.setAttribute("aria-pressed", "true");
    });
    open.setAttribute("aria-pressed", "false");
    row.append(open);
  }
  place.append(row, frame);
  return place;
}

// What the drift report says first: what moved, how much and since when, and what to do.
export function changes(found) {
  const place = element("div", undefined, "changes");
  for (const one of found) {
    place.append(element("p", one.told, one.moved ? "" : "soft"));
    if (!one.suggestions.length) continue;
    const list = element("ul");
    list.append(...one.suggestions.map((each) => element("li", each)));
    place.append(list);
  }
  return place;
}

const GRAVITY = ["fail", "warn", "pass"];

// The rules of a decision; what stands against the model comes first.
export function rules(found) {
  const sorted = found.toSorted((one, other) => GRAVITY.indexOf(one.verdict) - GRAVITY.indexOf(other.verdict));
  const rows = sorted.map((each) => [
    dotted(each.metric),
    figure(each.value),
    element("span", each.verdict, each.verdict),
    each.reason,
  ]);
  const made = table(["figure", "measured", "verdict", "why"], rows, "The policy's rules");
  made.classList.add("cards");
  return made;
}
