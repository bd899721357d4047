"""Renders the README's picture of the built-in adapters: edges, what becomes of them, outlines."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import sdrbee
from tools.shapes.grid import captioned, options_of_grid, save
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


def cells(steps: int, seed: int) -> list[tuple[str, NDArray[np.uint8]]]:
    """Captions and pictures [128, 128, 3], from left to right."""
    model, edges = sdrbee.load("shapes"), edges_of(SCENE)
    control = {"model": "shapes-control", "image": edges}

    def make(prompt: str, **fields: Any) -> NDArray[np.uint8]:
        return np.asarray(model.generate(prompt, steps=steps, seed=seed, **fields))

    return [
        ("edges", edges),
        *((f"shapes-control: {prompt}", make(prompt, controls=[control])) for prompt in PROMPTS),
        ("without: the same prompt and seed", make(PROMPTS[1])),
        ("shapes-outline: the same prompt and seed", make(PROMPTS[1], loras=["shapes-outline"])),
    ]


def main() -> None:
    """Renders what the built-in ControlNet and LoRA do."""
    options = options_of_grid(main.__doc__, "shapes_adapters.png").parse_args()
    made = cells(options.steps, options.seed)
    save(captioned(made, len(made)), options.out)


if __name__ == "__main__":
    main()
