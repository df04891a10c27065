// The page on which a person looks at a model that waits, and decides.

import { apiKey, getJson, getText, postJson } from "./api.js";

const $ = (selector) => document.querySelector(selector);
const UNAUTHENTICATED = 401;
const FORBIDDEN = 403;
const PAIRS = 12;
let current = null;
let blind = null;
let signs = true;

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = String(text);
  if (className) made.className = className;
  return made;
}

function notice(error) {
  const asks = error?.status === UNAUTHENTICATED || error?.status === FORBIDDEN;
  $("#key-form").hidden = !asks;
  $("#notice").hidden = !error;
  $("#notice").textContent = error ? error.message : "";
}

async function guarded(work) {
  try {
    notice(null);
    return await work();
  } catch (error) {
    notice(error);
    return null;
  }
}

async function list() {
  const found = await guarded(() => getJson("/v1/review"));
  if (!found) return;
  const items = found.candidates.map((one) => {
    const button = element("button", `${one.model} · ${one.run}`);
    button.type = "button";
    const state = one.verdict ? `${one.verdict} by ${one.reviewer}` : one.reason;
    button.append(element("small", state));
    button.addEventListener("click", () => open(one.model, one.run));
    const item = element("li");
    item.append(button);
    return item;
  });
  $("#candidates").replaceChildren(...items);
  $("#empty").hidden = items.length > 0;
  signs = found.signs;
}

async function open(model, run) {
  const found = await guarded(() => getJson(`/v1/review/${model}/${run}`));
  if (!found) return;
  current = found;
  blind = null;
  const versus = found.champion_version === null ? "no version yet" : `version ${found.champion_version}`;
  $("#title").textContent = `${found.model}, run ${found.run}`;
  $("#reason").textContent = found.reason;
  const facts = [
    ["compared with", versus],
    ["data", found.source],
    ["data digest", found.origin.source_digest],
    ["code", found.origin.code_revision || found.origin.code_digest],
    ["options", found.origin.config_digest],
    ["waiting since", found.created.replace("T", " ").replace("+00:00", " UTC")],
  ];
  $("#origin").replaceChildren(
    ...facts.filter(([, value]) => value).flatMap(([name, value]) => [element("dt", name), element("dd", value)]),
  );
  $("#rules tbody").replaceChildren(...(found.decision.rules ?? []).map(rule));
  $("#reports").replaceChildren(...found.pages.map(report));
  $("#report").hidden = true;
  $("#blind").hidden = pairs().length === 0;
  $("#tally").textContent = "";
  $("#samples").replaceChildren(...found.samples.map(sample));
  $("#verdict").hidden = Boolean(found.verdict) || !signs;
  const elsewhere = `This gateway has no key to sign with. Decide with: loomline approve ${found.run}`;
  $("#decided").textContent = found.verdict
    ? `${found.verdict} by ${found.reviewer}`
    : signs ? "" : elsewhere;
  $("#candidate").hidden = false;
  $("#title").scrollIntoView({ block: "start" });
}

function rule(entry) {
  const row = element("tr");
  const value = entry.value === null ? "–" : Number(entry.value).toPrecision(4);
  row.append(element("td", entry.metric), element("td", value));
  row.append(element("td", entry.verdict, entry.verdict), element("td", entry.reason));
  return row;
}

function report(name) {
  const button = element("button", name.replace(".html", ""));
  button.type = "button";
  button.addEventListener("click", async () => {
    const html = await guarded(() => getText(`/v1/review/${current.model}/${current.run}/${name}`));
    if (html === null) return;
    // Its scripts, had somebody put some in, do not run: the frame is a sandbox.
    $("#report").srcdoc = html;
    $("#report").hidden = false;
  });
  return button;
}

function sample(one) {
  const card = element("div", undefined, "sample");
  if (typeof one.image === "string") {
    const image = element("img");
    image.alt = one.label || "a generated image";
    image.src = `data:image/png;base64,${one.image}`;
    card.append(image, element("div", one.label, "prompt"));
  } else if ("text" in one) {
    card.append(element("span", one.prompt, "prompt"), element("span", one.text));
  } else {
    card.textContent = Object.entries(one).map(([name, value]) => `${name}: ${value}`).join("\n");
  }
  return card;
}

// Samples of both that answer the same: the same prompt, or the same class.
function pairs() {
  const key = (one) => JSON.stringify([one.prompt ?? one.label ?? "", one.seed ?? ""]);
  const theirs = new Map(current.champion_samples.map((one) => [key(one), one]));
  return current.samples
    .filter((one) => theirs.has(key(one)))
    .slice(0, PAIRS)
    .map((one) => ({ candidate: one, champion: theirs.get(key(one)) }));
}

function startBlind() {
  blind = { pairs: pairs(), place: 0, candidate: 0, champion: 0, tie: 0 };
  showPair();
}

function showPair() {
  if (blind.place === blind.pairs.length) {
    const told =
      `Blind comparison of ${blind.pairs.length}: the candidate was better in ${blind.candidate}, ` +
      `version ${current.champion_version} in ${blind.champion}, alike in ${blind.tie}.`;
    $("#tally").textContent = told;
    $("#comment").value = [$("#comment").value, told].filter(Boolean).join("\n");
    $("#samples").replaceChildren(...current.samples.map(sample));
    return;
  }
  $("#tally").textContent = `Pair ${blind.place + 1} of ${blind.pairs.length}: which is better?`;
  const pair = blind.pairs[blind.place];
  const sides = crypto.getRandomValues(new Uint8Array(1))[0] & 1 ? ["candidate", "champion"] : ["champion", "candidate"];
  const shown = sides.map((side, place) => {
    const card = sample(pair[side]);
    card.append(choice(place ? "The right one" : "The left one", side));
    return card;
  });
  const row = element("div", undefined, "pair");
  row.append(...shown);
  $("#samples").replaceChildren(row, choice("Alike", "tie"));
}

function choice(text, side) {
  const button = element("button", text);
  button.type = "button";
  button.addEventListener("click", () => {
    blind[side] += 1;
    blind.place += 1;
    showPair();
  });
  return button;
}

async function decide(verdict) {
  const buttons = [$("#approve"), $("#reject")];
  for (const button of buttons) button.disabled = true;
  const body = { verdict, comment: $("#comment").value };
  const path = `/v1/review/${current.model}/${current.run}`;
  const told = await guarded(() => postJson(path, body));
  for (const button of buttons) button.disabled = false;
  if (!told) return;
  $("#verdict").hidden = true;
  $("#decided").textContent = `${told.verdict} by ${told.reviewer}; it takes effect in a moment`;
  $("#comment").value = "";
  list();
}

$("#blind").addEventListener("click", startBlind);
$("#approve").addEventListener("click", () => decide("approved"));
$("#reject").addEventListener("click", () => decide("rejected"));
$("#key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  apiKey.set($("#key").value.trim());
  list();
});
list();
