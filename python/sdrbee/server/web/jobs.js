// The jobs that this key may see, kept up to date from their streams.

import {
  ApiError,
  Unreachable,
  ask,
  askJson,
  follow,
  parse,
  pause,
  stringify,
  submissionKey,
} from "./api.js";

// A browser opens six connections to one worker; some have to stay free for requests.
const STREAMS = 3;
const POLL_MS = 1_500;
const SEND_AGAIN_MS = [300, 1_000, 3_000];

/** One picture of a job. */
class Item {
  constructor(job, index) {
    this.job = job;
    this.index = index;
    this.preview = null;
    this.progress = null;
    this.url = null;
    this.loading = null;
  }

  get id() {
    return `${this.job.id}/${this.index}`;
  }

  get seed() {
    const seeds = this.job.result?.seeds;
    return seeds ? String(seeds[this.index]) : null;
  }

  /** The finished picture, which is asked for once. */
  blob() {
    this.loading ??= ask(`v1/jobs/${this.job.id}/images/${this.index}`)
      .then((response) => response.blob())
      .catch((error) => {
        this.loading = null;
        throw error;
      });
    return this.loading;
  }

  async load() {
    const blob = await this.blob();
    this.url ??= URL.createObjectURL(blob);
    return this.url;
  }
}

class Job {
  constructor(told) {
    this.id = told.job_id;
    this.items = Array.from({ length: told.request?.count ?? 1 }, (_, i) => new Item(this, i));
    this.inputs = null;
    this.connected = true;
    this.take(told);
  }

  take(told) {
    this.status = told.status;
    this.operation = told.operation;
    this.model = told.model;
    this.created = told.created;
    this.position = told.position ?? null;
    this.request = told.request ?? {};
    this.result = told.result ?? null;
    this.error = told.error ?? null;
    const at = told.progress;
    if (at && this.items[at.image_index]) this.items[at.image_index].progress = at;
  }

  get active() {
    return this.status === "queued" || this.status === "running";
  }

  /** How far all of its pictures are together, 0 to 100; null while that is unknown. */
  get percent() {
    const known = this.items.map((item) => item.progress?.percent).filter((one) => one != null);
    return known.length ? known.reduce((sum, one) => sum + one, 0) / this.items.length : null;
  }
}

/** Dispatches `added` and `changed`, with the job as detail, and `gone` when it ended undone. */
export class Jobs extends EventTarget {
  #jobs = new Map();
  #followed = new Map();
  #timer = null;

  get all() {
    return [...this.#jobs.values()].sort((one, other) => other.created - one.created);
  }

  get active() {
    return this.all.filter((job) => job.active);
  }

  /** Reads the worker's list: what another tab or program made is there as well. */
  async refresh() {
    const { jobs } = await askJson("v1/jobs");
    for (const told of jobs.reverse()) {
      const known = this.#jobs.get(told.job_id);
      if (known && !this.#followed.has(known.id) && known.active) {
        known.take(told);
        this.#tell(known.active || known.status === "done" ? "changed" : "gone", known);
      } else if (!known && (told.status === "done" || isActive(told.status))) {
        this.#add(new Job(told));
      }
    }
    this.#followSome();
  }

  /** Sends a request; `inputs` are its pictures, for making it again. Throws ApiError. */
  async submit(request, inputs) {
    const { job_id } = await send(request);
    const job = new Job({
      job_id,
      status: "queued",
      operation: request.operation,
      model: request.model,
      created: Date.now() / 1000,
      request: { ...inputs.fields, count: request.n ?? 1 },
    });
    job.inputs = inputs;
    this.#add(job);
    this.#followSome();
    return job;
  }

  async cancel(job) {
    await ask(`v1/jobs/${job.id}`, { method: "DELETE" });
  }

  /** Follows this job's stream before others'. */
  watch(job) {
    if (!job.active || this.#followed.has(job.id)) return;
    if (this.#followed.size >= STREAMS) {
      const [oldest, control] = this.#followed.entries().next().value;
      this.#followed.delete(oldest);
      control.abort();
    }
    this.#follow(job);
  }

  #add(job) {
    this.#jobs.set(job.id, job);
    this.#tell("added", job);
  }

  #tell(type, job) {
    this.dispatchEvent(new CustomEvent(type, { detail: job }));
  }

  #followSome() {
    const waiting = this.active.reverse().filter((job) => !this.#followed.has(job.id));
    for (const job of waiting.slice(0, STREAMS - this.#followed.size)) this.#follow(job);
    clearTimeout(this.#timer);
    if (this.active.length > this.#followed.size)
      this.#timer = setTimeout(() => this.refresh().catch(() => this.#followSome()), POLL_MS);
  }

  async #follow(job) {
    const control = new AbortController();
    this.#followed.set(job.id, control);
    const onConnection = (connected) => {
      if (job.connected === connected) return;
      job.connected = connected;
      this.#tell("changed", job);
    };
    try {
      for await (const event of follow(job.id, control.signal, onConnection)) {
        take(job, event);
        this.#tell(job.active || job.status === "done" ? "changed" : "gone", job);
      }
    } catch (error) {
      job.status = "failed";
      job.error = { message: lost(error), field: null };
      this.#tell("gone", job);
    } finally {
      if (this.#followed.get(job.id) === control) this.#followed.delete(job.id);
      if (!control.signal.aborted) this.#followSome();
    }
  }
}

/** Sends a request once, however often it has to be sent: the worker knows it by its key. */
async function send(request) {
  const sent = {
    method: "POST",
    body: stringify(request),
    headers: { "idempotency-key": submissionKey() },
  };
  for (const wait of SEND_AGAIN_MS) {
    try {
      return parse(await (await ask("v1/jobs", sent)).text());
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      await pause(wait);
    }
  }
  return parse(await (await ask("v1/jobs", sent)).text());
}

const isActive = (status) => status === "queued" || status === "running";

function lost(error) {
  if (error instanceof ApiError && (error.status === 404 || error.status === 410))
    return "The worker no longer knows this picture: it was started anew.";
  return error.message;
}

/** One event of the stream. */
function take(job, { name, data }) {
  const item = job.items[data.image_index ?? 0];
  if (name === "queued") {
    job.position = data.position;
  } else if (name === "started") {
    job.status = "running";
  } else if (name === "progress" || name === "preview") {
    job.status = "running";
    if (!item) return;
    item.progress = data;
    if (name === "preview") item.preview = `data:image/${data.format ?? "png"};base64,${data.image}`;
  } else if (name === "complete") {
    job.status = "done";
    const { seeds, width, height, timing } = data;
    job.result = { seeds, width, height, timing };
    const images = data.images ?? [data.image];
    job.items.forEach((one, i) => {
      if (images[i]) one.loading = Promise.resolve(fromBase64(images[i], data.format ?? "png"));
    });
  } else if (name === "error") {
    job.status = "failed";
    job.error = data;
  } else if (name === "cancelled") {
    job.status = "cancelled";
  }
}

function fromBase64(text, format) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Blob([bytes], { type: `image/${format}` });
}
