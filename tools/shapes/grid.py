"""Renders the README's grid of prompts and pictures with the built-in model through sdrbee."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import sdrbee

PROMPTS = (
    "a large red heart on a white background",
    "a yellow star on a blue background",
    "a small green ring on a black and pink background",
    "an orange diamond on a cyan background",
    "a red circle left of a blue square on a yellow background",
    "a large green triangle right of a small purple star on a white background",
    "a pink heart above a cyan cross on a black background",
    "a white ring below an orange star on a purple background",
    "a blue diamond left of a large yellow circle on a green and white background",
    "a small black cross above a large red ring on a cyan background",
    "a purple triangle below a white square on an orange and black background",
    "a cyan star right of a pink diamond on a blue background",
    "a large white cross on a red and blue background",
    "a black heart left of a red heart on a pink background",
    "a large purple circle on a yellow and orange background",
    "a green square above a yellow triangle on a white and black background",
)
CELL, CAPTION, GAP = 192, 44, 12


def captioned(cells: list[tuple[str, NDArray[np.uint8]]], columns: int) -> Image.Image:
    """Captions and pictures [128, 128, 3], row by row, each caption below its picture."""
    rows = -(-len(cells) // columns)
    size = (columns * (CELL + GAP) + GAP, rows * (CELL + CAPTION + GAP) + GAP)
    sheet = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for number, (caption, pixels) in enumerate(cells):
        picture = Image.fromarray(pixels).resize((CELL, CELL), Image.Resampling.BICUBIC)
        left = GAP + number % columns * (CELL + GAP)
        top = GAP + number // columns * (CELL + CAPTION + GAP)
        sheet.paste(picture, (left, top))
        words = "\n".join(textwrap.wrap(caption, 32))
        pen.text((left, top + CELL + 3), words, fill="black", font=font, spacing=1)
    return sheet


def options_of_grid(description: str | None, name: str) -> argparse.ArgumentParser:
    """The options of what draws the README's picture `name`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, default=Path("docs/images") / name)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    return parser


def save(sheet: Image.Image, path: Path) -> None:
    """Writes a sheet, with the folders to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)
    print(f"wrote {path}")


def main() -> None:
    """Renders the grid of prompts and pictures."""
    parser = options_of_grid(main.__doc__, "shapes_grid.png")
    parser.add_argument("--columns", type=int, default=4)
    options = parser.parse_args()
    model = sdrbee.load("shapes")
    wanted = {"seed": options.seed, "steps": options.steps}
    cells = [(prompt, np.asarray(model.generate(prompt, **wanted))) for prompt in PROMPTS]
    save(captioned(cells, options.columns), options.out)


if __name__ == "__main__":
    main()
