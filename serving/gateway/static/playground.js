// The page: settings, one or two answers, history.

import { GatewayError, apiKey, getJson } from "/static/api.js";
import { Answer, say } from "/static/answer.js";
import * as forms from "/static/forms.js";
import * as history from "/static/history.js";
import { useTheme } from "/static/theme.js";

const $ = (selector) => document.querySelector(selector);
const SLIDERS = ["max_new_tokens", "temperature", "top_k", "top_p"];
const DEFAULTS = { max_new_tokens: 64, temperature: 0.8, top_k: 50, top_p: 0.95 };

let models = [];
let running = null;
let shown = [];

const model = () => models.find((each) => each.name === $("#model").value);

// Whether a model is asked by a form of its own; others by one made of their signature.
const named = (chosen) =>
  ["text", "table"].includes(chosen.modality) ||
  (chosen.modality === "image" && "seed" in (chosen.signatures.generate?.inputs ?? {}));

// --- settings -------------------------------------------------------------------------------

function settings() {
  const found = Object.fromEntries(SLIDERS.map((name) => [name, Number($(`#${name}`).value)]));
  return { ...found, seed: Number($("#seed").value || 0) };
}

function apply(values) {
  for (const name of SLIDERS) {
    if (values[name] === undefined) continue;
    const slider = $(`#${name}`);
    slider.max = Math.max(Number(slider.max), Number(values[name]));
    slider.value = values[name];
  }
  if (values.seed !== undefined) $("#seed").value = values.seed;
  showSettings();
}

function showSettings() {
  forms.showValues();
  for (const name of SLIDERS) $(`output[for=${name}]`).textContent = $(`#${name}`).value;
  const now = settings();
  const text = (model()?.modality ?? "text") === "text";
  const words = text
    ? [`${now.max_new_tokens} tokens`, `temperature ${now.temperature}`]
    : forms.summary();
  $("#sampling-summary").textContent = [...words, `seed ${now.seed}`].join(" · ");
}

function newSeed() {
  // Short enough to be read out to somebody.
  $("#seed").value = crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000;
  showSettings();
}

// The address bar holds what is needed to ask the same again.
function remember() {
  const choices = { model: $("#model").value, version: $("#version").value };
  if ($("#compare").checked) choices.compare = $("#other-version").value || "latest";
  const asked =
    model().modality === "text"
      ? { ...settings(), prompt: $("#prompt").value }
      : { seed: settings().seed, form: JSON.stringify(forms.body(model())) };
  const values = new URLSearchParams({ ...asked, ...choices });
  window.history.replaceState(null, "", `#${values}`);
}

function recall() {
  const values = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  if (values.prompt !== undefined) $("#prompt").value = values.prompt;
  choose($("#version"), values.version);
  choose($("#other-version"), values.compare);
  $("#compare").checked = values.compare !== undefined;
  showCompare();
  if (values.form !== undefined) {
    try {
      forms.restore(JSON.parse(values.form));
    } catch {
      // Somebody changed the address by hand.
    }
  }
  apply({ ...DEFAULTS, ...model()?.defaults, ...values });
  if (values.seed === undefined) newSeed();
}

// --- models ---------------------------------------------------------------------------------

async function loadModels() {
  try {
    models = (await getJson("/v1/models")).models;
  } catch (error) {
    return problem(error);
  }
  $("#key-form").hidden = true;
  notice("");
  const first = !$("#model").options.length;
  const before = $("#model").value;
  $("#model").replaceChildren(...models.map((each) => new Option(each.name, each.name)));
  choose($("#model"), first ? new URLSearchParams(location.hash.slice(1)).get("model") : before);
  if (!model() && models.length) $("#model").selectedIndex = 0;
  showModel();
  // What was typed since the page was opened stays.
  if (first) recall();
  return undefined;
}

function choose(select, value) {
  select.value = [...select.options].some((each) => each.value === value) ? value : "";
}

function showCompare() {
  $("#other-version-label").hidden = !$("#compare").checked;
}

function showModel() {
  const chosen = model();
  if (!chosen) return;
  const options = () => [
    new Option("latest", ""),
    ...chosen.versions.flatMap((each) =>
      (each.labels ?? []).map((label) => new Option(`${label} (${each.version})`, `label:${label}`)),
    ),
    ...chosen.versions.map((each) => {
      const state = each.state === "AVAILABLE" ? "" : `, ${each.state.toLowerCase()}`;
      const option = new Option(`${each.version}${state}`, `version:${each.version}`);
      option.disabled = each.state !== "AVAILABLE";
      return option;
    }),
  ];
  for (const select of [$("#version"), $("#other-version")]) {
    const before = select.value;
    select.replaceChildren(...options());
    choose(select, before);
  }
  const form = named(chosen);
  forms.show(form ? chosen : { ...chosen, modality: "other" });
  $("#text-form").hidden = chosen.modality !== "text";
  $("#sampling").hidden = !form;
  $("#other-form").hidden = form;
  if (!form) showInputs(chosen);
  showSettings();
  if (chosen.error) notice(`${chosen.name}: ${chosen.error.message}`);
}

// Other models are asked by a form made of their signature.
function showInputs(chosen) {
  const inputs = chosen.signatures.generate?.inputs ?? {};
  $("#other-form").replaceChildren(
    ...Object.entries(inputs).map(([name, spec]) => {
      const label = document.createElement("label");
      const input = document.createElement("input");
      label.textContent = `${name} (${spec.dtype.replace("DT_", "").toLowerCase()})`;
      Object.assign(input, { type: "text", name });
      label.append(input);
      return label;
    }),
  );
}

function target(select) {
  const [kind, value] = select.value.split(":");
  if (kind === "version") return { version: Number(value) };
  return kind === "label" ? { label: value } : {};
}

function inputsOf(chosen) {
  const found = {};
  for (const input of $("#other-form").querySelectorAll("input")) {
    if (!input.value) continue;
    const text = chosen.signatures.generate.inputs[input.name].dtype === "DT_STRING";
    try {
      found[input.name] = text ? input.value : JSON.parse(input.value);
    } catch {
      throw new GatewayError(`${input.name}: expected a number or a list. Received: ${input.value}`);
    }
  }
  return { inputs: found };
}

// --- asking ---------------------------------------------------------------------------------

function asks(chosen) {
  const first = target($("#version"));
  if (!named(chosen)) return [{ ...inputsOf(chosen), ...first }];
  const common =
    chosen.modality === "text"
      ? { model: chosen.name, prompt: $("#prompt").value, ...settings() }
      : { model: chosen.name, ...forms.body(chosen), seed: settings().seed };
  const asked = [{ ...common, ...first }];
  if ($("#compare").checked) {
    const second = target($("#other-version"));
    const same = JSON.stringify(first) === JSON.stringify(second);
    // Two versions are compared on one seed; one version on two.
    // The seeds of several images follow each other.
    asked.push({ ...common, ...second, seed: same ? common.seed + (common.n ?? 1) : common.seed });
  }
  return asked;
}

// Asks for all answers anew, or for some of those that are shown again.
async function generate(again) {
  if (running) return;
  const chosen = model();
  if (!chosen) {
    await loadModels();
    return;
  }
  notice("");
  if (again) {
    await run(chosen, again);
    return;
  }
  let asked;
  try {
    asked = asks(chosen);
  } catch (error) {
    problem(error);
    return;
  }
  if (named(chosen)) remember();
  shown = asked.map((each, index) => {
    const name = asked.length > 1 ? `Answer ${"AB"[index]}` : "Answer";
    const answer = new Answer(name, each);
    answer.onretry = () => generate([answer]);
    return answer;
  });
  $("#answers").replaceChildren(...shown.map((each) => each.element));
  await run(chosen, shown);
}

async function run(chosen, answers) {
  $("#preference").hidden = true;
  busy(true);
  running = new AbortController();
  const { signal } = running;
  const ended = await Promise.allSettled(answers.map((each) => each.run(chosen, signal)));
  running = null;
  busy(false);
  settle(chosen, ended);
}

function settle(chosen, ended) {
  const failed = ended.filter((each) => each.status === "rejected").map((each) => each.reason);
  const defect = failed.find((each) => !(each instanceof GatewayError));
  if (defect) throw defect;
  for (const error of failed) if (error.status === 401 || error.status === 403) problem(error);
  const done = ended.filter((each) => each.status === "fulfilled" && each.value).length;
  if (shown.length === 2 && shown.every((each) => each.finished)) offerPreference();
  const what = done ? `Finished: ${done} of ${shown.length} answers.` : "";
  announce(failed.length ? `${what} ${failed[0].message}` : what || "Stopped.");
  if (done && named(chosen)) {
    const text = chosen.modality === "text";
    history.add({
      time: Date.now(),
      asked: shown[0].asked,
      other: shown[1]?.asked,
      answers: shown.map((each) => (text ? { ...each.facts, text: each.text } : each.facts)),
    });
    showHistory(history.entries());
  }
}

function busy(yes) {
  $("#go").disabled = yes;
  $("#stop").hidden = !yes;
  $("#answers").setAttribute("aria-busy", String(yes));
}

function offerPreference() {
  const place = $("#preference");
  place.hidden = false;
  place.querySelector(".said").textContent = "";
  for (const each of place.querySelectorAll("button")) each.setAttribute("aria-pressed", "false");
}

async function prefer(button) {
  const [a, b] = shown;
  const feedback = {
    request_id: a.requestId,
    other_request_id: b.requestId,
    kind: "preference",
    value: Number(button.dataset.value),
  };
  if (!(await say($("#preference .said"), feedback))) return;
  for (const each of $("#preference").querySelectorAll("button")) {
    each.setAttribute("aria-pressed", String(each === button));
  }
}

// --- history --------------------------------------------------------------------------------

function showHistory(found) {
  $("#no-history").hidden = found.length > 0;
  history.show($("#history"), found, restore);
}

const versionKey = ({ version, label }) =>
  label ? `label:${label}` : version != null ? `version:${version}` : "";

// The model, the versions and the settings that gave an answer, and the answer.
function restore(entry) {
  const { asked, other } = entry;
  if (models.some((each) => each.name === asked.model) && asked.model !== $("#model").value) {
    $("#model").value = asked.model;
    showModel();
  }
  // A version that is gone leaves the latest one.
  choose($("#version"), versionKey(asked));
  $("#compare").checked = Boolean(other);
  if (other) choose($("#other-version"), versionKey(other));
  showCompare();
  $("#prompt").value = asked.prompt ?? "";
  forms.restore(asked);
  apply(asked);
  shown = entry.answers.map((facts, index) => {
    const name = entry.answers.length > 1 ? `Answer ${"AB"[index]}` : "Answer";
    const again = (index && other) || asked;
    const answer = new Answer(name, { ...again, seed: facts.seed ?? again.seed });
    answer.onretry = () => generate([answer]);
    answer.finish(facts);
    if (facts.left_out) answer.leftOut();
    return answer;
  });
  $("#answers").replaceChildren(...shown.map((each) => each.element));
  if (shown.length === 2) offerPreference();
  else $("#preference").hidden = true;
  $(asked.prompt === undefined ? "#go" : "#prompt").focus();
}

// A record of the gateway as an entry of the history.
function fromRecord(record) {
  const { inputs, outputs, model: name, version, label } = record;
  if (!outputs) return null;
  const asked = { ...inputs, model: name, ...(label ? { label } : { version }) };
  const facts = { ...record, seed: inputs.seed };
  const entry = { time: Date.parse(record.created), asked };
  if (outputs.text !== undefined) return { ...entry, answers: [{ ...facts, text: outputs.text }] };
  if (inputs.n !== undefined && Array.isArray(outputs.image)) {
    const images = outputs.image.map((each, index) => ({
      b64: each.b64,
      media_type: "image/png",
      class: outputs.label?.[index] ?? "",
      seed: outputs.seed?.[index] ?? inputs.seed,
    }));
    const whole = images.every((each) => each.b64);
    return { ...entry, answers: [whole ? { ...facts, images } : { ...facts, left_out: true }] };
  }
  if (inputs.num_rows === undefined) return null;
  const columns = Object.keys(outputs);
  const count = outputs[columns[0]]?.length ?? 0;
  if (count < inputs.num_rows) return { ...entry, answers: [{ ...facts, left_out: true }] };
  const rows = Array.from({ length: count }, (_, row) =>
    Object.fromEntries(columns.map((column) => [column, outputs[column][row]])),
  );
  return { ...entry, answers: [{ ...facts, columns, rows }] };
}

async function fromGateway() {
  try {
    const { requests } = await getJson("/v1/requests?limit=20");
    const found = requests.map(fromRecord).filter(Boolean);
    showHistory(found);
    announce(`${found.length} requests of the gateway.`);
  } catch (error) {
    problem(error);
  }
}

// --- words ----------------------------------------------------------------------------------

function notice(message) {
  $("#notice").textContent = message;
  $("#notice").hidden = !message;
}

function problem(error) {
  if (!(error instanceof GatewayError)) throw error;
  const keyless = error.status === 401 && !apiKey.get();
  notice(keyless ? "" : error.message);
  if (error.status === 401 || error.status === 403) {
    $("#key-form").hidden = false;
    $("#key").focus();
  }
}

function announce(message) {
  $("#live").textContent = message;
}

// --- start ----------------------------------------------------------------------------------

useTheme($("#theme"));
$("#composer").addEventListener("submit", (event) => {
  event.preventDefault();
  generate();
});
$("#stop").addEventListener("click", () => running?.abort());
$("#dice").addEventListener("click", newSeed);
for (const part of ["#sampling", "#image-form", "#table-form"]) {
  $(part).addEventListener("input", showSettings);
}
$("#add-condition").addEventListener("click", () => forms.addCondition().focus());
$("#model").addEventListener("change", () => {
  showModel();
  apply({ ...DEFAULTS, ...model()?.defaults });
});
$("#compare").addEventListener("change", showCompare);
for (const button of $("#preference").querySelectorAll("button")) {
  button.addEventListener("click", () => prefer(button));
}
$("#clear").addEventListener("click", () => {
  history.clear();
  showHistory([]);
});
$("#from-gateway").addEventListener("click", fromGateway);
$("#key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  apiKey.set($("#key").value.trim());
  loadModels();
});
document.addEventListener("keydown", (event) => {
  const asks = !event.target.closest?.("#key-form, .judge");
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && asks) {
    event.preventDefault();
    generate();
  }
  if (event.key === "Escape") running?.abort();
});
window.addEventListener("online", loadModels);
window.addEventListener("offline", () => notice("This device is offline."));

showHistory(history.entries());
loadModels();
