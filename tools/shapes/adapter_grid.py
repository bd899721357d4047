"""Renders the README's picture of the built-in adapters: edges, what becomes of them, outlines."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import sdrbee
from tools.shapes.scenes import Scene, Thing
from tools.shapes.score_control import edges_of

SCENE = Scene(
    (
        Thing("star", "red", "large", 36.0, 58.0, 24.0),
        Thing("ring", "blue", "medium", 95.0, 72.0, 20.0),
    ),
    ("white",),
    "left of",
)
PROMPTS = (
    "a large red star left of a blue ring on a white background",
    "a large yellow star left of a pink ring on a purple background",
)
CELL, CAPTION, GAP = 192, 44, 12


def cells(steps: int, seed: int) -> list[tuple[str, np.ndarray]]:
    """Captions and pictures [128, 128, 3], from left to right."""
    model, edges = sdrbee.load("shapes"), edges_of(SCENE)
    control = {"model": "shapes-control", "image": edges}

    def make(prompt: str, **fields: Any) -> np.ndarray:
        return np.asarray(model.generate(prompt, steps=steps, seed=seed, **fields))

    return [
        ("edges", edges),
        *((f"shapes-control: {prompt}", make(prompt, controls=[control])) for prompt in PROMPTS),
        ("without: the same prompt and seed", make(PROMPTS[1])),
        ("shapes-outline: the same prompt and seed", make(PROMPTS[1], loras=["shapes-outline"])),
    ]


def sheet(columns: list[tuple[str, np.ndarray]]) -> Image.Image:
    """The pictures side by side, each over its caption."""
    size = (len(columns) * (CELL + GAP) + GAP, CELL + CAPTION + 2 * GAP)
    whole = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(whole), ImageFont.load_default(size=12)
    for number, (caption, pixels) in enumerate(columns):
        picture = Image.fromarray(pixels).resize((CELL, CELL), Image.Resampling.BICUBIC)
        left = GAP + number * (CELL + GAP)
        whole.paste(picture, (left, GAP))
        words = "\n".join(textwrap.wrap(caption, 32))
        pen.text((left, GAP + CELL + 3), words, fill="black", font=font, spacing=1)
    return whole


def main() -> None:
    """Renders what the built-in ControlNet and LoRA do."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images/shapes_adapters.png"))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sheet(cells(options.steps, options.seed)).save(options.out, optimize=True)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
