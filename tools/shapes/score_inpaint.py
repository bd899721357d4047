"""Scores the inpainting variant of the built-in model: how many repainted scenes are fully right.

Each case draws a scene, masks one of its things, and asks for the same scene with another thing at
that place. Right means that the judge finds the asked scene; besides, every pixel outside of the
mask has to be that of the drawn scene, bit for bit. The asked scenes are held out of training.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.shapes.draw import draw
from tools.shapes.judge import judge
from tools.shapes.masks import Mask, box_around
from tools.shapes.scenes import (
    COLOURS,
    PAIR_RADIUS,
    SHAPES,
    SINGLE_RADIUS,
    SIZES,
    Scene,
    caption,
    held_out_scenes,
)
from tools.shapes.score import (
    Picture,
    options_of_score,
    print_table,
    require_judge,
    run_score,
    save_sheet,
    shares,
)

MARGIN = 3.0  # pixels of background around the largest thing that the mask holds


@dataclass(frozen=True)
class Case:
    """A picture to repaint within a mask [128, 128], and the scene that it shall show then."""

    before: Scene
    mask: Mask
    after: Scene


def _replaced(rng: np.random.Generator, after: Scene, index: int) -> Scene:
    """The scene with another shape of another colour at the place of one thing."""
    thing = after.things[index]
    radii = PAIR_RADIUS if len(after.things) == 2 else SINGLE_RADIUS
    free = [name for name in COLOURS if name not in (*after.background, thing.colour)]
    size = str(rng.choice(SIZES))
    other = dataclasses.replace(
        thing,
        shape=str(rng.choice([name for name in SHAPES if name != thing.shape])),
        colour=str(rng.choice(free)),
        size=size,
        radius=radii[size],
    )
    things = (*after.things[:index], other, *after.things[index + 1 :])
    return dataclasses.replace(after, things=things)


def make_cases(singles: int, pairs: int, seed: int = 21) -> list[Case]:
    """Cases with one thing, then with two of which one is repainted."""
    rng = np.random.default_rng(seed)
    cases = []
    for after in held_out_scenes(singles, pairs, seed):
        index = int(rng.integers(len(after.things)))
        mask = box_around(after.things[index], after, MARGIN)
        cases.append(Case(_replaced(rng, after, index), mask, after))
    return cases


def repaint(model: str, cases: list[Case], options: dict[str, Any]) -> list[Picture]:
    """One picture a case through sdrbee; the seed of a picture is its number."""
    import sdrbee

    loaded = sdrbee.load(model)
    pictures = []
    for seed, case in enumerate(cases):
        mask: NDArray[np.uint8] = case.mask.astype(np.uint8) * 255
        made = loaded.generate(
            caption(case.after), image=draw(case.before), mask=mask, seed=seed, **options
        )
        pictures.append(np.asarray(made))
        print(f"\r{len(pictures)}/{len(cases)}", end="", flush=True)
    print()
    return pictures


def kept(case: Case, picture: Picture) -> bool:
    """Whether every pixel outside of the mask is the drawn one."""
    return bool((picture == draw(case.before))[~case.mask].all())


def score(options: argparse.Namespace) -> dict[str, Any]:
    """Repaints and judges the cases; returns everything that the JSON keeps."""
    drawn = require_judge()
    cases = make_cases(options.singles, options.pairs)
    extra = {} if options.guidance_scale is None else {"guidance_scale": options.guidance_scale}
    start = time.time()
    pictures = repaint(options.model, cases, {"steps": options.steps, **extra})
    seconds = time.time() - start
    verdicts = [judge(p, case.after) for p, case in zip(pictures, cases, strict=True)]
    rows = {
        "single-object": shares(verdicts[: options.singles]),
        "two-object": shares(verdicts[options.singles :]),
        "all": shares(verdicts),
    }
    print_table(rows)
    unchanged = sum(kept(case, p) for p, case in zip(pictures, cases, strict=True)) / len(cases)
    print(f"bit-identical outside of the mask: {unchanged:.1%}")
    if options.sheet:
        befores = [np.where(c.mask[..., None], np.uint8(127), draw(c.before)) for c in cases]
        both = [p for pair in zip(befores, pictures, strict=True) for p in pair]
        save_sheet(options.sheet, both)
    return {
        "model": options.model,
        "date": time.strftime("%Y-%m-%d"),
        "steps": options.steps,
        "guidance_scale": options.guidance_scale,
        "cases": {"single-object": options.singles, "two-object": options.pairs},
        "judge_on_drawn_scenes": drawn,
        "shares": rows,
        "bit_identical_outside": unchanged,
        "seconds_per_picture": round(seconds / len(cases), 3),
        "wrong": [caption(c.after) for c, v in zip(cases, verdicts, strict=True) if not v.right],
    }


def main() -> None:
    """Scores an inpainting model on held-out cases, prints a table and writes it as JSON."""
    parser = options_of_score(main.__doc__, "shapes-inpaint", 100)
    parser.add_argument("--guidance-scale", type=float, help="default: the model's own")
    run_score(parser, score)


if __name__ == "__main__":
    main()
