// Rows of the form that a request may have several of: LoRAs, words, and what follows pictures.

import { Picture } from "./picture.js";

let rowCount = 0;

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

function numberField(label, value, { min, max, step }) {
  const field = element("input", { type: "number", value, min, max, step, inputMode: "decimal" });
  return element("label", { className: "caption", textContent: label }, field);
}

function nameField(label, listId, value) {
  const field = element("input", { value, className: "name" });
  field.setAttribute("list", listId);
  return element("label", { className: "caption", textContent: label }, field);
}

function removeButton(row, what) {
  const button = element("button", { type: "button", className: "icon", ariaLabel: `Remove ${what}` });
  button.append(icon("close"));
  button.addEventListener("click", () => row.remove());
  return button;
}

function choiceField(label, choices, value) {
  const options = Object.entries(choices).map(([name, text]) => new Option(text, name));
  const field = element("select", {}, ...options);
  field.value = value;
  return element("label", { className: "caption", textContent: label }, field);
}

/** A button that takes a picture, or several; `pictures` is empty until there is one. */
function pictureField(label, { mostPixels, wrong, multiple = false }) {
  const shown = element("img", { alt: "", hidden: true });
  const text = element("span", { textContent: label });
  const button = element("button", { type: "button", className: "choose small" }, icon("input"), shown, text);
  const input = element("input", { type: "file", accept: "image/*", className: "hidden-file", tabIndex: -1, multiple });
  input.ariaHidden = "true";
  const field = { nodes: [button, input], pictures: [] };
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", async () => {
    const files = [...input.files];
    if (files.length === 0) return;
    try {
      field.pictures = await Promise.all(files.map((file) => Picture.read(file, mostPixels())));
    } catch (error) {
      wrong(error.message);
      return;
    }
    shown.src = field.pictures[0].url;
    shown.hidden = false;
    const more = files.length > 1 ? ` and ${files.length - 1} more` : "";
    text.textContent = `${label}: ${files[0].name}${more}`;
  });
  return field;
}

/** What a request calls an adapter; recipes call a control's network its model, maybe by its path. */
export const adapterName = ({ name, model }) => name ?? model?.split("/").pop() ?? "";

function fillNames(list, names) {
  list.replaceChildren(...(names ?? []).map((name) => new Option(name)));
}

/** `loras`: a name and a strength each. */
export class LoraRows {
  name = "loras";
  #box;
  #names;

  constructor({ box, add, names }) {
    this.#box = box;
    this.#names = names;
    add.addEventListener("click", () => this.#add("", 1).querySelector(".name").focus());
  }

  setModel(model, capabilities) {
    fillNames(this.#names, model.loras ?? capabilities.loras);
  }

  fill(loras) {
    this.#box.replaceChildren();
    for (const { name, strength } of loras) this.#add(name, strength ?? 1);
  }

  read() {
    if (this.#box.closest("[hidden]")) return {};
    const loras = [...this.#box.children].map((row) => {
      const [name, strength] = row.querySelectorAll("input");
      return { name: name.value.trim(), strength: Number(strength.value || 1) };
    });
    return loras.length ? { loras } : {};
  }

  #add(name, strength) {
    const row = element("div", { className: "row" });
    row.append(
      nameField("Name", this.#names.id, name),
      numberField("Strength", strength, { min: -4, max: 4, step: 0.05 }),
      removeButton(row, "this LoRA"),
    );
    this.#box.append(row);
    return row;
  }
}

/** `embeddings`: the name of a textual inversion, and the word that stands for it in the prompt. */
export class EmbeddingRows {
  name = "embeddings";
  #box;
  #names;

  constructor({ box, add, names }) {
    this.#box = box;
    this.#names = names;
    add.addEventListener("click", () => this.#add("", "").querySelector(".name").focus());
  }

  setModel(model) {
    fillNames(this.#names, model.embeddings);
  }

  fill(embeddings) {
    this.#box.replaceChildren();
    for (const { name, token } of embeddings) this.#add(name, token ?? "");
  }

  read() {
    if (this.#box.closest("[hidden]")) return {};
    const embeddings = [...this.#box.children].map((row) => {
      const [name, word] = row.querySelectorAll("input");
      const token = word.value.trim();
      return { name: name.value.trim(), ...(token ? { token } : {}) };
    });
    return embeddings.length ? { embeddings } : {};
  }

  #add(name, token) {
    const row = element("div", { className: "row" });
    const word = element("input", { value: token, placeholder: "its name" });
    row.append(
      nameField("Name", this.#names.id, name),
      element("label", { className: "caption", textContent: "Word" }, word),
      removeButton(row, "this word"),
    );
    this.#box.append(row);
    return row;
  }
}

/** Rows with a name, pictures, a strength, and the part of the steps in which they act. */
class PictureRows {
  #box;
  #names;
  #fields = new Map();
  #one;
  #pictures;

  /** `one` is what the button that removes a row calls it, `label` what the one for pictures says. */
  constructor({ box, add, names, one, label, multiple, mostPixels, wrong }) {
    this.#box = box;
    this.#names = names;
    this.#one = one;
    this.#pictures = () => pictureField(label, { mostPixels, wrong, multiple });
    add.addEventListener("click", () => this.#add({}).querySelector(".name").focus());
  }

  /** Further fields of a row. */
  moreFields() {
    return [];
  }

  setModel(model, capabilities) {
    fillNames(this.#names, model.controls ?? capabilities.controls);
  }

  fill(rows) {
    this.#box.replaceChildren();
    for (const one of rows) this.#add(one);
  }

  async read() {
    if (this.#box.closest("[hidden]")) return {};
    const rows = [];
    for (const row of this.#box.children) {
      const [strength, start, end] = row.querySelectorAll("input[type=number]");
      const { pictures } = this.#fields.get(row.id);
      rows.push({
        name: row.querySelector(".name").value.trim(),
        strength: Number(strength.value || 1),
        start: Number(start.value || 0),
        end: Number(end.value || 1),
        ...this.readMore(row, await Promise.all(pictures.map((picture) => picture.dataUrl()))),
      });
    }
    return rows.length ? { [this.name]: rows } : {};
  }

  #add(values) {
    const { strength = 1, start = 0, end = 1 } = values;
    const row = element("div", { className: "row control", id: `row-${++rowCount}` });
    const field = this.#pictures();
    this.#fields.set(row.id, field);
    row.append(
      nameField("Name", this.#names.id, adapterName(values)),
      removeButton(row, this.#one),
      ...field.nodes,
      numberField("Strength", strength, { min: 0, max: 2, step: 0.05 }),
      numberField("From", start, { min: 0, max: 1, step: 0.05 }),
      numberField("Until", end, { min: 0, max: 1, step: 0.05 }),
      ...this.moreFields(values),
    );
    this.#box.append(row);
    return row;
  }
}

const MODES = {
  balanced: "The prompt and the control alike",
  prompt: "The prompt more than the control",
  control: "The control more than the prompt",
};

/** `controls`: ControlNets and T2I-Adapters. */
export class ControlRows extends PictureRows {
  name = "controls";

  constructor(options) {
    super({ ...options, one: "this control", label: "Picture" });
  }

  moreFields({ mode = "balanced" }) {
    return [choiceField("What counts", MODES, mode)];
  }

  readMore(row, [image]) {
    const mode = row.querySelector("select").value;
    return { ...(image ? { image } : {}), ...(mode === "balanced" ? {} : { mode }) };
  }
}

/** `ip_adapters`: pictures that act as a prompt does. */
export class IpAdapterRows extends PictureRows {
  name = "ip_adapters";

  constructor(options) {
    super({ ...options, one: "this picture prompt", label: "Pictures", multiple: true });
  }

  readMore(_row, images) {
    if (images.length > 1) return { images };
    return images.length ? { image: images[0] } : {};
  }
}

/** `control_image`: the one picture of models that are made for it. */
export class ControlImage {
  name = "control_image";
  #box;
  #field;

  constructor({ box, mostPixels, wrong }) {
    this.#box = box;
    this.#field = pictureField("Choose a picture", { mostPixels, wrong });
    box.append(...this.#field.nodes);
  }

  setModel() {}

  fill() {}

  async read() {
    const [picture] = this.#field.pictures;
    if (!picture || this.#box.closest("[hidden]")) return {};
    return { control_image: await picture.dataUrl() };
  }
}
