// The pages of the registry: which one is shown stands in the address.

import { getJson } from "/static/api.js";
import { $, badge, button, digest, element, figure, guarded, link, places, runPath, table, useKey, when } from "/static/common.js";
import { showComparison } from "/static/compare.js";
import { showRun } from "/static/run.js";
import { useTheme } from "/static/theme.js";

const MOST = 50;
const chosen = new Set();

function show(title, ...parts) {
  document.title = `Loomline ${title}`;
  $("#place").textContent = title;
  $("#view").replaceChildren(...parts);
  $("#view").setAttribute("aria-busy", "false");
}

// --- runs -------------------------------------------------------------------------------------

function select(name, values, now) {
  const label = element("label", `${name[0].toUpperCase()}${name.slice(1)} `);
  const made = element("select");
  made.id = name;
  made.append(new Option("any", ""), ...values.map((each) => new Option(each, each)));
  made.value = now ?? "";
  made.addEventListener("change", () => {
    const query = new URLSearchParams(location.search);
    query.delete("before");
    if (made.value) query.set(name, made.value);
    else query.delete(name);
    history.pushState(null, "", `/runs?${query}`);
    chosen.clear();
    start();
  });
  label.append(made);
  return label;
}

function compareButton() {
  const made = button("Compare", () => {
    location.assign(`/runs/compare?${[...chosen].map((each) => `run=${encodeURIComponent(each)}`).join("&")}`);
  });
  made.id = "compare";
  const update = () => {
    made.disabled = chosen.size < 2 || chosen.size > MOST;
    made.textContent = chosen.size ? `Compare ${chosen.size} runs` : "Compare";
  };
  update();
  return { made, update };
}

function line(one, update) {
  const name = `${one.model}/${one.run}`;
  const tick = element("input");
  Object.assign(tick, { type: "checkbox", checked: chosen.has(name), ariaLabel: `Compare ${name}` });
  tick.addEventListener("change", () => {
    if (tick.checked) chosen.add(name);
    else chosen.delete(name);
    update();
  });
  const { name: measure, value } = one.headline;
  return [
    tick,
    link(runPath(one), one.run),
    one.model,
    badge(one.outcome),
    value === null ? "–" : `${measure} ${figure(value)}`,
    one.drift === null ? "–" : `${Math.round(one.drift * 100)}%`,
    one.versions.length ? served(one) : "–",
    when(one.finished),
    one.reason,
  ];
}

function served(one) {
  const place = element("span", `version ${one.versions[0].version}`);
  const labels = new Set(one.serving.filter((each) => each.fresh).flatMap((each) => each.labels.length ? each.labels : ["served"]));
  for (const label of labels) place.append(" ", element("span", label, "badge label"));
  return place;
}

async function showRuns() {
  const query = new URLSearchParams(location.search);
  const found = await guarded(() => getJson(`/v1/runs?${query}`));
  if (!found) return;
  const { made, update } = compareButton();
  const bar = element("div", undefined, "row bar");
  bar.append(select("model", found.models, query.get("model")), select("outcome", found.outcomes, query.get("outcome")), made);
  if (!found.runs.length) {
    const none = query.size ? "No run is like that." : "No run has been entered yet: loomline run text does by itself.";
    show("runs", bar, element("p", none, "empty"));
    return;
  }
  const all = button("Choose all shown", () => {
    for (const each of found.runs) chosen.add(`${each.model}/${each.run}`);
    for (const each of list.querySelectorAll("input")) each.checked = true;
    update();
  }, "quiet");
  bar.append(all);
  const heads = ["compare", "run", "model", "outcome", "figure", "drift", "version", "finished", "why"];
  const list = table(heads, found.runs.map((one) => line(one, update)), "Runs, newest first");
  list.classList.add("cards");
  const parts = [bar, list];
  if (found.next_before) {
    query.set("before", found.next_before);
    parts.push(link(`/runs?${query}`, "Older runs", "more"));
  }
  show("runs", ...parts);
}

// --- models -----------------------------------------------------------------------------------

async function showModels() {
  const found = await guarded(() => getJson("/v1/registry/models"));
  if (!found) return;
  const rows = found.versions.map((one) => [
    link(runPath(one), `${one.model}/${one.version}`),
    places(one.serving, "nowhere"),
    one.approval ? approvedBy(one.approval) : "the policy",
    link(runPath(one), one.run),
    digest(one.model_digest),
  ]);
  const parts = [];
  if (rows.length) {
    const list = table(["version", "serves at", "approved by", "made by run", "model digest"], rows, "Published versions");
    list.classList.add("cards");
    parts.push(element("p", "Every published version, and where gateways and rollouts saw it serve.", "soft"), list);
  } else parts.push(element("p", "No version has been published yet.", "empty"));
  if (found.unregistered.length) {
    const more = found.unregistered.map((one) => [`${one.model}/${one.version}`, places([one])]);
    parts.push(
      element("h2", "Served, and not in the registry"),
      element("p", "Published before there was a registry, or by something else.", "soft"),
      table(["version", "serves at"], more, "Served versions that are not in the registry"),
    );
  }
  show("models", ...parts);
}

function approvedBy(approval) {
  const made = element("span", approval.reviewer);
  if (approval.comment) made.append(element("small", approval.comment));
  return made;
}

// --- start ------------------------------------------------------------------------------------

async function start() {
  const [, page, model, run] = location.pathname.split("/").map(decodeURIComponent);
  for (const each of document.querySelectorAll("nav a")) {
    if (each.getAttribute("href") === `/${page}`) each.setAttribute("aria-current", "page");
  }
  if (page === "models") await showModels();
  else if (model === "compare" && run === undefined) await showComparison(show);
  else if (run !== undefined) await showRun(show, model, run);
  else await showRuns();
}

useTheme($("#theme"));
useKey(start);
window.addEventListener("popstate", start);
start();
