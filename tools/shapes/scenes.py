"""Scenes of the built-in model: what may be in a picture, and how a caption says it.

A scene holds one or two coloured shapes on a plain or two-tone background. Everything is drawn at
random from a `numpy.random.Generator`, so that a seed fixes a scene. One scene key in twenty is
*held out*: training never sees it, the score uses nothing else.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

PICTURE_SIZE = 128
SHAPES = ("circle", "square", "triangle", "star", "heart", "ring", "diamond", "cross")
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 40, 40),
    "orange": (245, 140, 30),
    "yellow": (250, 225, 50),
    "green": (35, 150, 65),
    "cyan": (70, 210, 220),
    "blue": (40, 75, 210),
    "purple": (130, 45, 170),
    "pink": (248, 150, 195),
    "white": (248, 248, 248),
    "black": (20, 20, 20),
}
SIZES = ("small", "medium", "large")
RELATIONS = ("left of", "right of", "above", "below")

# Radii in pixels: a picture with two shapes has less room for each.
SINGLE_RADIUS = {"small": 18.0, "medium": 27.0, "large": 38.0}
PAIR_RADIUS = {"small": 15.0, "medium": 20.0, "large": 25.0}
HELD_OUT_ONE_IN = 20


@dataclass(frozen=True)
class Thing:
    """One coloured shape: its centre is in pixels, x to the right and y down."""

    shape: str
    colour: str
    size: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Scene:
    """One or two things on a background.

    `background` holds one colour, or two for a top and a bottom half. `relation` says where the
    first thing stands as seen from the second; it is None for a single thing.
    """

    things: tuple[Thing, ...]
    background: tuple[str, ...]
    relation: str | None = None

    def key(self) -> str:
        """What a prompt can say about the scene: all but jitter and choice of words."""
        parts = [f"{t.size} {t.colour} {t.shape}" for t in self.things]
        joined = f" {self.relation} ".join(parts) if self.relation else parts[0]
        return f"{joined} on {' and '.join(self.background)}"

    def held_out(self) -> bool:
        """True for the one scene key in twenty that training must not see."""
        return zlib.crc32(self.key().encode()) % HELD_OUT_ONE_IN == 0


def _pick(rng: np.random.Generator, names: list[str]) -> str:
    return names[int(rng.integers(len(names)))]


def _background(rng: np.random.Generator) -> tuple[str, ...]:
    count = 1 if rng.random() < 0.6 else 2
    return tuple(str(name) for name in rng.choice(list(COLOURS), size=count, replace=False))


def _centres(rng: np.random.Generator, relation: str | None) -> list[tuple[float, float]]:
    middle = PICTURE_SIZE / 2
    if relation is None:
        return [(middle + rng.uniform(-8, 8), middle + rng.uniform(-8, 8))]
    near = (middle - 30.5 + rng.uniform(-2.5, 2.5), middle + rng.uniform(-8, 8))
    far = (middle + 30.5 + rng.uniform(-2.5, 2.5), middle + rng.uniform(-8, 8))
    centres = [near, far] if relation in ("left of", "above") else [far, near]
    if relation in ("above", "below"):
        centres = [(y, x) for x, y in centres]
    return centres


def _candidate(rng: np.random.Generator, count: int) -> Scene:
    background = _background(rng)
    free = [name for name in COLOURS if name not in background]
    relation = _pick(rng, list(RELATIONS)) if count == 2 else None
    radii = PAIR_RADIUS if count == 2 else SINGLE_RADIUS
    things = []
    for x, y in _centres(rng, relation):
        size = _pick(rng, list(SIZES))
        radius = radii[size] + rng.uniform(-0.5, 0.5)
        things.append(Thing(_pick(rng, list(SHAPES)), _pick(rng, free), size, x, y, radius))
    return Scene(tuple(things), background, relation)


def sample_scene(rng: np.random.Generator, count: int, *, held_out: bool = False) -> Scene:
    """Draws a scene of `count` (1 or 2) things from the held-out part or from the rest."""
    while True:
        scene = _candidate(rng, count)
        if scene.held_out() == held_out:
            return scene


def sample_scenes(rng: np.random.Generator, count: int, pair_share: float = 0.75) -> list[Scene]:
    """Draws scenes for training, `pair_share` of them with two things."""
    return [sample_scene(rng, 2 if rng.random() < pair_share else 1) for _ in range(count)]


def _article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _name_thing(thing: Thing, rng: np.random.Generator | None) -> str:
    say_size = thing.size != "medium" or (rng is not None and rng.random() < 0.15)
    return _article(f"{thing.size + ' ' if say_size else ''}{thing.colour} {thing.shape}")


def _name_background(background: tuple[str, ...]) -> str:
    return "on " + _article(f"{' and '.join(background)} background")


def default_background(scene: Scene) -> tuple[str, ...]:
    """The background of a caption that names none: white, or black behind white things."""
    return ("black",) if any(t.colour == "white" for t in scene.things) else ("white",)


def caption(scene: Scene, rng: np.random.Generator | None = None) -> str:
    """The caption of a scene, such as "a red ring left of a blue star on a pink background".

    Medium sizes go unsaid. A two-tone background names its top half first. With `rng` the words
    vary as in training: sizes said in full, "to the left of" and "under", the background left out
    where it is the default one, or no relation at all ("a red circle and a blue star").
    """
    names = [_name_thing(thing, rng) for thing in scene.things]
    relation = scene.relation
    if rng is not None and relation is not None:
        choice = rng.random()
        if choice < 0.04:
            relation = "and"
        elif choice < 0.16:
            relation = f"to the {relation}" if relation.endswith("of") else relation
            relation = "under" if relation == "below" else relation
    text = names[0] if relation is None else f"{names[0]} {relation} {names[1]}"
    if rng is not None and scene.background == default_background(scene) and rng.random() < 0.5:
        return text
    return f"{text} {_name_background(scene.background)}"


def held_out_scenes(singles: int, pairs: int, seed: int = 20) -> list[Scene]:
    """The prompts of the score: scenes with different keys that training never sees."""
    rng = np.random.default_rng(seed)
    scenes: dict[str, Scene] = {}
    for count, wanted in ((1, singles), (2, pairs)):
        goal = len(scenes) + wanted
        while len(scenes) < goal:
            scene = sample_scene(rng, count, held_out=True)
            scenes.setdefault(scene.key(), scene)
    return list(scenes.values())
