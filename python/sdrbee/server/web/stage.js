// The large picture: what is being made, or what was chosen in the gallery.

import { readRecipe, showRecipe } from "./recipe.js";
import { sentence } from "./form.js";

const $ = (id) => document.getElementById(id);

export class Stage {
  #item = null;
  #failure = null;
  #cancelling = new Set();
  #ratio;

  /** `ratio(item)` is the width to height of a picture that is not there yet. */
  constructor(ratio) {
    this.#ratio = ratio;
  }

  get item() {
    return this.#item;
  }

  /** Shows an item; null shows the empty stage. */
  show(item) {
    if (item !== this.#item) {
      this.#failure = null;
      $("picture").removeAttribute("src");
      $("picture").className = "";
    }
    this.#item = item;
    this.update();
  }

  showFailure(message) {
    this.#failure = sentence(message);
    this.update();
  }

  /** Between the press of "Cancel" and the worker's word. */
  markCancelling(job) {
    this.#cancelling.add(job.id);
    this.update();
  }

  update() {
    const item = this.#item;
    const job = item?.job;
    const failure = this.#failure ?? (job?.status === "failed" ? sentence(job.error.message) : null);
    $("failure").hidden = failure === null;
    if (failure !== null && $("failure").textContent !== failure) $("failure").textContent = failure;
    $("empty").hidden = item !== null || failure !== null;
    $("frame").hidden = item === null || failure !== null;
    $("running").hidden = !job?.active;
    $("actions").hidden = job?.status !== "done" || failure !== null;
    $("recipe").hidden = item === null;
    if (item === null) return;
    this.#frame(item);
    if (job.active) this.#showProgress(item);
    if (job.status === "done") this.#showPicture(item);
    else showRecipe($("recipe-rows"), item, null);
  }

  #frame(item) {
    const { result } = item.job;
    const ratio = result ? result.width / result.height : this.#ratio(item);
    $("frame").style.setProperty("--ratio", ratio);
    $("frame").classList.toggle("working", item.job.active);
  }

  #showProgress(item) {
    const { job, progress } = item;
    const percent = job.status === "queued" ? 0 : (progress?.percent ?? 0);
    $("progress").setAttribute("aria-valuenow", Math.round(percent));
    $("progress").firstElementChild.style.width = `${percent}%`;
    $("told").textContent = this.#told(item);
    $("cancel").disabled = this.#cancelling.has(job.id);
    if (item.preview) this.#showPreview(item.preview);
  }

  #told({ job, progress }) {
    if (!job.connected) return "The connection broke; trying again";
    if (this.#cancelling.has(job.id)) return "Cancelling";
    if (job.status === "queued") return waiting(job.position);
    if (!progress) return "Preparing";
    const of = progress.total ? ` of ${progress.total}` : "";
    const which = job.items.length > 1 ? `, picture ${progress.image_index + 1} of ${job.items.length}` : "";
    return `Step ${progress.step}${of}${which}`;
  }

  /** A preview has a fraction of the pixels; blurred it looks like a picture that comes into focus. */
  #showPreview(url) {
    const picture = $("picture");
    picture.alt = "Preview";
    picture.className = "preview";
    picture.onload = () => {
      const scale = picture.clientWidth / (picture.naturalWidth || 1);
      picture.style.setProperty("--blur", `${Math.min(24, scale / 2.5)}px`);
    };
    if (picture.src !== url) picture.src = url;
  }

  async #showPicture(item) {
    showRecipe($("recipe-rows"), item, null);
    try {
      const url = await item.load();
      if (this.#item !== item) return;
      const picture = $("picture");
      picture.onload = null;
      picture.className = "finished";
      picture.alt = item.job.request.prompt || "The picture";
      if (picture.src !== url) picture.src = url;
      $("download").href = url;
      $("download").download = `sdrbee-${item.seed ?? item.job.id}.png`;
      const recipe = await readRecipe(await item.blob());
      if (this.#item === item) showRecipe($("recipe-rows"), item, recipe);
    } catch (error) {
      if (this.#item === item) this.showFailure(error.message);
    }
  }
}

function waiting(position) {
  if (position === null || position === undefined) return "Waiting";
  if (position === 0) return "Next in the queue";
  return `Waiting, ${position} before it`;
}
