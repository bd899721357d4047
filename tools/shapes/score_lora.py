"""Scores the built-in LoRA: in how many pictures every thing has its outline (see style.py).

The same held-out prompts and seeds are rendered with the LoRA, with the LoRA at strength 0, and
without it: the last two have to be bit-identical, and without outlines.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from tools.shapes.draw import draw
from tools.shapes.scenes import Scene, caption, held_out_scenes
from tools.shapes.score import (
    Picture,
    in_batches,
    options_of_score,
    run_score,
    save_sheet,
    through_vae,
)
from tools.shapes.style import (
    LEAST_OUTLINED,
    STRICTLY_OUTLINED,
    draw_outlined,
    is_outlined,
)

SEED = 23  # of the scenes
JUDGE_BAR = 0.99


def render(
    model: str, loras: list[tuple[str, float]], scenes: list[Scene], steps: int
) -> list[Picture]:
    """One picture a scene; its seed is its number."""
    import sdrbee

    requests = [
        sdrbee.GenerationRequest(prompt=caption(scene), seed=seed, steps=steps, loras=loras)
        for seed, scene in enumerate(scenes)
    ]
    return in_batches(sdrbee.load(model), requests)


def outlined(pictures: list[Picture], scenes: list[Scene], least: float = LEAST_OUTLINED) -> float:
    """The share of pictures in which every thing has its outline."""
    found = [is_outlined(p, s, least) for p, s in zip(pictures, scenes, strict=True)]
    return float(np.mean(found))


def require_style_judge(model: str, count: int = 400, seed: int = 31) -> dict[str, float]:
    """The judge's shares on drawn scenes with and without outlines; ends the program if it errs.

    What is left of the outlines after the autoencoder is more than a model with it can reach.
    """
    scenes = held_out_scenes(count // 2, count // 2, seed)
    drawn = [draw_outlined(scene) for scene in scenes]
    found = {
        "with outlines": outlined(drawn, scenes),
        "with outlines, through the VAE": outlined(through_vae(model, drawn), scenes),
        "without": outlined([draw(scene) for scene in scenes], scenes),
    }
    print("judge on drawn scenes:", found)
    if found["with outlines"] < JUDGE_BAR or found["without"] > 1 - JUDGE_BAR:
        raise SystemExit("the judge may not judge")
    return found


def score(options: argparse.Namespace) -> dict[str, Any]:
    """Renders and judges the cases; returns everything that the JSON keeps."""
    drawn = require_style_judge(options.model)
    scenes = held_out_scenes(options.singles, options.pairs, SEED)
    made = {
        name: render(options.model, loras, scenes, options.steps)
        for name, loras in (
            ("strength 1", [(options.lora, 1.0)]),
            ("strength 0", [(options.lora, 0.0)]),
            ("without", []),
        )
    }
    rows = {name: outlined(pictures, scenes) for name, pictures in made.items()}
    strictly = outlined(made["strength 1"], scenes, STRICTLY_OUTLINED)
    same = [np.array_equal(*two) for two in zip(made["strength 0"], made["without"], strict=True)]
    print("outlined:", rows, "strictly:", strictly)
    print("bit-identical at strength 0:", float(np.mean(same)))
    if options.sheet:
        save_sheet(options.sheet, made["strength 1"])
    pairs = zip(scenes, made["strength 1"], strict=True)
    return {
        "model": options.model,
        "lora": options.lora,
        "date": time.strftime("%Y-%m-%d"),
        "steps": options.steps,
        "prompts": {"single-object": options.singles, "two-object": options.pairs},
        "judge_on_drawn_scenes": drawn,
        "outlined": rows,
        f"outlined_{STRICTLY_OUTLINED}_of_each_edge": strictly,
        "bit_identical_at_strength_0": float(np.mean(same)),
        "not_outlined": [caption(s) for s, p in pairs if not is_outlined(p, s)],
    }


def main() -> None:
    """Scores the LoRA on held-out prompts, prints its shares and writes them as JSON."""
    parser = options_of_score(main.__doc__, "shapes", 50)
    parser.add_argument("--lora", default="shapes-outline", help="name or file")
    run_score(parser, score)


if __name__ == "__main__":
    main()
