// The form: filled from the worker's capabilities, read as a request, told what is wrong.

const SAVED_NAME = "sdrbee.form";
const TEXTS = ["prompt", "negative_prompt", "prompt_syntax", "sampler", "schedule"];
const NUMBERS = ["width", "height", "steps", "guidance_scale", "strength"];
const SAVED = [...TEXTS, ...NUMBERS, "model", "seed", "n"];

const OPERATIONS = {
  text_to_image: "image_generation",
  image_to_image: "image_transform",
  inpaint: "image_inpaint",
};

/** What the user is told of a mode; `given` is whether there is a picture. */
const HINTS = {
  text_to_image: "",
  image_to_image: "Strength says how much of the picture is made anew.",
  inpaint: "What is painted is made anew.",
};

export class Form {
  #form;
  #capabilities = null;
  #rows = [];
  #given = { picture: false, mask: false };

  constructor(form) {
    this.#form = form;
    form.addEventListener("input", (event) => this.#changed(event.target));
    this.#byId("model").addEventListener("change", () => this.#showModel());
    this.#byId("swap").addEventListener("click", () => this.#swap());
    this.#byId("random-seed").addEventListener("click", () => this.fill({ seed: "" }));
    for (const button of form.querySelectorAll("[data-shape]"))
      button.addEventListener("click", () => this.setShape(Number(button.dataset.shape)));
  }

  /** Rows of LoRAs or controls: `read()` gives what the request has of them. */
  addRows(rows) {
    this.#rows.push(rows);
  }

  /** Takes what the worker can do; what the user has filled in stays. */
  setCapabilities(capabilities) {
    const first = this.#capabilities === null;
    this.#capabilities = capabilities;
    const { models, samplers, schedules, limits } = capabilities;
    fillSelect(this.#byId("model"), Object.keys(models));
    fillSelect(this.#byId("sampler"), samplers.map(nameOf), "default");
    fillSelect(this.#byId("schedule"), schedules.map(nameOf), "default");
    fillSelect(this.#byId("prompt_syntax"), capabilities.prompt_syntaxes);
    this.#byId("n").max = limits.images_per_job;
    this.#byId("steps").max = limits.steps;
    if (first) this.#restore();
    this.#showModel();
  }

  get capabilities() {
    return this.#capabilities;
  }

  get model() {
    return this.#capabilities?.models[this.#value("model")] ?? null;
  }

  /** "text_to_image", "image_to_image" or "inpaint", by what is given. */
  get mode() {
    if (!this.#given.picture) return "text_to_image";
    return this.#given.mask ? "inpaint" : "image_to_image";
  }

  setGiven(given) {
    this.#given = given;
    this.clearErrors();
    this.#showMode();
  }

  /** Width and height of these proportions, about as many pixels as the model's own size has. */
  setShape(ratio) {
    const [width, height] = this.model.default_size;
    const multiple = this.model.sizes?.multiple ?? 8;
    const rounded = (side) => Math.max(multiple, Math.round(side / multiple) * multiple);
    const side = Math.sqrt(width * height * ratio);
    this.fill({ width: rounded(side), height: rounded(side / ratio) });
  }

  /** Puts values into fields by their names; null empties one. */
  fill(values) {
    for (const [name, value] of Object.entries(values)) {
      const field = this.#form.elements[name];
      if (!field) continue;
      const text = value === null || value === undefined ? "" : String(value);
      if (field.tagName === "SELECT" && ![...field.options].some((one) => one.value === text)) continue;
      field.value = text;
    }
    this.#showModel();
    this.#save();
  }

  /** All fields of a request that made a picture; what it leaves open is left open. */
  fillFrom(request, { model, seed, count = 1 }) {
    const values = Object.fromEntries([...TEXTS, ...NUMBERS].map((name) => [name, request[name]]));
    this.fill({ model });
    this.fill({ ...values, seed: seed ?? "", n: count });
    for (const rows of this.#rows) rows.fill(request[rows.name] ?? []);
  }

  /** The request without pictures: those fields that say something. */
  async read() {
    const request = { operation: OPERATIONS[this.mode], model: this.#value("model") };
    for (const name of TEXTS) if (this.#value(name)) request[name] = this.#value(name);
    request.prompt ??= "";
    for (const name of NUMBERS) {
      const hidden = this.#form.elements[name].closest("[hidden]");
      if (!hidden && this.#value(name)) request[name] = Number(this.#value(name));
    }
    if (/^\d+$/.test(this.#value("seed"))) request.seed = this.#value("seed");
    if (this.#value("n")) request.n = Number(this.#value("n"));
    for (const rows of this.#rows) Object.assign(request, await rows.read());
    return request;
  }

  /** What the form itself can see to be wrong: `{field, message}` or null. */
  check() {
    if (!this.model) return { field: "model", message: "The worker has no model." };
    if (this.#value("seed") && !/^\d+$/.test(this.#value("seed")))
      return { field: "seed", message: "A seed is a whole number, or nothing for a random one." };
    for (const name of [...NUMBERS, "n"])
      if (this.#form.elements[name].validity.badInput)
        return { field: name, message: "This is not a number." };
    return this.#missingPicture();
  }

  /** Shows what is wrong next to its field. False when no field has this name. */
  showError(field, message) {
    const name = (field ?? "").split(/[.[]/)[0];
    const box = this.#form.querySelector(`[data-names~="${CSS.escape(name)}"]`);
    if (!box || !name || box.hidden) return false;
    const text = document.createElement("p");
    text.className = "error";
    text.id = `error-${name}`;
    text.setAttribute("role", "alert");
    text.textContent = sentence(message);
    box.append(text);
    box.classList.add("wrong");
    const input =
      this.#form.elements[name] ?? box.querySelector("input:not([tabindex='-1']), button, select");
    input?.setAttribute("aria-invalid", "true");
    input?.setAttribute("aria-describedby", text.id);
    input?.focus();
    return true;
  }

  clearErrors() {
    for (const text of this.#form.querySelectorAll(".error")) text.remove();
    for (const box of this.#form.querySelectorAll(".wrong")) box.classList.remove("wrong");
    for (const input of this.#form.querySelectorAll("[aria-invalid]")) {
      input.removeAttribute("aria-invalid");
      input.removeAttribute("aria-describedby");
    }
  }

  #missingPicture() {
    const can = this.model.capabilities;
    if (can[this.mode] !== false) return null;
    return { field: "image", message: this.#wish(can) };
  }

  /** What a model that cannot do this mode would need instead. */
  #wish(can) {
    const model = this.#value("model");
    if (can.inpaint && !can.text_to_image && !can.image_to_image)
      return this.#given.picture
        ? `${model} repaints parts of a picture: paint a mask.`
        : `${model} repaints parts of a picture: add one and paint a mask.`;
    return this.#given.picture
      ? `${model} does not take ${this.#given.mask ? "a mask" : "a picture"}.`
      : `${model} needs a picture to start from.`;
  }

  #showModel() {
    const { model } = this;
    if (!model) return;
    const { capabilities: can, sizes, default_size: size } = model;
    for (const box of this.#form.querySelectorAll("[data-needs]"))
      box.hidden = !can[box.dataset.needs];
    this.#byId("guidance-field").hidden = !(can.guidance || can.distilled_guidance);
    ["width", "height"].forEach((name, i) => {
      const field = this.#byId(name);
      field.placeholder = size[i];
      field.step = sizes?.multiple ?? 1;
      field.min = sizes?.minimum ?? 1;
    });
    for (const rows of this.#rows) rows.setModel(model, this.#capabilities);
    this.#byId("input-label").textContent = can.reference_image
      ? "Reference picture"
      : "Picture to start from";
    this.#showMode();
  }

  #showMode() {
    const { model, mode } = this;
    if (!model) return;
    this.#byId("strength-field").hidden = mode === "text_to_image";
    const defaults = model.defaults?.[mode] ?? {};
    for (const name of ["steps", "guidance_scale", "strength"]) {
      this.#byId(name).placeholder = defaults[name] === undefined ? "" : tidy(defaults[name]);
      this.#showSlider(name);
    }
    const can = model.capabilities;
    this.#byId("mode-hint").textContent = can[mode] === false ? this.#wish(can) : HINTS[mode];
  }

  #changed(target) {
    const slider = target.dataset.for;
    if (slider) this.#byId(slider).value = target.value;
    else if (NUMBERS.includes(target.name)) this.#showSlider(target.name);
    if (target.closest(".wrong")) this.clearErrors();
    this.#save();
  }

  /** The slider of a number follows it, and its default where it is empty. */
  #showSlider(name) {
    const slider = this.#form.querySelector(`[data-for="${name}"]`);
    if (!slider) return;
    const field = this.#byId(name);
    slider.value = field.value || field.placeholder;
    slider.classList.toggle("unset", field.value === "");
    const part = (slider.value - slider.min) / (slider.max - slider.min);
    slider.style.setProperty("--part", `${part * 100}%`);
  }

  #swap() {
    const [width, height] = ["width", "height"].map((name, i) =>
      this.#value(name) || String(this.model?.default_size[i] ?? ""),
    );
    this.fill({ width: height, height: width });
  }

  #byId(id) {
    return this.#form.querySelector(`#${id}`);
  }

  #value(name) {
    return this.#form.elements[name].value.trim();
  }

  #save() {
    const values = Object.fromEntries(SAVED.map((name) => [name, this.#form.elements[name].value]));
    sessionStorage.setItem(SAVED_NAME, JSON.stringify(values));
  }

  #restore() {
    const saved = sessionStorage.getItem(SAVED_NAME);
    if (saved) this.fill(JSON.parse(saved));
  }
}

const nameOf = (one) => (typeof one === "string" ? one : one.name);
const tidy = (number) => String(Number(Number(number).toPrecision(4)));

/** "[steps] expected 1..1000 but got 0" as a sentence of its own. */
export function sentence(message) {
  const text = message.replace(/^\[[\w.[\]]+\] /, "");
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}

function fillSelect(select, names, open) {
  const chosen = select.value;
  const options = names.map((name) => new Option(name, name));
  if (open !== undefined) options.unshift(new Option(open, ""));
  select.replaceChildren(...options);
  if (names.includes(chosen)) select.value = chosen;
}
