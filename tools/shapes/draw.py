"""Draws scenes as antialiased pictures from signed distances to the outlines."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.shapes.scenes import COLOURS, PICTURE_SIZE, Scene, caption, sample_scenes

Plane = NDArray[np.floating[Any]]
Distance = Callable[[Plane, Plane], Plane]


def _box(x: Plane, y: Plane, half_width: float, half_height: float) -> Plane:
    return np.maximum(np.abs(x) - half_width, np.abs(y) - half_height)


def _rhombus(x: Plane, y: Plane, half_width: float, half_height: float) -> Plane:
    slope = math.hypot(half_width, half_height)
    reach = np.abs(x) * half_height + np.abs(y) * half_width
    return (reach - half_width * half_height) / slope


def _circle(x: Plane, y: Plane) -> Plane:
    return np.hypot(x, y) - 0.96


def _square(x: Plane, y: Plane) -> Plane:
    return _box(x, y, 0.86, 0.86)


def _triangle(x: Plane, y: Plane) -> Plane:
    # An equilateral triangle of height 1.8, its middle height at the origin.
    side = np.abs(x) * math.cos(math.pi / 6) - (y + 0.9) * 0.5
    distance: Plane = np.maximum(side, y - 0.9)
    return distance


def _star(x: Plane, y: Plane) -> Plane:
    # Folded into half a point of the star: one straight edge from tip to notch is left.
    outer, inner, fold = 1.12, 0.48, math.pi / 5
    angle = np.abs((np.arctan2(x, -y) + fold) % (2 * fold) - fold)
    radius = np.hypot(x, y)
    along, across = radius * np.cos(angle), radius * np.sin(angle)
    tip, notch = (outer, 0.0), (inner * math.cos(fold), inner * math.sin(fold))
    edge = math.hypot(tip[0] - notch[0], notch[1])
    normal = (notch[1] / edge, (tip[0] - notch[0]) / edge)
    return (along - outer) * normal[0] + across * normal[1]


def _heart(x: Plane, y: Plane) -> Plane:
    # A square on its corner with half discs on its two upper edges.
    half = 0.62
    y = y - 0.19
    square = _rhombus(x, y, half * math.sqrt(2), half * math.sqrt(2))
    offset = half / math.sqrt(2)
    disc: Plane = np.hypot(np.abs(x) - offset, y + offset) - half
    return np.minimum(square, disc)


def _ring(x: Plane, y: Plane) -> Plane:
    return np.abs(np.hypot(x, y) - 0.74) - 0.25


def _diamond(x: Plane, y: Plane) -> Plane:
    return _rhombus(x, y, 0.74, 1.12)


def _cross(x: Plane, y: Plane) -> Plane:
    return np.minimum(_box(x, y, 1.0, 0.33), _box(x, y, 0.33, 1.0))


DISTANCES: dict[str, Distance] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "heart": _heart,
    "ring": _ring,
    "diamond": _diamond,
    "cross": _cross,
}


def coverage(shape: str, x: float, y: float, radius: float, size: int = PICTURE_SIZE) -> Plane:
    """How much of each pixel the shape covers, 0 to 1, as [size, size]."""
    axis = np.arange(size, dtype=np.float32) + np.float32(0.5)
    across = np.broadcast_to((axis - x) / radius, (size, size))
    down = np.broadcast_to(((axis - y) / radius)[:, None], (size, size))
    distance = DISTANCES[shape](across.astype(np.float32), down.astype(np.float32))
    covered: Plane = np.clip(0.5 - distance * radius, 0, 1)
    return covered.astype(np.float32)


def draw(scene: Scene) -> NDArray[np.uint8]:
    """The scene as an RGB picture, [128, 128, 3]."""
    picture = np.empty((PICTURE_SIZE, PICTURE_SIZE, 3), np.float32)
    picture[: PICTURE_SIZE // 2] = COLOURS[scene.background[0]]
    picture[PICTURE_SIZE // 2 :] = COLOURS[scene.background[-1]]
    for thing in scene.things:
        left, top = (int(max(v - 1.25 * thing.radius, 0)) for v in (thing.x, thing.y))
        side = int(2.5 * thing.radius) + 3
        window = picture[top : top + side, left : left + side]
        alpha = coverage(thing.shape, thing.x - left, thing.y - top, thing.radius, side)
        alpha = alpha[: window.shape[0], : window.shape[1], None]
        window += alpha * (np.array(COLOURS[thing.colour], np.float32) - window)
    return np.rint(picture).astype(np.uint8)


def draw_all(scenes: list[Scene]) -> NDArray[np.uint8]:
    """The scenes as RGB pictures, [N, 128, 128, 3]."""
    return np.stack([draw(scene) for scene in scenes])


def draw_batch(rng: np.random.Generator, count: int) -> tuple[NDArray[np.uint8], list[str]]:
    """Training pictures [count, 128, 128, 3] with their captions."""
    scenes = sample_scenes(rng, count)
    return draw_all(scenes), [caption(scene, rng) for scene in scenes]


def main() -> None:
    """Writes a sheet of drawn scenes and prints their captions."""
    from PIL import Image

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, default=Path("scenes.png"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--rows", type=int, default=4)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    pictures, captions = draw_batch(rng, options.rows * options.columns)
    rows = pictures.reshape(options.rows, options.columns, *pictures.shape[1:])
    Image.fromarray(np.concatenate(np.concatenate(rows, axis=1), axis=1)).save(options.out)
    print("\n".join(captions))


if __name__ == "__main__":
    main()
