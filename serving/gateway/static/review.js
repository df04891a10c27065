// The page on which a person looks at a model that waits, and decides.

import { getJson, postJson } from "/static/api.js";
import { startBlind } from "/static/blind.js";
import { $, button, changes, digest, element, facts, guarded, link, reports, rules, runPath, useKey, when } from "/static/common.js";
import { pairs, sample, samplesOf } from "/static/samples.js";
import { useTheme } from "/static/theme.js";

let current = null;
let signs = true;

const path = (one) => `/v1/review/${encodeURIComponent(one.model)}/${encodeURIComponent(one.run)}`;
const address = () => new URLSearchParams(location.search);

async function list() {
  const found = await guarded(() => getJson("/v1/review"));
  if (!found) return;
  signs = found.signs;
  const asked = [address().get("model"), address().get("run")];
  const items = found.candidates.map((one) => {
    const open = button(`${one.model} · ${one.run}`, () => {
      history.replaceState(null, "", `/review?${new URLSearchParams({ model: one.model, run: one.run })}`);
      show(one);
    });
    open.append(element("small", one.verdict ? `${one.verdict} by ${one.reviewer}` : one.reason));
    open.dataset.of = path(one);
    const item = element("li");
    item.append(open);
    return item;
  });
  $("#candidates").replaceChildren(...items);
  $("#empty").hidden = items.length > 0;
  mark();
  const named = found.candidates.find((one) => one.model === asked[0] && one.run === asked[1]);
  if (named && !current) await show(named);
}

// Which candidate is open.
function mark() {
  for (const each of document.querySelectorAll("#candidates button")) {
    each.setAttribute("aria-pressed", String(current !== null && each.dataset.of === path(current)));
  }
}

async function show(one) {
  const found = await guarded(() => getJson(path(one)));
  if (!found) return;
  current = found;
  mark();
  const champion = found.champion_version;
  $("#title").textContent = `${found.model}, run ${found.run}`;
  $("#reason").textContent = found.reason;
  const versus = link(`/runs/${encodeURIComponent(found.model)}/${champion}`, `version ${champion}`);
  $("#origin").replaceChildren(
    facts([
      ["held against", champion === null ? "no version yet" : versus],
      ["data", found.source],
      ["data snapshot", found.origin.source_digest && digest(found.origin.source_digest)],
      ["code", found.origin.code_revision],
      ["code digest", found.origin.code_digest && digest(found.origin.code_digest)],
      ["options", found.origin.config_digest && digest(found.origin.config_digest)],
      ["waiting since", when(found.created)],
      ["lineage", link(runPath(found), "the run in the registry")],
    ]),
  );
  $("#changed").hidden = !found.changes.length;
  $("#changes").replaceChildren(changes(found.changes));
  const decided = found.decision.rules ?? [];
  const counts = ["pass", "warn", "fail"].map((word) => [word, decided.filter((each) => each.verdict === word).length]);
  $("#counts").textContent = counts.filter(([, count]) => count).map(([word, count]) => `${count} ${word}`).join(", ");
  $("#rules").replaceChildren(rules(decided));
  $("#reports").replaceChildren(...evidence(found));
  $("#tally").textContent = "";
  const comparable = pairs(found).length > 0;
  $("#modes").hidden = !comparable;
  if (comparable) $("#samples").replaceChildren();
  else showSamples();
  $("#verdict").hidden = Boolean(found.verdict) || !signs;
  const elsewhere = `This gateway has no key to sign with. Decide with: loomline approve ${found.run}`;
  $("#decided").textContent = found.verdict ? `${found.verdict} by ${found.reviewer}` : signs ? "" : elsewhere;
  $("#candidate").hidden = false;
  $("#title").focus();
  $("#title").scrollIntoView({ block: "start" });
}

// The reports, and which of them a verdict does not vouch for.
function evidence(found) {
  if (!found.pages.length) return [element("p", "The run left none.", "soft")];
  const others = found.unsigned_pages.map((name) => name.replace(".html", "")).join(" and ");
  const told = `The signature covers all reports but ${others}, read from the run's records.`;
  return [reports(found.pages, path(found)), ...(others ? [element("p", told, "soft")] : [])];
}

// What both answer, side by side; then what is left of the candidate's.
function showSamples() {
  const found = pairs(current);
  $("#modes").hidden = true;
  const rows = found.map((pair) => {
    const row = element("div", undefined, "pair");
    for (const [side, name] of [["candidate", "candidate"], ["champion", `version ${current.champion_version}`]]) {
      const card = sample(pair[side]);
      card.prepend(element("span", name, "side"));
      row.append(card);
    }
    return row;
  });
  const shown = new Set(found.map((pair) => pair.candidate));
  const rest = samplesOf(current.samples).filter((one) => !shown.has(one));
  const alone = element("div", undefined, "alone");
  alone.append(...rest.map(sample));
  if (rows.length && rest.length) {
    const more = element("details");
    more.append(element("summary", `${rest.length} more of the candidate's`), alone);
    rows.push(more);
  } else rows.push(rest.length ? alone : element("p", found.length ? "" : "The run left no samples.", "soft"));
  $("#samples").replaceChildren(...rows);
}

function blindly() {
  $("#modes").hidden = true;
  startBlind(pairs(current), (counts, total) => {
    const told =
      `Blind comparison of ${total}: the candidate was better in ${counts.candidate}, ` +
      `version ${current.champion_version} in ${counts.champion}, alike in ${counts.tie}.`;
    $("#comment").value = [$("#comment").value, told].filter(Boolean).join("\n");
    showSamples();
    $("#tally").textContent = told;
  });
}

async function decide(verdict) {
  const buttons = [$("#approve"), $("#reject")];
  for (const each of buttons) each.disabled = true;
  const told = await guarded(() => postJson(path(current), { verdict, comment: $("#comment").value }));
  for (const each of buttons) each.disabled = false;
  if (!told) {
    $("#notice").scrollIntoView({ block: "center" });
    return;
  }
  $("#verdict").hidden = true;
  $("#decided").textContent = `${told.verdict} by ${told.reviewer}; it takes effect in a moment`;
  $("#comment").value = "";
  list();
}

useTheme($("#theme"));
useKey(list);
$("#blind").addEventListener("click", blindly);
$("#beside").addEventListener("click", showSamples);
$("#approve").addEventListener("click", () => decide("approved"));
$("#reject").addEventListener("click", () => decide("rejected"));
list();
