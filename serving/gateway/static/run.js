// One run: what made it, what came of it, and where that serves.

import { getJson } from "/static/api.js";
import { badge, changes, digest, dotted, element, facts, figure, guarded, link, places, reports, rules, runPath, table, when } from "/static/common.js";

// From the data to the servers, a step for each.
function lineage(one) {
  const list = element("ol", undefined, "lineage");
  const step = (title, ...parts) => {
    const item = element("li");
    item.append(element("h3", title), ...parts);
    list.append(item);
  };
  step("Data", facts([["source", one.source], ["snapshot", one.source_digest && digest(one.source_digest)]]));
  step("Code", facts([["revision", one.code_revision], ["digest", one.code_digest && digest(one.code_digest)]]));
  step("Options", facts([["digest", one.config_digest && digest(one.config_digest)]]));
  step("Run", facts([
    ["name", one.run],
    ["finished", when(one.finished)],
    ["took", one.seconds === null ? null : `${Math.round(one.seconds)} s`],
  ]));
  const { name, value } = one.headline;
  step("Figures", facts([
    [name, value === null ? null : figure(value)],
    ["drift", one.drift === null ? null : `${Math.round(one.drift * 100)}% of the measures`],
    ["measured", `${Object.keys(one.figures).length} in all`],
  ]));
  const champion = one.champion_version;
  step("Decision", element("p", one.reason), facts([
    ["held against", champion === null ? "no version" : link(`/runs/${encodeURIComponent(one.model)}/${champion}`, `version ${champion}`)],
  ]));
  const verdicts = one.verdicts.map((each) => {
    const comment = each.comment ? `: ${each.comment}` : "";
    return element("p", `${each.verdict} by ${each.reviewer}, ${when(each.created)}${comment}`);
  });
  const waits = one.outcome === "pending";
  const unasked = element("p", waits ? "Waits for a person: " : "No person was asked.", "soft");
  if (waits) unasked.append(link(`/review?${new URLSearchParams({ model: one.model, run: one.run })}`, "review it"));
  step("Approval", ...(verdicts.length ? verdicts : [unasked]));
  const versions = one.versions.map((each) =>
    facts([["version", `${each.model}/${each.version}`], ["digest", digest(each.model_digest)], ["path", each.path]]),
  );
  step("Version", ...(versions.length ? versions : [element("p", "None was published.", "soft")]));
  if (versions.length) step("Serves at", places(one.serving));
  return list;
}

function flat(config, prefix = "") {
  return Object.entries(config).flatMap(([name, value]) =>
    value !== null && typeof value === "object" && !Array.isArray(value)
      ? flat(value, `${prefix}${name}.`)
      : [[`${prefix}${name}`, typeof value === "string" ? value : JSON.stringify(value)]],
  );
}

function folded(title, content) {
  const made = element("details");
  made.append(element("summary", title), content);
  return made;
}

export async function showRun(show, model, run) {
  const path = `/v1/runs/${encodeURIComponent(model)}/${encodeURIComponent(run)}`;
  const one = await guarded(() => getJson(path));
  if (!one) return;
  const title = element("h2", `${one.model}, run ${one.run} `, "title");
  title.append(badge(one.outcome));
  const parts = [title, element("p", one.reason)];
  if (one.changes.length) parts.push(element("h2", "What changed, and what to do"), changes(one.changes));
  parts.push(element("h2", "Reports"));
  if (one.pages.length) parts.push(reports(one.pages, path));
  else {
    const where = one.records ? `They lie in ${one.records}, which this gateway cannot read.` : "The run left none.";
    parts.push(element("p", where, "soft"));
  }
  if (one.rules.length) parts.push(element("h2", "The policy"), rules(one.rules));
  parts.push(element("h2", "Where it comes from, and where it went"), lineage(one));
  const figures = Object.entries(one.figures).map(([name, value]) => [dotted(name), figure(value)]);
  if (figures.length) parts.push(folded(`All ${figures.length} figures`, table(["figure", "value"], figures, "Figures")));
  const options = flat(one.config).map(([name, value]) => [dotted(name), value]);
  if (options.length) parts.push(folded(`All ${options.length} options`, table(["option", "value"], options, "Options")));
  if (one.lineage.length) parts.push(element("h2", "The champions before it"), champions(one));
  show("run", ...parts);
}

function champions(one) {
  const place = element("div");
  const rows = one.lineage.map((each) => [
    link(runPath(each), `version ${each.versions.map((version) => version.version).join(", ")}`),
    each.run,
    each.headline.value === null ? "–" : `${each.headline.name} ${figure(each.headline.value)}`,
    places(each.serving, "–"),
    when(each.finished),
  ]);
  const made = table(["version", "run", "figure", "serves at", "finished"], rows, "The champions before it");
  made.classList.add("cards");
  const all = [one, ...one.lineage].map((each) => `run=${encodeURIComponent(`${each.model}/${each.run}`)}`);
  place.append(made, link(`/runs/compare?${all.slice(0, 50).join("&")}`, "Compare them all", "more"));
  return place;
}
