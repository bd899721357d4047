"""Scores the built-in ControlNet: how well pictures follow the edges of held-out scenes.

Each case draws a scene that training never saw, takes its edges as `sdrbee preprocess canny` does,
and asks for a picture by the scene's caption and these edges. The filled regions of picture and
scene are compared by their intersection over union; what the judge says of colours comes from the
text alone. The drawn scenes after the autoencoder show what a model with it can reach, and
--compare what the same prompts and seeds give without the ControlNet.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.shapes.draw import coverage, draw
from tools.shapes.judge import find_foreground, judge, read_background
from tools.shapes.scenes import COLOURS, Scene, caption, held_out_scenes
from tools.shapes.score import (
    Picture,
    in_batches,
    options_of_score,
    print_table,
    require_judge,
    run_score,
    save_sheet,
    shares,
    through_vae,
)

SEED = 22  # of the scenes
BAR = 0.8


def filled(scene: Scene) -> NDArray[np.bool_]:
    """Where a scene's things are, [128, 128]."""
    covers = [coverage(t.shape, t.x, t.y, t.radius) for t in scene.things]
    region: NDArray[np.bool_] = np.max(covers, axis=0) >= 0.5
    return region


def overlap(picture: Picture, scene: Scene) -> float:
    """The intersection over union of what is filled in a picture and in a scene.

    0 where the picture's background is of no colour of the palette.
    """
    background = read_background(picture)
    if "unclear" in background:
        return 0.0
    foreground, behind = find_foreground(picture, background)
    # At an edge what is more thing than background counts, as it does in the scene.
    pixels = picture.astype(np.float32)
    colours = np.array([COLOURS[thing.colour] for thing in scene.things], np.float32)
    to_thing = np.linalg.norm(pixels[:, :, None] - colours, axis=3).min(axis=2)
    to_behind = np.linalg.norm(pixels - behind[:, None], axis=2)
    drawn, wanted = foreground & (to_thing < to_behind), filled(scene)
    return float((drawn & wanted).sum() / (drawn | wanted).sum())


def edges_of(scene: Scene) -> Picture:
    """What `sdrbee preprocess canny` makes of the drawn scene, [128, 128, 3]."""
    from sdrbee.preprocess import preprocess

    return np.asarray(preprocess("canny", draw(scene)))


def render(model: str, control: str, scenes: list[Scene], steps: int) -> list[Picture]:
    """One picture a scene; its seed is its number. An empty `control` is none."""
    import sdrbee

    def controls(scene: Scene) -> Any:
        return [{"model": control, "image": edges_of(scene)}] if control else None

    requests = [
        sdrbee.GenerationRequest(prompt=caption(s), seed=i, steps=steps, controls=controls(s))
        for i, s in enumerate(scenes)
    ]
    return in_batches(sdrbee.load(model), requests)


def overlaps_row(pictures: list[Picture], scenes: list[Scene]) -> dict[str, float]:
    """Mean and least overlap, and the share of pictures that reach the bar."""
    found = np.array([overlap(p, s) for p, s in zip(pictures, scenes, strict=True)])
    return {
        "mean": round(float(found.mean()), 4),
        "least": round(float(found.min()), 4),
        "share_at_least_0.8": float((found >= BAR).mean()),
    }


def score(options: argparse.Namespace) -> dict[str, Any]:
    """Renders and judges the cases; returns everything that the JSON keeps."""
    drawn = require_judge()
    scenes = held_out_scenes(options.singles, options.pairs, SEED)
    reachable = through_vae(options.model, [draw(scene) for scene in scenes])
    rows, overlaps = {}, {"drawn, through the VAE": overlaps_row(reachable, scenes)}
    asked = {"with control": options.control} | ({"without": ""} if options.compare else {})
    for name, control in asked.items():
        pictures = render(options.model, control, scenes, options.steps)
        overlaps[name] = overlaps_row(pictures, scenes)
        verdicts = [judge(p, s) for p, s in zip(pictures, scenes, strict=True)]
        rows[name] = shares(verdicts)
        if options.sheet and control:
            rows_of_three = zip(map(draw, scenes), map(edges_of, scenes), pictures, strict=True)
            save_sheet(options.sheet, [p for three in rows_of_three for p in three], columns=15)
    print_table(rows)
    print("overlap:", overlaps)
    return {
        "model": options.model,
        "control": options.control,
        "date": time.strftime("%Y-%m-%d"),
        "steps": options.steps,
        "scenes": {"single-object": options.singles, "two-object": options.pairs},
        "judge_on_drawn_scenes": drawn,
        "overlap": overlaps,
        "shares": rows,
    }


def main() -> None:
    """Scores a ControlNet on held-out scenes, prints a table and writes it as JSON."""
    parser = options_of_score(main.__doc__, "shapes", 50)
    parser.add_argument("--control", default="shapes-control", help="name or folder")
    parser.add_argument("--compare", action="store_true", help="also without the ControlNet")
    run_score(parser, score)


if __name__ == "__main__":
    main()
