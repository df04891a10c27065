// What this browser asked, kept in its own storage.

import { title as titleOf } from "/static/forms.js";

const NAME = "loomline.history";
const LIMIT = 50;
// Of one answer, in characters; a larger one is made again from its seed.
const LARGEST = 60_000;

export function entries() {
  try {
    return JSON.parse(localStorage.getItem(NAME) ?? "[]");
  } catch {
    return [];
  }
}

// Without images or rows that would fill the storage.
function light(answer) {
  if (JSON.stringify(answer).length <= LARGEST) return answer;
  const { images, rows, columns, ...facts } = answer;
  return { ...facts, left_out: true };
}

export function add(whole) {
  const entry = { ...whole, answers: whole.answers.map(light) };
  try {
    localStorage.setItem(NAME, JSON.stringify([entry, ...entries()].slice(0, LIMIT)));
  } catch {
    // A full or forbidden storage costs the history, not the answer.
  }
}

export function clear() {
  localStorage.removeItem(NAME);
}

export function show(list, found, restore) {
  list.replaceChildren(
    ...found.map((entry) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      const title = document.createElement("strong");
      const facts = document.createElement("span");
      button.type = "button";
      title.textContent = titleOf(entry.asked);
      const when = new Date(entry.time).toLocaleString([], { dateStyle: "short", timeStyle: "short" });
      const versions = entry.answers.map((answer) => answer.version).filter((one) => one != null);
      facts.textContent = [when, versions.length ? `version ${versions.join(", ")}` : ""]
        .filter(Boolean)
        .join(" · ");
      button.append(title, facts);
      button.addEventListener("click", () => restore(entry));
      item.append(button);
      return item;
    }),
  );
}
