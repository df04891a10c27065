// What a model of images or tables is asked: its controls, made from what the gateway tells of it.

const $ = (selector) => document.querySelector(selector);
const TEXT_SLIDERS = ["max_new_tokens", "temperature", "top_k", "top_p"];
const MOST_IMAGES = 8;

// --- parameters of a family -------------------------------------------------------------------

// A step that a hand can use and on which the default lies.
function stepOf({ default: value, minimum, maximum }) {
  const width = maximum - minimum;
  const whole = [value, minimum, maximum].every(Number.isInteger);
  if (whole && width >= 50) return 1;
  const rough = width / 100;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough * 0.999);
  const steps = (value - minimum) / step;
  return Math.abs(steps - Math.round(steps)) < 1e-6 ? Number(step.toPrecision(2)) : "any";
}

const known = (range) =>
  ["default", "minimum", "maximum"].every((name) => Number.isFinite(range[name])) &&
  range.maximum > range.minimum;

const plain = (name) => name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");

function control(name, range) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  Object.assign(input, { id: `parameter-${name}`, name });
  label.htmlFor = input.id;
  label.append(`${plain(name)} `);
  if (known(range)) {
    const shown = document.createElement("output");
    shown.htmlFor = input.id;
    input.type = "range";
    Object.assign(input, { min: range.minimum, max: range.maximum, step: stepOf(range) });
    input.value = range.default;
    label.append(shown);
  } else {
    input.type = "number";
    Object.assign(input, { step: "any", placeholder: "the model's own", inputMode: "decimal" });
    if (Number.isFinite(range.default)) input.value = range.default;
  }
  label.append(input);
  return label;
}

const inputs = () => [...$("#parameters").querySelectorAll("input")];

export function parameters() {
  const given = inputs().filter((input) => input.value !== "");
  return Object.fromEntries(given.map((input) => [input.name, Number(input.value)]));
}

function setParameters(values) {
  for (const input of inputs()) {
    const value = values?.[input.name];
    if (value === undefined || value === null) continue;
    if (input.type === "range") input.step = "any";
    input.value = value;
  }
}

export function showValues() {
  for (const input of inputs()) {
    const shown = input.labels[0].querySelector("output");
    if (shown) shown.textContent = Number(Number(input.value).toPrecision(3));
  }
  $("output[for=n]").textContent = $("#n").value;
  for (const input of $("#conditions").querySelectorAll(".value")) suggest(input);
}

export function summary() {
  return Object.entries(parameters()).map(
    ([name, value]) => `${name.replaceAll("_", " ")} ${Number(value.toPrecision(3))}`,
  );
}

// --- conditions of a table --------------------------------------------------------------------

let columns = [];

function suggest(input) {
  const place = input.closest(".condition");
  const column = columns.find((each) => each.name === place.querySelector(".column").value);
  const list = place.querySelector("datalist") ?? place.appendChild(document.createElement("datalist"));
  list.id ||= `values-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  input.setAttribute("list", list.id);
  list.replaceChildren(...(column?.categories ?? []).map((each) => new Option(each, each)));
  const bounds = [column?.minimum, column?.maximum];
  input.placeholder = bounds.every(Number.isFinite) ? `${bounds[0]} to ${bounds[1]}` : "value";
}

export function addCondition(text = "") {
  const added = $("#condition").content.firstElementChild.cloneNode(true);
  const cut = text.indexOf("=");
  const [column, value] = [added.querySelector(".column"), added.querySelector(".value")];
  if (cut > 0) [column.value, value.value] = [text.slice(0, cut), text.slice(cut + 1)];
  column.addEventListener("change", () => suggest(value));
  added.querySelector("button").addEventListener("click", () => {
    added.remove();
    $("#add-condition").focus();
  });
  $("#conditions .list").append(added);
  suggest(value);
  return column;
}

const conditions = () =>
  [...$("#conditions").querySelectorAll(".condition")]
    .map((each) => [".column", ".value"].map((part) => each.querySelector(part).value.trim()))
    .filter(([column]) => column)
    .map((parts) => parts.join("="));

// --- the whole form ---------------------------------------------------------------------------

export function show(chosen) {
  const { modality, choices = {}, limits = {} } = chosen;
  $("#image-form").hidden = modality !== "image";
  $("#table-form").hidden = modality !== "table";
  for (const name of TEXT_SLIDERS) $(`label[for=${name}]`).hidden = modality !== "text";
  const shown = modality === "text" ? {} : (choices.parameters ?? {});
  $("#parameters").hidden = !Object.keys(shown).length;
  $("#parameters").replaceChildren(
    ...Object.entries(shown).map(([name, range]) => control(name, range)),
  );
  const labels = choices.labels ?? [];
  $("#class-label").hidden = !labels.length;
  $("#class-text-label").hidden = labels.length > 0;
  const before = $("#class").value;
  $("#class").replaceChildren(
    new Option("any", ""),
    ...labels.filter(Boolean).map((each) => new Option(each, each)),
  );
  $("#class").value = labels.includes(before) ? before : "";
  $("#n").max = Math.min(MOST_IMAGES, limits.n ?? MOST_IMAGES);
  $("#num_rows").max = limits.num_rows ?? 10_000;
  columns = choices.columns ?? [];
  $("#columns").replaceChildren(...columns.map((each) => new Option(each.name, each.name)));
  showValues();
}

// The body of a request, without model, version and seed.
export function body(chosen) {
  if (chosen.modality === "image") {
    const named = $("#class-label").hidden ? $("#class-text") : $("#class");
    return { class: named.value, n: Number($("#n").value), parameters: parameters() };
  }
  return { num_rows: Number($("#num_rows").value), conditions: conditions(), ...parameters() };
}

export function restore(asked) {
  if (asked.class !== undefined) {
    $("#class-text").value = asked.class;
    $("#class").value = asked.class;
    if ($("#class").selectedIndex < 0) $("#class").value = "";
  }
  if (asked.n !== undefined) $("#n").value = asked.n;
  if (asked.num_rows !== undefined) $("#num_rows").value = asked.num_rows;
  if (asked.conditions !== undefined) {
    $("#conditions .list").replaceChildren();
    asked.conditions.forEach(addCondition);
  }
  setParameters(asked.parameters ?? asked);
  showValues();
}

// A line of the history.
export function title(asked) {
  if (asked.prompt !== undefined) return asked.prompt.trim() || "(no prompt)";
  if (asked.num_rows !== undefined) {
    return [`${asked.num_rows} rows`, ...(asked.conditions ?? [])].join(", ");
  }
  return `${asked.class || "any class"} × ${asked.n ?? 1}`;
}
