// Asking the worker: the key, its errors, and a job's events with reconnection.

const KEY_NAME = "sdrbee.key";
const ENDS = new Set(["complete", "error", "cancelled"]);
// The worker sends a comment every 15 seconds; silence of three of them is a dead connection.
const SILENCE_MS = 45_000;
const LONGEST_WAIT_MS = 8_000;

/** An answer other than success, as the worker words it. */
export class ApiError extends Error {
  constructor(status, told, retryAfter) {
    super(told.message);
    this.status = status;
    this.code = told.code;
    this.field = told.field ?? null;
    this.retryAfter = retryAfter;
  }
}

/** The worker did not answer at all. */
export class Unreachable extends Error {}

let keyAsked = null;
let declined = false;
let keyDialog = async () => null;

/** `dialog(wrong)` resolves to a key, or to null when the user would rather not. */
export function askForKeyWith(dialog) {
  keyDialog = dialog;
}

export const hasKey = () => sessionStorage.getItem(KEY_NAME) !== null;

/** Asks the user for a key, once for all requests that wait for it. */
export function requestKey(wrong = false) {
  keyAsked ??= keyDialog(wrong).then((key) => {
    keyAsked = null;
    declined = key === null;
    if (key !== null) sessionStorage.setItem(KEY_NAME, key);
    return key !== null;
  });
  return keyAsked;
}

/** A user who would rather give no key is asked again only at what they do themselves. */
export function askForKeyAgain() {
  declined = false;
}

/** The worker's answer; asks for the key as often as it takes. Throws ApiError, Unreachable. */
export async function ask(path, { method = "GET", body, headers = {}, signal } = {}) {
  for (;;) {
    const key = sessionStorage.getItem(KEY_NAME);
    const sent = { ...headers };
    if (key !== null) sent.authorization = `Bearer ${key}`;
    if (body !== undefined) sent["content-type"] = "application/json";
    let response;
    try {
      response = await fetch(path, { method, body, headers: sent, signal, credentials: "omit" });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Unreachable("The worker does not answer.");
    }
    if (response.ok) return response;
    if (response.status === 401) {
      // Another request may have brought a new key meanwhile.
      if (sessionStorage.getItem(KEY_NAME) !== key) continue;
      if (!declined && (await requestKey(key !== null))) continue;
    }
    throw await apiError(response);
  }
}

async function apiError(response) {
  let told;
  try {
    const body = await response.json();
    told = body.error ?? (body.reason && { code: "not_ready", message: body.reason });
  } catch {
    told = null;
  }
  told ??= { code: "unknown", message: `The worker answered ${response.status}.` };
  return new ApiError(response.status, told, Number(response.headers.get("retry-after")) || null);
}

export const askJson = async (path, options) => parse(await (await ask(path, options)).text());

/** JSON whose integers beyond 2^53, as seeds may be, stay exact: as text. */
export function parse(text) {
  return JSON.parse(text, (_name, value, context) =>
    typeof value === "number" && !Number.isSafeInteger(value) && /^\d+$/.test(context?.source ?? "")
      ? context.source
      : value,
  );
}

/** JSON of a request; its seed, a text of digits, becomes the integer that it says. */
export function stringify(request) {
  const { seed, ...rest } = request;
  const text = JSON.stringify(rest);
  return seed === undefined ? text : `${text.slice(0, -1)},"seed":${BigInt(seed)}}`;
}

/** A random name for a submission, so that sending it twice makes one job. */
export function submissionKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * A job's events to its end. A broken connection is taken up again behind the last event that came;
 * `onConnection(false)` tells that it broke, `onConnection(true)` that it is there again.
 */
export async function* follow(jobId, signal, onConnection) {
  let last = "0";
  let wait = 500;
  while (!signal.aborted) {
    const silence = new AbortController();
    const stop = () => silence.abort();
    signal.addEventListener("abort", stop);
    try {
      const response = await ask(`v1/jobs/${jobId}/stream`, {
        headers: { accept: "text/event-stream", "last-event-id": last },
        signal: silence.signal,
      });
      onConnection(true);
      for await (const event of frames(response.body.getReader(), stop)) {
        last = event.id;
        wait = 500;
        yield event;
        if (ENDS.has(event.name)) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      const passing = !(error instanceof ApiError) || error.status === 429 || error.status >= 500;
      if (!passing) throw error;
    } finally {
      signal.removeEventListener("abort", stop);
      silence.abort();
    }
    onConnection(false);
    await pause(wait, signal);
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
  }
}

async function* frames(reader, silent) {
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const alarm = setTimeout(silent, SILENCE_MS);
    const { done, value } = await reader.read().finally(() => clearTimeout(alarm));
    if (done) return;
    text += decoder.decode(value, { stream: true });
    const whole = text.split("\n\n");
    text = whole.pop();
    for (const frame of whole) {
      const event = parseFrame(frame);
      if (event) yield event;
    }
  }
}

function parseFrame(frame) {
  const lines = {};
  for (const line of frame.split("\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) lines[line.slice(0, colon)] = line.slice(colon + 1).trimStart();
  }
  return lines.event ? { id: lines.id, name: lines.event, data: parse(lines.data) } : null;
}

export function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
