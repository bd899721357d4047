// The mask: strokes over a picture, kept as a list, so that undoing is leaving the last one out.

import { toBlob } from "./picture.js";

const PAINT = "#ff2d78";

/** Draws a list of operations; what is opaque is masked. */
function draw(canvas, operations) {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.strokeStyle = context.fillStyle = PAINT;
  context.lineCap = context.lineJoin = "round";
  for (const one of operations) apply(context, one);
}

function apply(context, { kind, points, width }) {
  const { canvas } = context;
  if (kind === "clear") {
    context.clearRect(0, 0, canvas.width, canvas.height);
  } else if (kind === "invert") {
    context.globalCompositeOperation = "xor";
    context.fillRect(0, 0, canvas.width, canvas.height);
  } else {
    context.globalCompositeOperation = kind === "erase" ? "destination-out" : "source-over";
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(points[0].x, points[0].y);
    for (const { x, y } of points) context.lineTo(x, y);
    if (points.length === 1) context.lineTo(points[0].x + 0.01, points[0].y); // a dot
    context.stroke();
  }
  context.globalCompositeOperation = "source-over";
}

/** Dispatches `change` when the mask did, `close` when the user is done. */
export class MaskEditor extends EventTarget {
  #elements;
  #operations = [];
  #undone = [];
  #stroke = null;
  #drawn = 0;
  #tool = "paint";
  #cursor = null;

  constructor(elements) {
    super();
    this.#elements = elements;
    const { canvas } = elements;
    canvas.addEventListener("pointerdown", (event) => this.#press(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"])
      canvas.addEventListener(end, () => this.#release());
    canvas.addEventListener("pointerleave", () => this.#stroke || this.#showRing(null));
    canvas.addEventListener("blur", () => this.#showRing(null));
    canvas.addEventListener("focus", () => this.#showRing(this.#cursor ?? this.#middle()));
    elements.root.addEventListener("keydown", (event) => this.#key(event));
    elements.brush.addEventListener("click", () => this.#choose("paint"));
    elements.eraser.addEventListener("click", () => this.#choose("erase"));
    elements.size.addEventListener("input", () => this.#resize(0));
    elements.undo.addEventListener("click", () => this.undo());
    elements.redo.addEventListener("click", () => this.redo());
    elements.invert.addEventListener("click", () => this.#add({ kind: "invert" }));
    elements.clear.addEventListener("click", () => this.#add({ kind: "clear" }));
    elements.done.addEventListener("click", () => this.dispatchEvent(new Event("close")));
  }

  /** Begins anew over a picture; null forgets it. */
  setPicture(picture) {
    const { canvas, easel, picture: shown } = this.#elements;
    this.#operations = [];
    this.#undone = [];
    if (picture) {
      canvas.width = picture.width;
      canvas.height = picture.height;
      shown.src = picture.url;
      easel.style.setProperty("--ratio", picture.width / picture.height);
    }
    this.#resize(0);
    this.#cursor = null;
    this.#showRing(null);
    this.#update();
  }

  get operations() {
    return [...this.#operations];
  }

  /** Takes a list that `operations` gave for the same picture. */
  set operations(list) {
    this.#operations = [...list];
    this.#undone = [];
    this.#update();
  }

  get canvas() {
    return this.#elements.canvas;
  }

  get empty() {
    if (this.#operations.length === 0) return true;
    const pixels = this.#pixels();
    for (let i = 3; i < pixels.length; i += 4) if (pixels[i] > 127) return false;
    return true;
  }

  focus() {
    this.#elements.canvas.focus();
  }

  undo() {
    if (this.#operations.length) this.#undone.push(this.#operations.pop());
    this.#update();
  }

  redo() {
    if (this.#undone.length) this.#operations.push(this.#undone.pop());
    this.#update();
  }

  /** The mask as a PNG: white is made anew, black stays. */
  async toBlob() {
    const { width, height } = this.canvas;
    const copy = document.createElement("canvas");
    copy.width = width;
    copy.height = height;
    const context = copy.getContext("2d");
    const pixels = new ImageData(new Uint8ClampedArray(this.#pixels()), width, height);
    // Nothing between black and white: a grey edge would blend old and new.
    for (let i = 0; i < pixels.data.length; i += 4) {
      pixels.data.fill(pixels.data[i + 3] > 127 ? 255 : 0, i, i + 3);
      pixels.data[i + 3] = 255;
    }
    context.putImageData(pixels, 0, 0);
    return toBlob(copy);
  }

  #pixels() {
    const { width, height } = this.canvas;
    return this.canvas.getContext("2d", { willReadFrequently: true }).getImageData(0, 0, width, height)
      .data;
  }

  get #width() {
    const { canvas, size } = this.#elements;
    return Math.max(2, (Number(size.value) / 100) * Math.min(canvas.width, canvas.height));
  }

  #middle() {
    const { width, height } = this.canvas;
    return { x: width / 2, y: height / 2 };
  }

  #add(operation) {
    this.#operations.push(operation);
    this.#undone = [];
    this.#update();
  }

  #choose(tool) {
    this.#tool = tool;
    this.#elements.brush.setAttribute("aria-pressed", tool === "paint");
    this.#elements.eraser.setAttribute("aria-pressed", tool === "erase");
  }

  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) / box.width) * this.canvas.width,
      y: ((event.clientY - box.top) / box.height) * this.canvas.height,
    };
  }

  #press(event) {
    if (event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    const point = this.#at(event);
    this.#stroke = { kind: this.#tool, points: [point], width: this.#width };
    this.#operations.push(this.#stroke);
    this.#undone = [];
    this.#drawn = 0;
    this.#drawMore();
    this.#showRing(point);
  }

  #move(event) {
    const point = this.#at(event);
    this.#showRing(point);
    if (!this.#stroke) return;
    const passed = event.getCoalescedEvents?.() ?? [];
    this.#stroke.points.push(...(passed.length ? passed.map((one) => this.#at(one)) : [point]));
    this.#drawMore();
  }

  /** What the stroke has become longer by. */
  #drawMore() {
    const context = this.canvas.getContext("2d", { willReadFrequently: true });
    context.strokeStyle = PAINT;
    context.lineCap = context.lineJoin = "round";
    const { points } = this.#stroke;
    apply(context, { ...this.#stroke, points: points.slice(Math.max(0, this.#drawn - 1)) });
    this.#drawn = points.length;
  }

  #release() {
    if (!this.#stroke) return;
    this.#stroke = null;
    this.#update();
  }

  #key(event) {
    const command = event.ctrlKey || event.metaKey;
    if (command && event.key.toLowerCase() === "z") {
      event.shiftKey ? this.redo() : this.undo();
    } else if (command && event.key.toLowerCase() === "y") {
      this.redo();
    } else if (command || event.altKey || event.target === this.#elements.size) {
      return;
    } else if (event.key === "b") {
      this.#choose("paint");
    } else if (event.key === "e") {
      this.#choose("erase");
    } else if (event.key === "i") {
      this.#add({ kind: "invert" });
    } else if (event.key === "[" || event.key === "]") {
      this.#resize(event.key === "[" ? -2 : 2);
    } else if (event.target === this.canvas && event.key.startsWith("Arrow")) {
      this.#step(event.key, event.shiftKey);
    } else if (event.target === this.canvas && event.key === " ") {
      const point = this.#cursor ?? this.#middle();
      this.#add({ kind: this.#tool, points: [point], width: this.#width });
      this.#showRing(point);
    } else {
      return;
    }
    event.preventDefault();
  }

  #resize(change) {
    const { size } = this.#elements;
    size.value = Number(size.value) + change;
    size.style.setProperty("--part", `${((size.value - size.min) / (size.max - size.min)) * 100}%`);
    this.#showRing(this.#cursor ?? this.#middle());
  }

  #step(key, far) {
    const { width, height } = this.canvas;
    const stride = this.#width / (far ? 1 : 3);
    const at = this.#cursor ?? this.#middle();
    const dx = { ArrowLeft: -stride, ArrowRight: stride }[key] ?? 0;
    const dy = { ArrowUp: -stride, ArrowDown: stride }[key] ?? 0;
    this.#showRing({
      x: Math.min(width, Math.max(0, at.x + dx)),
      y: Math.min(height, Math.max(0, at.y + dy)),
    });
  }

  #showRing(point) {
    const { ring } = this.#elements;
    ring.hidden = point === null;
    if (point === null) return;
    this.#cursor = point;
    const box = this.canvas.getBoundingClientRect();
    const scale = box.width / this.canvas.width;
    ring.style.width = ring.style.height = `${this.#width * scale}px`;
    ring.style.left = `${point.x * scale}px`;
    ring.style.top = `${point.y * scale}px`;
  }

  #update() {
    draw(this.canvas, this.#operations);
    this.#elements.undo.disabled = this.#operations.length === 0;
    this.#elements.clear.disabled = this.#operations.length === 0;
    this.#elements.redo.disabled = this.#undone.length === 0;
    this.dispatchEvent(new Event("change"));
  }
}
