// Rows of the form that a request may have several of: LoRAs, and controls with their pictures.

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

/** A button that takes one picture; `picture` is null until there is one. */
function pictureField(label, mostPixels, wrong) {
  const shown = element("img", { alt: "", hidden: true });
  const text = element("span", { textContent: label });
  const button = element("button", { type: "button", className: "choose small" }, icon("input"), shown, text);
  const input = element("input", { type: "file", accept: "image/*", className: "hidden-file", tabIndex: -1 });
  input.ariaHidden = "true";
  const field = { nodes: [button, input], picture: null };
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", async () => {
    if (!input.files[0]) return;
    try {
      field.picture = await Picture.read(input.files[0], mostPixels());
    } catch (error) {
      wrong(error.message);
      return;
    }
    shown.src = field.picture.url;
    shown.hidden = false;
    text.textContent = `${label}: ${input.files[0].name}`;
  });
  return field;
}

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

/** `controls`: a ControlNet's name, its picture, strength, and the part of the steps it acts in. */
export class ControlRows {
  name = "controls";
  #box;
  #names;
  #fields = new Map();
  #options;

  constructor({ box, add, names, mostPixels, wrong }) {
    this.#box = box;
    this.#names = names;
    this.#options = { mostPixels, wrong };
    add.addEventListener("click", () => this.#add({}).querySelector(".name").focus());
  }

  setModel(model, capabilities) {
    fillNames(this.#names, model.controls ?? capabilities.controls);
  }

  fill(controls) {
    this.#box.replaceChildren();
    for (const one of controls) this.#add(one);
  }

  async read() {
    if (this.#box.closest("[hidden]")) return {};
    const controls = [];
    for (const row of this.#box.children) {
      const [strength, start, end] = row.querySelectorAll("input[type=number]");
      const control = {
        name: row.querySelector(".name").value.trim(),
        strength: Number(strength.value || 1),
        start: Number(start.value || 0),
        end: Number(end.value || 1),
      };
      const { picture } = this.#fields.get(row.id);
      if (picture) control.image = await picture.dataUrl();
      controls.push(control);
    }
    return controls.length ? { controls } : {};
  }

  #add({ name = "", strength = 1, start = 0, end = 1 }) {
    const row = element("div", { className: "row control", id: `row-${++rowCount}` });
    const field = pictureField("Picture", this.#options.mostPixels, this.#options.wrong);
    this.#fields.set(row.id, field);
    row.append(
      nameField("Name", this.#names.id, name),
      removeButton(row, "this control"),
      ...field.nodes,
      numberField("Strength", strength, { min: 0, max: 2, step: 0.05 }),
      numberField("From", start, { min: 0, max: 1, step: 0.05 }),
      numberField("Until", end, { min: 0, max: 1, step: 0.05 }),
    );
    this.#box.append(row);
    return row;
  }
}

/** `control_image`: the one picture of models that are made for it. */
export class ControlImage {
  name = "control_image";
  #box;
  #field;

  constructor({ box, mostPixels, wrong }) {
    this.#box = box;
    this.#field = pictureField("Choose a picture", mostPixels, wrong);
    box.append(...this.#field.nodes);
  }

  setModel() {}

  fill() {}

  async read() {
    const { picture } = this.#field;
    if (!picture || this.#box.closest("[hidden]")) return {};
    return { control_image: await picture.dataUrl() };
  }
}
