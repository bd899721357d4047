// Pictures that a request takes: read, turned into what the worker can read, sent as data URLs.

/** Formats that the worker reads itself; any other that the browser knows is sent as PNG. */
const READ_BY_WORKER = ["image/png", "image/jpeg"];

export class Picture {
  constructor(blob, bitmap) {
    this.blob = blob;
    this.url = URL.createObjectURL(blob);
    this.width = bitmap.width;
    this.height = bitmap.height;
  }

  /**
   * Throws Error when the browser cannot read it. A picture of more than `mostPixels` is made
   * smaller, as the worker would refuse it.
   */
  static async read(file, mostPixels) {
    let bitmap;
    try {
      bitmap = await createImageBitmap(file);
    } catch {
      throw new Error("This file is not a picture that the browser can read.");
    }
    const ratio = Math.min(1, Math.sqrt(mostPixels / (bitmap.width * bitmap.height)));
    if (ratio === 1 && READ_BY_WORKER.includes(file.type)) return new Picture(file, bitmap);
    const canvas = document.createElement("canvas");
    canvas.width = Math.floor(bitmap.width * ratio);
    canvas.height = Math.floor(bitmap.height * ratio);
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    return new Picture(await toBlob(canvas), canvas);
  }

  dataUrl() {
    return asDataUrl(this.blob);
  }
}

export const toBlob = (canvas) =>
  new Promise((resolve) => canvas.toBlob((blob) => resolve(blob), "image/png"));

export const asDataUrl = (blob) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error("The picture could not be read again."));
    reader.readAsDataURL(blob);
  });

/** The first picture of a drop or of the clipboard. */
const pictureOf = (transfer) =>
  [...(transfer?.files ?? [])].find((file) => file.type.startsWith("image/"));

/** Lets a picture be chosen, dropped (anywhere on the page) or pasted; `give(file)` takes it. */
export function acceptPictures({ button, input, area, give }) {
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    if (input.files[0]) give(input.files[0]);
    input.value = "";
  });
  document.addEventListener("paste", (event) => {
    const file = pictureOf(event.clipboardData);
    // What has a text as well, as a copied page has, is meant as text where text goes.
    const text = event.target.matches("input, textarea") && event.clipboardData.types.includes("text/plain");
    if (file && !text) give(file);
  });
  let depth = 0; // dragenter and dragleave come for every element inside
  const mark = (change) => {
    depth = Math.max(0, depth + change);
    area.classList.toggle("wanted", depth > 0);
  };
  const onFiles = (name, act) =>
    document.addEventListener(name, (event) => {
      if (event.dataTransfer?.types.includes("Files")) act(event);
    });
  onFiles("dragenter", () => mark(1));
  onFiles("dragleave", () => mark(-1));
  onFiles("dragover", (event) => event.preventDefault());
  onFiles("drop", (event) => {
    event.preventDefault();
    mark(-Infinity);
    const file = pictureOf(event.dataTransfer);
    if (file) give(file);
  });
}
