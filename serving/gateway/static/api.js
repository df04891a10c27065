// Speaks to the gateway: JSON, server-sent events, errors in plain words.

const KEY = "loomline.key";

export class GatewayError extends Error {
  constructor(message, { status = 0, code = "", requestId = "" } = {}) {
    super(message);
    Object.assign(this, { status, code, requestId });
  }
}

export const apiKey = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => sessionStorage.setItem(KEY, value),
};

export const session = (() => {
  // Keeps this tab on one side of a rollout.
  const name = "loomline.session";
  const known = sessionStorage.getItem(name) ?? crypto.getRandomValues(new Uint32Array(2)).join("-");
  sessionStorage.setItem(name, known);
  return known;
})();

function headers(extra) {
  const found = { "X-Session-ID": session, ...extra };
  if (apiKey.get()) found.Authorization = `Bearer ${apiKey.get()}`;
  return found;
}

async function send(path, { body, accept, signal } = {}) {
  const options = { signal, headers: headers(accept ? { Accept: accept } : {}) };
  if (body !== undefined) {
    options.method = "POST";
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  let reply;
  try {
    reply = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new GatewayError("The gateway cannot be reached. Is it still running?");
  }
  if (!reply.ok) throw await failure(reply);
  return reply;
}

async function failure(reply) {
  let detail = {};
  try {
    detail = (await reply.json()).error ?? {};
  } catch {
    // Something in between answered, which knows nothing of our errors.
  }
  const message = detail.message ?? `The gateway answered ${reply.status} ${reply.statusText}`;
  const facts = { status: reply.status, code: detail.code, requestId: detail.request_id };
  return new GatewayError(message, facts);
}

export async function getJson(path) {
  return (await send(path)).json();
}

export async function getText(path) {
  return (await send(path)).text();
}

export async function postJson(path, body, signal) {
  return (await send(path, { body, signal })).json();
}

export async function postForImage(path, body, signal) {
  const reply = await send(path, { body, signal, accept: "image/png" });
  return {
    blob: await reply.blob(),
    request_id: reply.headers.get("X-Request-ID"),
    version: reply.headers.get("X-Model-Version"),
  };
}

// Yields {event, data} as they come.
export async function* streamEvents(path, body, signal) {
  const reply = await send(path, { body, signal });
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffered = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new GatewayError("The connection broke off before the text was finished.");
    }
    if (part.done) break;
    buffered += part.value;
    const blocks = buffered.split("\n\n");
    buffered = blocks.pop();
    for (const block of blocks) {
      const found = { event: "message", data: "" };
      for (const line of block.split("\n")) {
        if (line.startsWith("event: ")) found.event = line.slice(7);
        if (line.startsWith("data: ")) found.data += line.slice(6);
      }
      if (found.data) yield { event: found.event, data: JSON.parse(found.data) };
    }
  }
}

export const id = () =>
  Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) =>
    part.toString(16).padStart(8, "0"),
  ).join("");
