// One answer: what was asked, what is being written, and what people say about it.

import { GatewayError, id, postForImage, postJson, streamEvents } from "/static/api.js";
import { csvOf, imagesOf, rowsOf } from "/static/results.js";

const template = document.querySelector("#answer");

export class Answer {
  constructor(name, asked) {
    this.asked = asked;
    this.element = template.content.firstElementChild.cloneNode(true);
    this.part("h2").textContent = name;
    this.part(".asked").textContent = asked.prompt ?? "";
    this.text = "";
    this.requestId = null;
    this.facts = {};
    this.part(".retry").addEventListener("click", () => this.onretry?.());
    this.wireFeedback();
  }

  part(selector) {
    return this.element.querySelector(selector);
  }

  // Runs to the end, a stop or a failure; true at the end.
  async run(model, signal) {
    this.begin();
    const began = performance.now();
    try {
      if (model.modality === "text" && model.streams) await this.stream(signal, began);
      else if (model.modality === "text") this.finish(await this.post("/v1/generate", signal));
      else if (model.modality === "image" && takes(model, "seed")) {
        this.finish(await this.post("/v1/images", signal));
      } else if (model.modality === "table") this.finish(await this.post("/v1/rows", signal));
      else await this.predict(model, signal);
      return true;
    } catch (error) {
      if (error.name === "AbortError") {
        this.part(".stats").textContent = "stopped";
        this.part(".edit textarea").value = this.text;
        this.part(".judge").hidden = !this.requestId;
        return false;
      }
      if (!(error instanceof GatewayError)) throw error;
      this.fail(error);
      throw error;
    } finally {
      this.element.classList.remove("writing");
    }
  }

  begin() {
    this.element.classList.add("writing");
    this.finished = false;
    this.text = "";
    this.part(".written").textContent = "";
    this.part(".result").replaceChildren();
    this.part(".problem").hidden = true;
    this.part(".judge").hidden = true;
    this.part(".stats").textContent = "waiting for the model…";
  }

  post(path, signal) {
    return postJson(path, this.asked, signal);
  }

  async stream(signal, began) {
    let tokens = 0;
    let first = 0;
    for await (const { event, data } of streamEvents(
      "/v1/generate",
      { ...this.asked, stream: true },
      signal,
    )) {
      if (event === "start") this.describe(data);
      if (event === "chunk") {
        first ||= performance.now();
        tokens += data.num_tokens;
        this.text += data.text;
        this.part(".written").textContent = this.text;
        const seconds = (performance.now() - began) / 1000;
        this.part(".stats").textContent = `${tokens} tokens, ${(tokens / seconds).toFixed(0)} a second`;
      }
      if (event === "error") throw new GatewayError(data.error.message, { code: data.error.code });
      if (event === "done") return this.finish({ ...data, text: this.text });
    }
    throw new GatewayError("The connection broke off before the text was finished.");
  }

  async predict(model, signal) {
    const path = `/v1/models/${encodeURIComponent(model.name)}/predict/generate`;
    if (model.modality === "image") {
      const found = await postForImage(path, this.asked, signal);
      const image = document.createElement("img");
      image.src = URL.createObjectURL(found.blob);
      image.alt = "Generated image";
      this.part(".result").replaceChildren(image);
      return this.finish({ ...found, text: "" });
    }
    const found = await postJson(path, this.asked, signal);
    this.part(".result").replaceChildren(tableOf(found.outputs));
    return this.finish({ ...found, text: "" });
  }

  describe(facts) {
    this.requestId = facts.request_id;
    this.facts = { ...this.facts, ...facts };
    const seen = [];
    if (facts.version != null) seen.push(`version ${facts.version}`);
    if (facts.arm) seen.push(facts.arm);
    if (facts.seed !== undefined) seen.push(`seed ${facts.seed}`);
    this.part(".meta").textContent = seen.join(" · ");
  }

  // Images and rows in place of a text.
  showResult(facts) {
    const { images, rows, columns } = facts;
    if (images) this.part(".result").replaceChildren(imagesOf(images));
    if (rows) this.part(".result").replaceChildren(rowsOf(columns, rows, facts.seed));
    const text = !images && !rows && facts.text !== "";
    this.part(".text").hidden = !text;
    this.part(".edit").hidden = !text;
    this.part(".copy").hidden = Boolean(images);
    return rows ? csvOf(columns, rows) : (facts.text ?? "");
  }

  finish(facts) {
    this.describe({ seed: this.asked.seed, ...facts });
    this.finished = true;
    this.text = this.showResult(facts);
    this.part(".written").textContent = facts.text ?? "";
    const said = [];
    if (facts.images) said.push(facts.images.length > 1 ? `${facts.images.length} images` : "1 image");
    if (facts.rows) said.push(facts.rows.length > 1 ? `${facts.rows.length} rows` : "1 row");
    if (facts.num_tokens !== undefined) {
      const seconds = (facts.latency_ms ?? 0) / 1000;
      const rate = seconds ? `, ${(facts.num_tokens / seconds).toFixed(0)} a second` : "";
      said.push(`${facts.num_tokens} tokens${rate}`);
    }
    if (facts.first_token_ms != null) said.push(`first after ${Math.round(facts.first_token_ms)} ms`);
    if (facts.latency_ms != null) said.push(`${Math.round(facts.latency_ms)} ms in all`);
    if (facts.finish_reason === "stop") said.push("the text ended by itself");
    this.part(".stats").textContent = said.join(" · ");
    this.part(".edit textarea").value = this.text;
    this.part(".judge").hidden = !this.requestId;
  }

  // The history keeps no large results, but all that makes them again.
  leftOut() {
    this.part(".problem span").textContent = "This result was too large to keep; its seed is known.";
    this.part(".problem").hidden = false;
    this.part(".retry").textContent = "Make it again";
  }

  fail(error) {
    const known = { 429: "Too many requests for this key", 503: "The model is not available now" };
    const start = known[error.status] ? `${known[error.status]}: ` : "";
    this.part(".problem span").textContent = start + error.message;
    this.part(".problem").hidden = false;
    this.part(".stats").textContent = "";
  }

  wireFeedback() {
    for (const [name, value] of [["good", 1], ["bad", -1]]) {
      this.part(`.${name}`).addEventListener("click", () => this.thumb(name, value));
    }
    this.makeStars();
    this.wireText("comment");
    this.wireText("edit");
    this.part(".copy").addEventListener("click", () => this.copy());
  }

  async thumb(name, value) {
    if (!(await this.say({ kind: "thumbs", value }))) return;
    for (const each of ["good", "bad"]) {
      this.part(`.${each}`).setAttribute("aria-pressed", String(each === name));
    }
  }

  makeStars() {
    const group = id();
    const labels = [1, 2, 3, 4, 5].map((value) => {
      const label = document.createElement("label");
      const input = document.createElement("input");
      const star = document.createElement("span");
      Object.assign(input, { type: "radio", name: group, value });
      input.setAttribute("aria-label", `${value} of 5`);
      star.textContent = "★";
      star.ariaHidden = "true";
      label.append(input, star);
      input.addEventListener("change", async () => {
        if (!(await this.say({ kind: "rating", value }))) return;
        labels.forEach((each, index) => each.classList.toggle("on", index < value));
      });
      return label;
    });
    this.part(".stars").append(...labels);
  }

  wireText(kind) {
    const box = this.part(`.${kind}`);
    const [label, area] = [box.querySelector("label"), box.querySelector("textarea")];
    area.id = id();
    label.htmlFor = area.id;
    box.querySelector("button").addEventListener("click", async () => {
      if (await this.say({ kind, text: area.value })) box.open = false;
    });
  }

  // The same words sent again after a lost reply are stored once.
  async say(feedback) {
    const key = JSON.stringify([this.requestId, feedback]);
    this.feedbackIds ??= new Map();
    if (!this.feedbackIds.has(key)) this.feedbackIds.set(key, id());
    const known = { feedback_id: this.feedbackIds.get(key), request_id: this.requestId };
    return say(this.part(".judge > .said"), { ...known, ...feedback });
  }

  async copy() {
    const said = this.part(".judge > .said");
    try {
      await navigator.clipboard.writeText(this.text);
      tell(said, "Copied.");
    } catch {
      tell(said, "This browser does not allow copying; select the text instead.", true);
    }
  }
}

// Sends feedback and says in place what became of it.
export async function say(place, feedback) {
  try {
    await postJson("/v1/feedback", { feedback_id: id(), ...feedback });
    tell(place, "Thank you, that is stored.");
    return true;
  } catch (error) {
    tell(place, `That was not stored: ${error.message}`, true);
    return false;
  }
}

function tell(place, message, failed = false) {
  place.textContent = message;
  place.classList.toggle("failed", failed);
}

const takes = (model, name) => name in (model.signatures.generate?.inputs ?? {});

function tableOf(outputs) {
  const columns = Object.keys(outputs);
  const lists = columns.map((name) => [outputs[name]].flat(1));
  const count = Math.max(...lists.map((list) => list.length));
  const rows = Array.from({ length: count }, (_, row) =>
    Object.fromEntries(columns.map((name, index) => [name, lists[index][row] ?? ""])),
  );
  return rowsOf(columns, rows, 0);
}
