// What a picture was made from: read from the PNG itself, shown as rows.

import { adapterName } from "./adapters.js";

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];

/** The recipe inside a PNG that sdrbee made; null where there is none. */
export async function readRecipe(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  if (!SIGNATURE.every((byte, i) => bytes[i] === byte)) return null;
  const view = new DataView(bytes.buffer);
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at);
    const type = latin1(bytes.subarray(at + 4, at + 8));
    const text = chunkText(type, bytes.subarray(at + 8, at + 8 + length));
    if (text?.keyword === "sdrbee") return parseRecipe(text.text);
    at += 12 + length;
  }
  return null;
}

function parseRecipe(text) {
  try {
    const recipe = JSON.parse(text);
    return typeof recipe?.request === "object" ? recipe : null;
  } catch {
    return null;
  }
}

function chunkText(type, content) {
  const end = content.indexOf(0);
  const keyword = latin1(content.subarray(0, end));
  if (type === "tEXt") return { keyword, text: latin1(content.subarray(end + 1)) };
  // iTXt: whether it is compressed, how, a language and a translated keyword come before the text.
  if (type !== "iTXt" || content[end + 1] !== 0) return null;
  const language = content.indexOf(0, end + 3);
  const translated = content.indexOf(0, language + 1);
  return { keyword, text: new TextDecoder().decode(content.subarray(translated + 1)) };
}

const latin1 = (bytes) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");

const ROWS = [
  ["Prompt", (request) => request.prompt],
  ["Negative prompt", (request) => request.negative_prompt],
  ["Read as", (request) => (request.prompt_syntax === "plain" ? "" : request.prompt_syntax)],
  ["Model", (_request, item) => item.job.model],
  ["Size", (request, item) => size(request, item)],
  ["Seed", (_request, item) => item.seed],
  ["Steps", (request) => request.steps],
  ["Guidance", (request) => request.guidance_scale],
  ["Strength", (request) => request.strength],
  ["Sampler", (request) => request.sampler],
  ["Schedule", (request) => request.schedule],
  ["LoRA", (request) => named(request.loras)],
  ["Words", (request) => named(request.embeddings)],
  // As they were asked for: recipes have picture prompts among the controls.
  ["Control", (_request, item) => named(item.job.request?.controls)],
  ["Picture prompts", (_request, item) => named(item.job.request?.ip_adapters)],
  ["Time", (_request, item) => seconds(item.job.result?.timing?.run_s)],
];

/** Fills a `<dl>`; `recipe` is that of the picture, where the job's request says less. */
export function showRecipe(list, item, recipe) {
  const request = { ...item.job.request, ...(recipe?.request ?? {}) };
  const rows = [];
  for (const [title, value] of ROWS) {
    const shown = value(request, item);
    if (shown === undefined || shown === null || shown === "") continue;
    const term = document.createElement("dt");
    const text = document.createElement("dd");
    term.textContent = title;
    text.textContent = typeof shown === "number" ? String(Number(shown.toPrecision(6))) : shown;
    if (title.toLowerCase().includes("prompt")) text.className = "wide";
    rows.push(term, text);
  }
  list.replaceChildren(...rows);
}

function size(request, item) {
  const { width, height } = item.job.result ?? request;
  return width && height ? `${width} × ${height}` : null;
}

const named = (list) => list?.map((one) => `${adapterName(one)} (${one.strength ?? 1})`).join(", ");
const seconds = (value) => (value === undefined ? null : `${value.toFixed(value < 10 ? 1 : 0)} s`);
