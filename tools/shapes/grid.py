"""Renders the README's grid of prompts and pictures with the built-in model through sdrbee."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

import numpy as np
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


def render(columns: int, steps: int, seed: int) -> Image.Image:
    """The prompts of `PROMPTS`, row by row, each below its picture."""
    model = sdrbee.load("shapes")
    rows = len(PROMPTS) // columns
    size = (columns * (CELL + GAP) + GAP, rows * (CELL + CAPTION + GAP) + GAP)
    sheet = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for number, prompt in enumerate(PROMPTS[: rows * columns]):
        pixels = np.asarray(model.generate(prompt, seed=seed, steps=steps))
        picture = Image.fromarray(pixels).resize((CELL, CELL), Image.Resampling.BICUBIC)
        left = GAP + number % columns * (CELL + GAP)
        top = GAP + number // columns * (CELL + CAPTION + GAP)
        sheet.paste(picture, (left, top))
        words = "\n".join(textwrap.wrap(prompt, 32))
        pen.text((left, top + CELL + 3), words, fill="black", font=font, spacing=1)
    return sheet


def main() -> None:
    """Renders the grid of prompts and pictures."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images/shapes_grid.png"))
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    render(options.columns, options.steps, options.seed).save(options.out, optimize=True)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
