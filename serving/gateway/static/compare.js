// Runs side by side: what became of them, every figure as a plot, and where they differ.

import { getJson } from "/static/api.js";
import { badge, dotted, element, guarded, link, runPath, table, when } from "/static/common.js";
import { plot } from "/static/plots.js";

const SHOWN = 6;

const shown = (value) => {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return String(Number(value.toPrecision(5)));
  return typeof value === "string" ? value : JSON.stringify(value);
};

// Words for a version that serves now, under each label.
const labels = (one) =>
  new Set(one.serving.filter((each) => each.fresh).flatMap((each) => (each.labels.length ? each.labels : ["served"])));

function about(runs) {
  // In its time each version was the champion; what counts is what the newest run was held against.
  const { model, champion_version: champion } = runs.at(-1);
  return runs.map((one) => {
    const marks = labels(one);
    const held = one.model === model && one.versions.some((each) => each.version === champion);
    if (held) marks.add("champion");
    const version = one.versions[0]?.version ?? null;
    return { name: `${one.model}/${one.run}`, href: runPath(one), version, marks: [...marks], outcome: one.outcome };
  });
}

function version(one) {
  const place = element("span", one.versions[0]?.version ?? "–");
  for (const label of labels(one)) place.append(" ", element("span", label, "badge label"));
  return place;
}

function grid(rows, runs) {
  const place = element("div", undefined, "plots");
  place.append(...rows.map((row) => plot(row.name, runs, row.values)).filter(Boolean));
  return place;
}

function folded(title, rows, runs) {
  const rest = element("details");
  rest.append(element("summary", title));
  // Drawn when somebody wants to see them.
  rest.addEventListener("toggle", () => rest.children.length === 1 && rest.append(grid(rows, runs)));
  return rest;
}

// The figures that a list shows come first.
function plots(rows, runs, headlines) {
  const figures = rows.filter((row) => row.kind === "figure");
  if (!figures.length) return [element("p", "These runs measured nothing of that name.", "empty")];
  const first = figures.filter((row) => headlines.has(row.name));
  const sorted = [...first, ...figures.filter((row) => !headlines.has(row.name))];
  const differing = sorted.filter((row) => row.differs);
  const same = sorted.filter((row) => !row.differs);
  const [above, more] = [differing.slice(0, SHOWN), differing.slice(SHOWN)];
  const parts = above.length ? [grid(above, runs)] : [];
  if (more.length) parts.push(folded(`${more.length} more figures that differ`, more, runs));
  if (same.length) parts.push(folded(`${same.length} figures that are the same in all of them`, same, runs));
  return parts;
}

function differences(rows, runs) {
  const everything = element("input");
  everything.type = "checkbox";
  const label = element("label", undefined, "switch");
  label.append(everything, " Also what is the same");
  const place = element("div");
  const fill = () => {
    const chosen = rows.filter((row) => everything.checked || row.differs);
    const heads = ["", ...runs.map((_, number) => `run ${number + 1}`)];
    const made = table(
      heads,
      chosen.map((row) => [dotted(row.name), ...row.values.map(shown)]),
      "Properties of the runs",
    );
    made.classList.add("properties");
    place.replaceChildren(chosen.length ? made : element("p", "They are the same in everything.", "empty"));
  };
  everything.addEventListener("change", fill);
  fill();
  return [label, place];
}

export async function showComparison(show) {
  const query = new URLSearchParams(location.search);
  const found = await guarded(() => getJson(`/v1/runs/compare?${query}`));
  if (!found) return;
  const runs = about(found.runs);
  const list = table(
    ["", "run", "outcome", "version", "held against", "finished", "why"],
    found.runs.map((one, number) => [
      number + 1,
      link(runs[number].href, runs[number].name),
      badge(one.outcome),
      version(one),
      one.champion_version === null ? "–" : `version ${one.champion_version}`,
      when(one.finished),
      one.reason,
    ]),
    "The runs, oldest first",
  );
  list.classList.add("cards");
  const legend = element("p", undefined, "soft legend");
  legend.append(
    element("span", "", "key dot"), "published ", element("span", "", "key hollow"), "not published ",
    element("span", "", "key ring"), "serves now, or is what the newest run was held against",
  );
  const headlines = new Set(found.runs.map((one) => `evaluation.${one.headline.name}`));
  const label = element("label", "Only those with ");
  const search = element("input");
  Object.assign(search, { type: "search", id: "only", placeholder: "drift, train., …" });
  label.append(search);
  const [drawn, told] = [element("div"), element("div")];
  const fill = () => {
    const words = search.value.trim().toLowerCase();
    const rows = found.rows.filter((row) => row.name.toLowerCase().includes(words));
    drawn.replaceChildren(...plots(rows, runs, headlines));
    told.replaceChildren(...differences(rows, runs));
  };
  search.addEventListener("input", fill);
  fill();
  const bar = element("div", undefined, "row bar");
  bar.append(label);
  show(
    "comparison",
    list,
    element("h2", "Figures over the runs"),
    bar,
    legend,
    drawn,
    element("h2", "Where they differ"),
    told,
  );
}
