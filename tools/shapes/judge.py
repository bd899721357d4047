"""Reads shapes, colours, sizes, relation and background from a picture: exact, nothing trained.

Each pixel is compared with the palette; what is not background falls into connected parts; each
part is compared with every shape drawn at the part's own place and area. A part that looks like no
shape or has no colour of the palette is wrong, so that a blurred picture cannot pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tools.shapes.draw import coverage
from tools.shapes.scenes import (
    COLOURS,
    PAIR_RADIUS,
    PICTURE_SIZE,
    SHAPES,
    SINGLE_RADIUS,
    Scene,
)

COLOUR_REACH = 70.0  # how far (RGB distance) a colour may lie from its palette entry
LEAST_PART = 40  # pixels; smaller parts are specks
LEAST_OVERLAP = 0.7  # intersection over union with the best shape
FRAME = 5  # pixels at the border that never hold a thing
_NAMES = tuple(COLOURS)
_PALETTE = np.array([COLOURS[name] for name in _NAMES], np.float32)


@dataclass(frozen=True)
class Seen:
    """One part of a picture; `shape` or `colour` is "unclear" where nothing fits."""

    shape: str
    colour: str
    radius: float
    x: float
    y: float
    overlap: float


@dataclass(frozen=True)
class Verdict:
    """What of a prompt a picture shows; `right` leaves out the sizes, which words can omit."""

    shapes: bool
    colours: bool
    relation: bool
    background: bool
    sizes: bool

    @property
    def right(self) -> bool:
        """Every shape, colour, relation and background."""
        return self.shapes and self.colours and self.relation and self.background


def _colour(name: str) -> NDArray[np.float32]:
    return np.array(COLOURS[name], np.float32)


def _nearest(colour: NDArray[np.float32]) -> str:
    distances = np.linalg.norm(_PALETTE - colour, axis=1)
    best = int(distances.argmin())
    return _NAMES[best] if distances[best] <= COLOUR_REACH else "unclear"


def read_background(picture: NDArray[np.uint8]) -> tuple[str, ...]:
    """The colours of the frame's upper and lower half: one name where they agree."""
    frame = np.ones(picture.shape[:2], bool)
    frame[FRAME:-FRAME, FRAME:-FRAME] = False
    middle, names = PICTURE_SIZE // 2, []
    for rows in (slice(0, middle - 4), slice(middle + 4, PICTURE_SIZE)):
        pixels = picture[rows][frame[rows]].astype(np.float32)
        name = _nearest(np.median(pixels, axis=0))
        if name != "unclear":
            off = np.linalg.norm(pixels - _colour(name), axis=1) > COLOUR_REACH
            name = "unclear" if off.mean() > 0.08 else name
        names.append(name)
    return (names[0],) if names[0] == names[1] else tuple(names)


def find_foreground(
    picture: NDArray[np.uint8], background: tuple[str, ...]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Where a picture [128, 128, 3] leaves its background, and the colour behind each row."""
    upper, lower = _colour(background[0]), _colour(background[-1])
    pixels, middle = picture.astype(np.float32), PICTURE_SIZE // 2
    behind = np.where(np.arange(PICTURE_SIZE)[:, None] < middle, upper, lower)
    distance = np.linalg.norm(pixels - behind[:, None], axis=2)
    # Around the seam a blend of both halves is background too, save between two parts of a thing.
    seam = slice(middle - 3, middle + 3)
    reach = COLOUR_REACH * 0.7
    bridged = (distance[seam.start - 1] > reach) & (distance[seam.stop] > reach)
    span = lower - upper
    share = np.clip((pixels[seam] - upper) @ span / max(float(span @ span), 1.0), 0, 1)
    distance[seam] = np.linalg.norm(pixels[seam] - upper - share[..., None] * span, axis=2)
    distance[seam] = np.where(bridged, reach + 1, distance[seam])
    return distance > reach, behind


@cache
def _unit_area(shape: str) -> float:
    return float(coverage(shape, 64, 64, 40).sum()) / 40**2


@cache
def _unit_centroid(shape: str) -> float:
    mask = coverage(shape, 64, 64, 40)
    return float((mask.sum(1) * (np.arange(PICTURE_SIZE) + 0.5)).sum() / mask.sum() - 64) / 40


def read_shape(mask: NDArray[np.float32]) -> tuple[str, float, float]:
    """The shape that best overlaps a coverage mask, its radius in pixels and that overlap."""
    area = float(mask.sum())
    axis = np.arange(PICTURE_SIZE) + 0.5
    x = float((mask.sum(0) * axis).sum()) / area
    y = float((mask.sum(1) * axis).sum()) / area
    best = ("unclear", 0.0, 0.0)
    for shape in SHAPES:
        radius = float(np.sqrt(area / _unit_area(shape)))
        drawn = coverage(shape, x, y - _unit_centroid(shape) * radius, radius)
        overlap = float(np.minimum(mask, drawn).sum() / np.maximum(mask, drawn).sum())
        if overlap > best[2]:
            best = (shape, radius, overlap)
    return best if best[2] >= LEAST_OVERLAP else ("unclear", *best[1:])


def read_things(picture: NDArray[np.uint8], background: tuple[str, ...]) -> list[Seen]:
    """The parts of a picture that are not background, largest first."""
    if "unclear" in background:
        return []
    foreground, behind = find_foreground(picture, background)
    labels, count = ndimage.label(foreground, structure=np.ones((3, 3)))
    found: list[tuple[int, Seen]] = []
    for label in range(1, count + 1):
        part = labels == label
        area = int(part.sum())
        if area >= LEAST_PART:
            found.append((area, _read_part(picture, part, behind)))
    return [seen for _, seen in sorted(found, key=lambda item: -item[0])]


def _read_part(
    picture: NDArray[np.uint8], part: NDArray[np.bool_], behind: NDArray[np.float32]
) -> Seen:
    inner = ndimage.binary_erosion(part, iterations=2)
    colour = np.median(picture[inner if inner.sum() >= 12 else part], axis=0).astype(np.float32)
    name = _nearest(colour)
    if name != "unclear":
        distance = np.linalg.norm(picture[inner].astype(np.float32) - colour, axis=1)
        name = "unclear" if inner.any() and (distance > COLOUR_REACH).mean() > 0.15 else name
    # How far each pixel has gone from the background to the thing's colour is its coverage.
    span = colour - behind[:, None]
    share = ((picture - behind[:, None]) * span).sum(2) / np.maximum((span**2).sum(2), 1.0)
    near = ndimage.binary_dilation(part, iterations=1)
    mask = np.where(near, np.clip(share, 0, 1), 0).astype(np.float32)
    shape, radius, overlap = read_shape(mask)
    y, x = ndimage.center_of_mass(part)
    return Seen(shape, name, radius, float(x), float(y), overlap)


def read_relation(first: Seen, second: Seen) -> str:
    """Where the first part stands as seen from the second, by the longer axis."""
    dx, dy = first.x - second.x, first.y - second.y
    if abs(dx) >= abs(dy):
        return "left of" if dx < 0 else "right of"
    return "above" if dy < 0 else "below"


def _size_right(scene: Scene, seen: list[Seen]) -> bool:
    radii = PAIR_RADIUS if len(scene.things) == 2 else SINGLE_RADIUS
    nearest = [min(radii, key=lambda size: abs(radii[size] - part.radius)) for part in seen]
    return nearest == [thing.size for thing in scene.things]


def judge(picture: NDArray[np.uint8], scene: Scene) -> Verdict:
    """Compares an RGB picture [128, 128, 3] with the scene that its prompt describes."""
    if picture.shape != (PICTURE_SIZE, PICTURE_SIZE, 3):
        raise ValueError(f"[judge] expected a 128x128 RGB picture but got shape {picture.shape}")
    background = read_background(picture)
    seen = read_things(picture, background)
    background_right = background == scene.background
    if len(seen) != len(scene.things):
        return Verdict(False, False, False, background_right, False)
    wanted = scene.things
    if scene.relation is not None:
        along = (lambda s: s.x) if scene.relation in ("left of", "right of") else (lambda s: s.y)
        seen = sorted(seen, key=along, reverse=scene.relation in ("right of", "below"))
    return Verdict(
        shapes=[s.shape for s in seen] == [t.shape for t in wanted],
        colours=[s.colour for s in seen] == [t.colour for t in wanted],
        relation=scene.relation is None or read_relation(*seen) == scene.relation,
        background=background_right,
        sizes=_size_right(scene, seen),
    )
