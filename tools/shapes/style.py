"""The style of the built-in LoRA, outlines: scenes drawn in it, and a judge that looks for it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tools.shapes.draw import coverage, draw
from tools.shapes.judge import COLOUR_REACH, LEAST_PART
from tools.shapes.scenes import COLOURS, Scene

# An outline has the first of these that the scene has not: four colours at most are in a scene.
OUTLINE_COLOURS = ("black", "white", "blue", "yellow", "red")
OUTLINE_WIDTH = 11.0  # pixels around a shape; of thinner lines the autoencoder keeps less
LEAST_WIDTH = 3  # of a line that counts
REACH = 4.0  # pixels from a part's edge within which its outline begins
LEAST_OUTLINED = 2 / 3  # of that edge
STRICTLY_OUTLINED = 0.8

_NAMES = tuple(COLOURS)
_PALETTE = np.array([*COLOURS.values()], np.float32)


def outline_colour(scene: Scene) -> str:
    """The colour of the outlines in a scene: black as a rule."""
    taken = {*scene.background, *(thing.colour for thing in scene.things)}
    return next(name for name in OUTLINE_COLOURS if name not in taken)


def draw_outlined(scene: Scene, width: float = OUTLINE_WIDTH) -> NDArray[np.uint8]:
    """The scene as an RGB picture [128, 128, 3] with a line around every thing."""
    covered = np.max([coverage(t.shape, t.x, t.y, t.radius) for t in scene.things], axis=0)
    away = ndimage.distance_transform_edt(covered < 0.5)
    line = np.clip(width + 0.5 - away, 0, 1)[..., None]
    behind = draw(Scene((), scene.background)).astype(np.float32)
    lined = behind + line * (np.array(COLOURS[outline_colour(scene)], np.float32) - behind)
    picture = lined + covered[..., None] * (draw(scene).astype(np.float32) - lined)
    outlined: NDArray[np.uint8] = np.rint(picture).astype(np.uint8)
    return outlined


def _nearest(picture: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The palette's entry for each pixel, -1 where none is near."""
    distance = np.linalg.norm(picture[:, :, None].astype(np.float32) - _PALETTE, axis=3)
    nearest: NDArray[np.int64] = distance.argmin(axis=2)
    return np.where(distance.min(axis=2) <= COLOUR_REACH, nearest, -1)


def outlined_shares(picture: NDArray[np.uint8], scene: Scene) -> list[float]:
    """Of each filled part's edge how much has an outline, the largest part first.

    Every pixel goes to the nearest colour of the palette; parts are what has a thing's colour, and
    an outline is what has the right colour for one and is at least `LEAST_WIDTH` pixels thick.
    """
    nearest = _nearest(picture)
    is_line = nearest == _NAMES.index(outline_colour(scene))
    is_line = ndimage.binary_opening(is_line, np.ones((LEAST_WIDTH, LEAST_WIDTH)))
    to_line = ndimage.distance_transform_edt(~is_line)
    things = [_NAMES.index(thing.colour) for thing in scene.things]
    # Opened: where an outline blends with what is behind it, other colours come about.
    filled = ndimage.binary_opening(np.isin(nearest, things), iterations=2)
    labels, count = ndimage.label(filled, structure=np.ones((3, 3)))
    found = []
    for part in (labels == label for label in range(1, count + 1)):
        if part.sum() >= LEAST_PART:
            edge = ndimage.binary_dilation(part) & ~part
            found.append((int(part.sum()), float((to_line[edge] <= REACH).mean())))
    return [share for _, share in sorted(found, reverse=True)]


def is_outlined(picture: NDArray[np.uint8], scene: Scene, least: float = LEAST_OUTLINED) -> bool:
    """Whether a picture has a filled part for each thing of the scene, each with an outline around
    at least this share of its edge.

    Smaller parts, such as what is left of a thing's colour in the hole of a ring, do not matter.
    """
    shares = outlined_shares(picture, scene)[: len(scene.things)]
    return len(shares) == len(scene.things) and min(shares) >= least
