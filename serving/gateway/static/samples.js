// Samples of a candidate and of the champion, and which of them answer the same.

import { element, table } from "/static/common.js";

const PAIRS = 12;
// Rows of a table say little one by one.
const ROWS = 8;

const plain = (one) => !("text" in one) && typeof one.image !== "string";

// What is looked at as one: a text, an image, or some rows.
export function samplesOf(found) {
  if (!found.length || !plain(found[0])) return found;
  const blocks = [];
  for (let start = 0; start < found.length; start += ROWS) {
    blocks.push({ rows: found.slice(start, start + ROWS) });
  }
  return blocks;
}

export function sample(one) {
  const card = element("div", undefined, "sample");
  if (one.rows) {
    const names = Object.keys(one.rows[0]);
    card.append(table(names, one.rows.map((row) => names.map((name) => row[name] ?? element("em", "missing", "soft"))), "Rows"));
  } else if (typeof one.image === "string") {
    const image = element("img");
    image.alt = one.label || "a generated image";
    image.src = `data:image/png;base64,${one.image}`;
    card.classList.add("drawn");
    card.append(image, element("span", one.label, "prompt"));
  } else {
    const text = element("p");
    text.append(element("span", one.prompt, "prompt"), element("span", one.text));
    card.append(text);
  }
  return card;
}

// Samples of both that answer the same: the same prompt, or the same class; of rows any.
export function pairs(found) {
  const [mine, theirs] = [samplesOf(found.samples), samplesOf(found.champion_samples)];
  if (mine[0]?.rows) {
    return mine.slice(0, Math.min(theirs.length, PAIRS)).map((one, place) => ({ candidate: one, champion: theirs[place] }));
  }
  const left = new Map();
  for (const one of theirs) {
    const key = JSON.stringify([one.prompt ?? one.label ?? "", one.seed ?? ""]);
    left.set(key, [...(left.get(key) ?? []), one]);
  }
  return mine
    .map((one) => {
      const key = JSON.stringify([one.prompt ?? one.label ?? "", one.seed ?? ""]);
      return { candidate: one, champion: left.get(key)?.shift() };
    })
    .filter((pair) => pair.champion)
    .slice(0, PAIRS);
}
