"""The scenes of the built-in model and the judge that scores it (`tools/shapes`)."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy", reason="the judge of tools/shapes needs scipy")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.shapes.draw import draw, draw_batch
from tools.shapes.judge import judge, read_background, read_things
from tools.shapes.masks import box_around, random_mask
from tools.shapes.scenes import (
    COLOURS,
    SHAPES,
    Scene,
    Thing,
    caption,
    held_out_scenes,
    sample_scene,
)
from tools.shapes.score_inpaint import kept, make_cases, repaint

LEFT = Thing("star", "red", "medium", 33.0, 64.0, 20.0)
RIGHT = Thing("ring", "blue", "large", 95.0, 64.0, 25.0)
PAIR = Scene((LEFT, RIGHT), ("white", "green"), "left of")


def test_drawing_is_fixed_by_the_seed() -> None:
    first, words = draw_batch(np.random.default_rng(3), 8)
    again, same_words = draw_batch(np.random.default_rng(3), 8)
    other, _ = draw_batch(np.random.default_rng(4), 8)
    assert np.array_equal(first, again)
    assert words == same_words
    assert not np.array_equal(first, other)


def test_edges_are_antialiased_and_flat_parts_are_exact() -> None:
    picture = draw(Scene((Thing("circle", "red", "large", 64, 64, 38),), ("white",)))
    assert tuple(picture[64, 64]) == COLOURS["red"]
    assert tuple(picture[2, 2]) == COLOURS["white"]
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10


def test_caption_says_what_is_drawn() -> None:
    assert caption(PAIR) == "a red star left of a large blue ring on a white and green background"
    one = Scene((Thing("heart", "orange", "medium", 64, 64, 27),), ("cyan",))
    assert caption(one) == "an orange heart on a cyan background"


def test_training_never_draws_a_held_out_scene() -> None:
    held_out = {scene.key() for scene in held_out_scenes(40, 40)}
    assert len(held_out) == 80
    rng = np.random.default_rng(0)
    assert not any(sample_scene(rng, 1).held_out() for _ in range(300))
    assert held_out_scenes(3, 3) == held_out_scenes(3, 3)


def test_judge_reads_drawn_scenes() -> None:
    scenes = held_out_scenes(60, 60, seed=77)
    verdicts = [judge(draw(scene), scene) for scene in scenes]
    assert sum(v.right and v.sizes for v in verdicts) >= 0.98 * len(scenes)


@pytest.mark.parametrize("shape", SHAPES)
def test_judge_tells_every_shape_from_the_others(shape: str) -> None:
    drawn = Scene((dataclasses.replace(LEFT, shape=shape), RIGHT), PAIR.background, "left of")
    for asked in SHAPES:
        wanted = dataclasses.replace(drawn, things=(dataclasses.replace(LEFT, shape=asked), RIGHT))
        assert judge(draw(drawn), wanted).shapes == (asked == shape)


def test_judge_sees_wrong_colours() -> None:
    pink = dataclasses.replace(PAIR, things=(dataclasses.replace(LEFT, colour="pink"), RIGHT))
    verdict = judge(draw(PAIR), pink)
    assert verdict.shapes
    assert verdict.background
    assert not verdict.colours
    assert not verdict.right


def test_judge_sees_swapped_bindings() -> None:
    swapped = dataclasses.replace(
        PAIR,
        things=(
            dataclasses.replace(LEFT, colour="blue"),
            dataclasses.replace(RIGHT, colour="red"),
        ),
    )
    assert not judge(draw(PAIR), swapped).colours


def test_judge_sees_a_wrong_relation() -> None:
    for relation in ("right of", "above", "below"):
        assert not judge(draw(PAIR), dataclasses.replace(PAIR, relation=relation)).right
    assert judge(draw(PAIR), PAIR).right


def test_judge_sees_a_wrong_background() -> None:
    for background in (("white",), ("green", "white"), ("white", "cyan")):
        verdict = judge(draw(PAIR), dataclasses.replace(PAIR, background=background))
        assert not verdict.background
        assert not verdict.right


def test_judge_sees_a_wrong_size() -> None:
    small = dataclasses.replace(PAIR, things=(dataclasses.replace(LEFT, size="small"), RIGHT))
    verdict = judge(draw(PAIR), small)
    assert verdict.right
    assert not verdict.sizes


def test_judge_counts_things() -> None:
    alone = Scene((LEFT,), PAIR.background)
    assert not judge(draw(PAIR), alone).right
    assert not judge(draw(alone), PAIR).right


def test_judge_rejects_noise_and_blobs() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    assert not judge(noise, PAIR).right
    blob = draw(Scene((), ("white",)))
    blob[40:90, 30:44] = COLOURS["red"]
    blob[40:50, 44:100] = COLOURS["red"]
    (seen,) = read_things(blob, read_background(blob))
    assert seen.shape == "unclear"
    assert seen.colour == "red"


def test_judge_names_a_wrong_picture_size() -> None:
    with pytest.raises(ValueError, match=r"128x128 RGB picture but got shape \(64, 64, 3\)"):
        judge(np.zeros((64, 64, 3), np.uint8), PAIR)


def test_masks_hold_the_thing_that_is_repainted() -> None:
    rng = np.random.default_rng(5)
    for scene in (sample_scene(rng, 1 + i % 2) for i in range(20)):
        thing = scene.things[0]
        alone = draw(Scene((thing,), scene.background)).astype(int)
        covered = (alone != draw(Scene((), scene.background))).any(axis=2)
        assert not (covered & ~box_around(thing, scene, 2.0)).any()
        assert random_mask(rng, scene).any()


def test_the_inpainting_variant_paints_what_is_asked_and_nothing_else() -> None:
    cases = make_cases(4, 4)
    pictures = repaint("shapes-inpaint", cases, {"steps": 20})
    right = [judge(p, case.after).right for p, case in zip(pictures, cases, strict=True)]
    assert sum(right) >= 7
    assert all(kept(case, p) for p, case in zip(pictures, cases, strict=True))
    assert not any(judge(draw(case.before), case.after).right for case in cases)
