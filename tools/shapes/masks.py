"""Masks for the inpainting variant of the built-in model: which part of a scene is repainted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.shapes.scenes import PAIR_RADIUS, PICTURE_SIZE, SINGLE_RADIUS, Scene, Thing

# Shapes reach up to 1.12 radii from their centre (see draw.py).
REACH = 1.12

Mask = NDArray[np.bool_]


def box(left: float, top: float, right: float, bottom: float) -> Mask:
    """True in the box, [128, 128]; edges are in pixels and rounded outwards."""
    mask = np.zeros((PICTURE_SIZE, PICTURE_SIZE), bool)
    low = np.maximum(np.floor([left, top]), 0).astype(int)
    high = np.ceil([right, bottom]).astype(int)
    mask[low[1] : high[1], low[0] : high[0]] = True
    return mask


def box_around(thing: Thing, scene: Scene, margin: float) -> Mask:
    """The box that holds a thing of any size at this thing's place, with room for `margin`."""
    radius = max((PAIR_RADIUS if len(scene.things) == 2 else SINGLE_RADIUS).values())
    half = REACH * radius + margin
    return box(thing.x - half, thing.y - half, thing.x + half, thing.y + half)


def random_mask(rng: np.random.Generator, scene: Scene) -> Mask:
    """Around one thing of the scene (70 %), somewhere (20 %), or everywhere."""
    choice: Any = rng.random()
    if choice < 0.7:
        thing = scene.things[int(rng.integers(len(scene.things)))]
        return box_around(thing, scene, rng.uniform(-2, 6))
    if choice < 0.9:
        x, y = rng.uniform(0, PICTURE_SIZE, 2)
        half_width, half_height = rng.uniform(10, 50, 2)
        return box(x - half_width, y - half_height, x + half_width, y + half_height)
    return box(0, 0, PICTURE_SIZE, PICTURE_SIZE)
