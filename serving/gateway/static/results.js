// Shows images as a grid and rows as a table, both to be taken along.

const SUFFIX = { "image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp" };

const safe = (text) => text.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "") || "image";

export function imagesOf(images) {
  const grid = document.createElement("div");
  grid.className = "grid";
  grid.append(
    ...images.map((each) => {
      const figure = document.createElement("figure");
      const image = document.createElement("img");
      const caption = document.createElement("figcaption");
      const link = document.createElement("a");
      const url = `data:${each.media_type};base64,${each.b64}`;
      Object.assign(image, { src: url, alt: `${each.class || "Image"}, seed ${each.seed}` });
      Object.assign(link, { href: url, textContent: "Save" });
      link.download = `${safe(each.class || "image")}-${each.seed}.${SUFFIX[each.media_type]}`;
      link.setAttribute("aria-label", `Save ${image.alt}`);
      caption.append(`${each.class ? `${each.class} · ` : ""}${each.seed} `, link);
      figure.append(image, caption);
      return figure;
    }),
  );
  return grid;
}

const quoted = (value) => {
  const text = value === null || value === undefined ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

export const csvOf = (columns, rows) =>
  [columns, ...rows.map((row) => columns.map((name) => row[name]))]
    .map((line) => `${line.map(quoted).join(",")}\r\n`)
    .join("");

const decimal = new Intl.NumberFormat([], { maximumSignificantDigits: 6, useGrouping: false });

function cellOf(line, value, number) {
  const cell = line.insertCell();
  cell.classList.toggle("number", number);
  if (value === null) {
    cell.classList.add("missing");
    cell.textContent = "missing";
  } else if (typeof value === "number") {
    cell.textContent = Number.isInteger(value) ? String(value) : decimal.format(value);
  } else cell.textContent = String(value);
}

export function rowsOf(columns, rows, seed) {
  const place = document.createElement("div");
  const frame = document.createElement("div");
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  const numbers = new Set(
    columns.filter((name) => rows.some((row) => typeof row[name] === "number")),
  );
  for (const name of columns) {
    const cell = document.createElement("th");
    Object.assign(cell, { scope: "col", textContent: name });
    cell.classList.toggle("number", numbers.has(name));
    head.append(cell);
  }
  const body = table.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    for (const name of columns) cellOf(line, row[name], numbers.has(name));
  }
  // What scrolls must be reached by keys, too.
  Object.assign(frame, { className: "frame", tabIndex: 0, role: "region" });
  frame.setAttribute("aria-label", "Generated rows");
  frame.append(table);
  const link = document.createElement("a");
  link.textContent = `Save ${rows.length} rows as CSV`;
  link.href = URL.createObjectURL(new Blob([csvOf(columns, rows)], { type: "text/csv" }));
  link.download = `rows-${seed}.csv`;
  link.className = "save";
  place.append(frame, link);
  return place;
}
