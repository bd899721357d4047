// The page: its parts wired together.

import {
  ApiError,
  Unreachable,
  ask,
  askForKeyAgain,
  askForKeyWith,
  askJson,
  hasKey,
  pause,
  requestKey,
} from "./api.js";
import { ControlImage, ControlRows, EmbeddingRows, IpAdapterRows, LoraRows } from "./adapters.js";
import { Form, sentence } from "./form.js";
import { Gallery } from "./gallery.js";
import { Jobs } from "./jobs.js";
import { MaskEditor } from "./mask.js";
import { Picture, acceptPictures } from "./picture.js";
import { readRecipe } from "./recipe.js";
import { Stage } from "./stage.js";

const READY_POLL_MS = 10_000;
const NOT_READY_POLL_MS = 1_500;
const MOST_PIXELS = 16_777_216; // until the worker has told its own limit

const $ = (id) => document.getElementById(id);

const form = new Form($("form"));
const jobs = new Jobs();
const gallery = new Gallery({ list: $("tiles"), empty: $("gallery-empty") });
const stage = new Stage(expectedRatio);
const mask = new MaskEditor({
  root: $("editor"),
  canvas: $("mask"),
  easel: $("easel"),
  picture: $("easel-picture"),
  ring: $("ring"),
  brush: $("brush"),
  eraser: $("eraser"),
  size: $("brush-size"),
  undo: $("undo"),
  redo: $("redo"),
  invert: $("invert"),
  clear: $("clear"),
  done: $("mask-done"),
});
let given = null; // the picture to start from

const mostPixels = () => form.capabilities?.limits.pixels ?? MOST_PIXELS;
const rowOptions = { mostPixels, wrong: (message) => showProblem(message) };
form.addRows(new LoraRows({ box: $("loras"), add: $("add-lora"), names: $("lora-names") }));
form.addRows(
  new EmbeddingRows({ box: $("embeddings"), add: $("add-embedding"), names: $("embedding-names") }),
);
form.addRows(new ControlImage({ box: $("control-image"), ...rowOptions }));
form.addRows(
  new ControlRows({ box: $("controls"), add: $("add-control"), names: $("control-names"), ...rowOptions }),
);
form.addRows(
  new IpAdapterRows({
    box: $("ip-adapters"),
    add: $("add-ip-adapter"),
    names: $("ip-adapter-names"),
    ...rowOptions,
  }),
);

// ---- The picture to start from and its mask

async function give(file) {
  form.clearErrors();
  try {
    setPicture(await Picture.read(file, mostPixels()));
  } catch (error) {
    form.showError("image", error.message);
    return;
  }
  fitSize();
  const recipe = await readRecipe(file);
  $("use-recipe").hidden = recipe === null;
  $("use-recipe").onclick = () => useRecipe(recipe);
}

/** The form as it was for a picture that was made elsewhere; the picture itself is no input then. */
function useRecipe({ request }) {
  setPicture(null);
  form.fillFrom(request, { model: $("model").value, seed: request.seed });
  $("prompt").focus();
}

function setPicture(picture) {
  given = picture;
  closeEditor();
  mask.setPicture(picture);
  $("given").hidden = picture === null;
  $("choose").hidden = picture !== null;
  $("use-recipe").hidden = true;
  if (picture) {
    $("given-picture").src = picture.url;
    $("given-mask").width = picture.width;
    $("given-mask").height = picture.height;
  }
  showGiven();
}

/** A picture much larger than the model's own size is asked for in that size. */
function fitSize() {
  const { model } = form;
  if (!model) return;
  const own = model.default_size[0] * model.default_size[1];
  const pixels = given.width * given.height;
  if (pixels > own * 2 || pixels < own / 2) form.setShape(given.width / given.height);
  else form.fill({ width: null, height: null });
}

function showGiven() {
  const painted = given !== null && !mask.empty;
  form.setGiven({ picture: given !== null, mask: painted });
  $("paint").lastElementChild.textContent = painted ? "Edit the mask" : "Paint a mask";
  const small = $("given-mask").getContext("2d");
  small.clearRect(0, 0, small.canvas.width, small.canvas.height);
  if (painted) small.drawImage(mask.canvas, 0, 0);
}

function openEditor() {
  $("stage").classList.add("editing");
  $("editor").hidden = false;
  mask.focus();
  $("stage").scrollIntoView({ block: "nearest" });
}

function closeEditor() {
  if ($("editor").hidden) return;
  $("stage").classList.remove("editing");
  $("editor").hidden = true;
}

function leaveEditor() {
  closeEditor();
  $("paint").focus();
}

acceptPictures({ button: $("choose"), input: $("file"), area: $("drop"), give });
mask.addEventListener("change", showGiven);
mask.addEventListener("close", leaveEditor);
$("paint").addEventListener("click", openEditor);
$("remove").addEventListener("click", () => {
  setPicture(null);
  $("choose").focus();
});

// ---- Sending

/** The form as a request with its pictures, and what it takes to fill the form with it again. */
async function readRequest() {
  const request = await form.read();
  const fields = { ...request };
  if (given) {
    request[form.mode === "inpaint" ? "init_image" : "input_image"] = await given.dataUrl();
    if (form.mode === "inpaint")
      request.mask_image = await new Picture(await mask.toBlob(), given).dataUrl();
  }
  return { request, inputs: { fields, picture: given, mask: mask.operations } };
}

async function generate() {
  showProblem(null);
  form.clearErrors();
  const wrong = form.check();
  if (wrong) return void form.showError(wrong.field, wrong.message);
  askForKeyAgain();
  $("generate").setAttribute("aria-busy", "true");
  try {
    const { request, inputs } = await readRequest();
    closeEditor();
    choose((await jobs.submit(request, inputs)).items[0]);
    $("stage").scrollIntoView({ block: "nearest" });
    announce("Sent");
  } catch (error) {
    showError(error);
  } finally {
    $("generate").removeAttribute("aria-busy");
  }
}

function showError(error) {
  if (!(error instanceof ApiError)) return showProblem(error.message);
  if (error.field && form.showError(error.field, error.message)) return;
  const later = error.retryAfter ? ` Try again in ${error.retryAfter} s.` : "";
  showProblem(sentence(error.message) + later);
}

function showProblem(message) {
  $("problem").hidden = message === null;
  $("problem").textContent = message ?? "";
}

async function cancel() {
  const job = stage.item?.job.active ? stage.item.job : jobs.active.at(-1);
  if (!job) return;
  stage.markCancelling(job);
  try {
    await jobs.cancel(job);
  } catch (error) {
    showError(error);
  }
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  generate();
});
$("cancel").addEventListener("click", cancel);
document.addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]")) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    generate();
  } else if (event.key === "Escape" && !event.defaultPrevented) {
    if ($("editor").hidden) cancel();
    else leaveEditor();
  }
});

// ---- What there is to see

function choose(item) {
  closeEditor();
  jobs.watch(item.job);
  gallery.mark(item);
  stage.show(item);
}

function expectedRatio({ job }) {
  const { width, height } = job.request;
  if (width && height) return width / height;
  const picture = job.inputs?.picture;
  if (picture) return picture.width / picture.height;
  const size = form.capabilities?.models[job.model]?.default_size ?? [1, 1];
  return size[0] / size[1];
}

jobs.addEventListener("added", ({ detail: job }) => {
  gallery.add(job);
});
jobs.addEventListener("changed", ({ detail: job }) => {
  gallery.update(job);
  if (!job.connected) lookNow();
  if (stage.item?.job !== job) return;
  if (job.status === "done") announce("The picture is ready");
  stage.update();
  showTitle();
});
jobs.addEventListener("gone", ({ detail: job }) => {
  gallery.remove(job);
  if (stage.item?.job !== job) return;
  announce(job.status === "cancelled" ? "Cancelled" : "It failed");
  stage.show(job.status === "failed" ? job.items[0] : (firstDone() ?? null));
  gallery.mark(stage.item);
  showTitle();
});
gallery.addEventListener("choose", ({ detail: item }) => choose(item));

const firstDone = () => jobs.all.find((job) => job.status === "done")?.items[0];

function showTitle() {
  const job = stage.item?.job;
  const percent = job?.active ? job.percent : null;
  document.title = percent === null || percent === undefined ? "sdrbee" : `${Math.round(percent)} % · sdrbee`;
}

function announce(text) {
  $("announcer").textContent = text;
}

// ---- What can be done with a picture

/** Fills the form with what made a picture. False when the picture it was made from is not here. */
function reuse({ job, seed }) {
  const { inputs } = job;
  setPicture(inputs?.picture ?? null);
  if (inputs?.picture) mask.operations = inputs.mask;
  form.fillFrom(inputs?.fields ?? job.request, { model: job.model, seed });
  if (inputs || job.operation === "image_generation") return true;
  form.showError("image", "This was made from a picture that the page no longer has: add it again.");
  return false;
}

$("reuse").addEventListener("click", () => {
  if (reuse(stage.item)) $("prompt").focus();
});
$("again").addEventListener("click", () => {
  if (reuse(stage.item)) generate();
});
$("as-input").addEventListener("click", async () => {
  const { item } = stage;
  await give(new File([await item.blob()], "input.png", { type: "image/png" }));
  $("paint").focus();
});

// ---- The key

askForKeyWith((wrong) => {
  const dialog = $("key-dialog");
  $("key-text").hidden = wrong;
  $("key-form").querySelector(".error")?.remove();
  if (wrong) {
    const text = document.createElement("p");
    text.className = "error";
    text.setAttribute("role", "alert");
    text.textContent = "The worker does not know this key.";
    $("key").after(text);
  }
  $("key").value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => {
      $("change-key").hidden = false;
      resolve(dialog.returnValue === "given" ? $("key").value.trim() : null);
    };
  });
});
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  $("key-dialog").close("given");
});
$("key-cancel").addEventListener("click", () => $("key-dialog").close(""));
$("change-key").addEventListener("click", async () => {
  if (await requestKey()) location.reload();
});
$("change-key").hidden = !hasKey();

// ---- The worker's state

function showState(state, text) {
  const shown = $("state");
  shown.dataset.state = state;
  if (shown.textContent !== text) shown.textContent = text;
}

async function checkReady() {
  try {
    await ask("ready");
    showState("ready", "Ready");
    return true;
  } catch (error) {
    if (error instanceof Unreachable) showState("gone", "The worker does not answer; trying again");
    else showState("loading", sentence(error.message));
    return false;
  }
}

/** True once capabilities and gallery are there. */
async function loadAll() {
  try {
    form.setCapabilities(await askJson("v1/capabilities"));
    await jobs.refresh();
    const first = jobs.active.at(-1)?.items[0] ?? firstDone();
    if (first && !stage.item) choose(first);
    return true;
  } catch (error) {
    if (!(error instanceof Unreachable)) showError(error);
    return false;
  }
}

let lookNow = () => {};

async function watchWorker() {
  let wasReady = false;
  let loaded = false;
  for (;;) {
    const ready = await checkReady();
    if (!loaded || (ready && !wasReady)) loaded = await loadAll();
    wasReady = ready;
    const wait = pause(ready ? READY_POLL_MS : NOT_READY_POLL_MS);
    await Promise.race([wait, new Promise((resolve) => (lookNow = resolve))]);
  }
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && form.capabilities) jobs.refresh().catch(() => {});
});
setPicture(null);
if (/^Mac|^iP/.test(navigator.platform)) $("shortcut").textContent = "⌘ Enter";
if (matchMedia("(pointer: fine)").matches) $("prompt").focus(); // elsewhere it opens a keyboard
watchWorker();
