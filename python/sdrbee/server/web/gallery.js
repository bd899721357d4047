// The gallery: a tile for each picture, of those that are being made as well.

/** Dispatches `choose` with the item whose tile was pressed. */
export class Gallery extends EventTarget {
  #list;
  #empty;
  #tiles = new Map();
  #chosen = null;
  #seen;

  constructor({ list, empty }) {
    super();
    this.#list = list;
    this.#empty = empty;
    // Pictures are asked for when their tile comes into sight.
    this.#seen = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries)
        if (isIntersecting) this.#show(this.#tiles.get(target.dataset.item));
    });
    list.addEventListener("keydown", (event) => this.#key(event));
  }

  add(job) {
    for (const item of [...job.items].reverse()) {
      const tile = makeTile(item);
      this.#tiles.set(item.id, { item, ...tile });
      tile.button.addEventListener("click", () => this.#press(item));
      this.#place(item, tile.entry);
      this.#seen.observe(tile.entry);
    }
    this.#settle();
    this.update(job);
  }

  update(job) {
    for (const item of job.items) {
      const tile = this.#tiles.get(item.id);
      if (tile) this.#show(tile);
    }
  }

  /** Takes the tiles of a job away that made no picture. */
  remove(job) {
    for (const item of job.items) {
      const tile = this.#tiles.get(item.id);
      tile?.entry.remove();
      this.#tiles.delete(item.id);
    }
    this.#settle();
  }

  mark(item) {
    this.#chosen = item?.id ?? null;
    for (const [id, { button }] of this.#tiles) {
      if (id === this.#chosen) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
    this.#settle();
  }

  /** The newest first. */
  #place(item, entry) {
    const after = [...this.#list.children].find(
      (other) => this.#tiles.get(other.dataset.item).item.job.created <= item.job.created,
    );
    this.#list.insertBefore(entry, after ?? null);
  }

  /** One tile is in the order of Tab; arrows go from there. */
  #settle() {
    this.#empty.hidden = this.#tiles.size > 0;
    const one = this.#tiles.has(this.#chosen)
      ? this.#chosen
      : this.#list.firstElementChild?.dataset.item;
    for (const [id, { button }] of this.#tiles) button.tabIndex = id === one ? 0 : -1;
  }

  #press(item) {
    this.dispatchEvent(new CustomEvent("choose", { detail: item }));
  }

  #key(event) {
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    const entries = [...this.#list.children];
    const at = entries.indexOf(event.target.closest("li"));
    if (step === undefined || at < 0) return;
    event.preventDefault();
    const next = entries[Math.min(entries.length - 1, Math.max(0, at + step))];
    next.querySelector("button").focus();
    this.#press(this.#tiles.get(next.dataset.item).item);
  }

  async #show(tile) {
    if (!tile) return;
    const { item, picture, button, bar } = tile;
    const { job } = item;
    const percent = job.status === "done" ? null : (item.progress?.percent ?? 0);
    bar.hidden = percent === null;
    bar.style.setProperty("--done", `${percent ?? 100}%`);
    button.classList.toggle("waiting", job.status === "queued");
    button.setAttribute("aria-label", label(item));
    if (job.status !== "done") {
      if (item.preview) show(picture, item.preview);
      return;
    }
    try {
      show(picture, await item.load());
    } catch {
      button.classList.add("missing"); // no longer kept; pressing it says so
    }
  }
}

function show(picture, url) {
  picture.hidden = false;
  if (picture.src !== url) picture.src = url;
}

function label({ job, index }) {
  const which = job.items.length > 1 ? `${index + 1} of ${job.items.length}: ` : "";
  const state = { queued: "Waiting: ", running: "Being made: " }[job.status] ?? "";
  return `${state}${which}${job.request.prompt || "without a prompt"}`;
}

function makeTile(item) {
  const entry = document.createElement("li");
  entry.dataset.item = item.id;
  const button = document.createElement("button");
  button.type = "button";
  const picture = document.createElement("img");
  picture.alt = "";
  picture.hidden = true;
  const bar = document.createElement("span");
  bar.className = "tile-progress";
  button.append(picture, bar);
  entry.append(button);
  return { entry, button, picture, bar };
}
