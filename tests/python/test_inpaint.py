"""Soft masks, inpainting of the masked part only, and painting beyond the edges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import sdrbee

Pixels = npt.NDArray[np.uint8]
PROMPT = "a green star on a yellow background"


def scene(width: int = 128, height: int = 128) -> Pixels:
    """A red square on a blue ground, with a texture that no autoencoder keeps to the last level."""
    picture = np.full((height, width, 3), (40, 75, 210), np.uint8)
    picture[height // 4 : -height // 4, width // 4 : -width // 4] = (220, 40, 40)
    noise = np.random.default_rng(2).integers(0, 12, picture.shape, dtype=np.uint8)
    return picture + noise


def box_mask(size: int, left: int, top: int, side: int, level: int = 255) -> Pixels:
    mask = np.zeros((size, size), np.uint8)
    mask[top : top + side, left : left + side] = level
    return mask


def paint(model: sdrbee.Model, **fields: Any) -> npt.NDArray[Any]:
    fields = {"image": scene(), "steps": 4, "seed": 3, "strength": 0.9} | fields
    return np.asarray(model.generate(PROMPT, **fields))


def test_grey_masks_blend_in_proportion(model: sdrbee.Model) -> None:
    source = scene().astype(float)
    made = [paint(model, mask=np.full((128, 128), level, np.uint8)) for level in (0, 85, 170, 255)]
    distances = [float(np.abs(picture - source).mean()) for picture in made]
    assert distances[0] == 0
    assert distances == sorted(distances)
    assert distances[1] > 1
    assert distances[1] < distances[3] / 2


def test_an_almost_white_mask_is_almost_a_white_one(model: sdrbee.Model) -> None:
    white = paint(model, mask=np.full((128, 128), 255, np.uint8)).astype(float)
    almost = paint(model, mask=np.full((128, 128), 254, np.uint8))
    assert np.abs(almost - white).mean() < 3


@pytest.mark.parametrize("blur", [0.0, 4.0])
def test_only_the_masked_part_is_repainted_and_put_back(model: sdrbee.Model, blur: float) -> None:
    source = scene(300, 300)
    mask = box_mask(300, 180, 60, 70)
    made = paint(
        model, image=source, mask=mask, inpaint_area="masked", mask_padding=16, mask_blur=blur
    )
    assert made.shape == source.shape
    reach = 13 if blur else 0  # three boxes of a Gaussian of 4 pixels
    far = np.ones((300, 300), bool)
    far[60 - reach : 130 + reach, 180 - reach : 250 + reach] = False
    np.testing.assert_array_equal(made[far], source[far])
    changed = np.abs(made[70:120, 190:240].astype(float) - source[70:120, 190:240]).mean()
    assert changed > 5


def test_a_blurred_mask_has_a_soft_edge(model: sdrbee.Model) -> None:
    mask = box_mask(128, 32, 32, 64)
    sharp, soft = (paint(model, mask=mask, mask_blur=blur) for blur in (0.0, 4.0))
    outside = mask == 0
    np.testing.assert_array_equal(sharp[outside], scene()[outside])
    ring = outside & (np.roll(mask, 2, axis=0) | np.roll(mask, -2, axis=0) > 0)
    assert not np.array_equal(soft[ring], scene()[ring])


def test_the_masked_part_is_worked_on_at_width_and_height(model: sdrbee.Model) -> None:
    def worked_on(**fields: Any) -> tuple[int, int]:
        sizes: list[tuple[int, int]] = []

        def on_step(step: int, total: int | None, preview: sdrbee.Image | None) -> None:
            assert preview is not None
            sizes.append((preview.width, preview.height))

        pictures = {"image": scene(200, 200), "mask": box_mask(200, 90, 90, 20)}
        paint(model, on_step=on_step, preview="full", steps=1, strength=1.0, **pictures, **fields)
        return sizes[-1]

    assert worked_on(inpaint_area="masked") == (128, 128)
    assert worked_on(inpaint_area="masked", width=192, height=160) == (192, 160)
    assert worked_on() == (200, 200)


def test_a_black_mask_has_no_masked_part(model: sdrbee.Model) -> None:
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[mask\] all of it is black"):
        paint(model, mask=np.zeros((128, 128), np.uint8), inpaint_area="masked")


def test_outpainting_keeps_the_picture_and_paints_around_it(model: sdrbee.Model) -> None:
    made = paint(model, outpaint=[16, 8, 24, 0], strength=1.0)
    assert made.shape == (136, 168, 3)
    np.testing.assert_array_equal(made[8:, 16:144], scene())
    margin = made[8:, 144:].astype(float)
    assert np.abs(margin - scene()[:, -1:]).mean() > 1


def test_outpainting_also_repaints_what_a_mask_names(model: sdrbee.Model) -> None:
    mask = box_mask(128, 0, 0, 40)
    made = paint(model, outpaint=[8, 0, 0, 0], mask=mask)
    kept = mask == 0
    np.testing.assert_array_equal(made[:, 8:][kept], scene()[kept])
    assert not np.array_equal(made[:40, 8:48], scene()[:40, :40])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"outpaint": [1, 2]}, "expected 4 numbers"),
        ({"outpaint": [0, 0, 0, 0]}, "nothing to paint"),
        ({"outpaint": [-1, 0, 0, 0]}, r"\[outpaint\]"),
        ({"image": None, "strength": None, "outpaint": [8, 0, 0, 0]}, "give `image`"),
        ({"inpaint_area": "masked"}, "only with `mask`"),
        ({"inpaint_area": "some"}, "'whole', 'masked'"),
        ({"mask_blur": -1.0}, r"\[mask_blur\]"),
        ({"mask_padding": -1}, r"\[mask_padding\]"),
        (
            {"mask": box_mask(128, 9, 9, 9), "inpaint_area": "masked", "output": "latent"},
            r"\[output\].*cut out alone",
        ),
    ],
)
def test_impossible_requests_are_refused(
    model: sdrbee.Model, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(sdrbee.InvalidRequest, match=message):
        paint(model, **fields)


MODES: dict[str, dict[str, Any]] = {
    "soft mask": {"mask": np.tile(np.arange(0, 256, 2, dtype=np.uint8), (128, 1))},
    "masked part": {
        "mask": box_mask(128, 40, 40, 30),
        "inpaint_area": "masked",
        "mask_padding": 8,
        "mask_blur": 2.5,
    },
    "outpaint": {"outpaint": [8, 16, 0, 24]},
}


@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize("keep", [True, False])
def test_floats_are_the_picture_before_it_is_rounded(
    model: sdrbee.Model, name: str, keep: bool
) -> None:
    fields = MODES[name] | {"keep_unmasked": keep}
    values = paint(model, output="float", **fields)
    levels = paint(model, **fields)
    assert values.shape == levels.shape
    # Levels are rounded before they are blended, which moves the result by one at most.
    assert np.abs(values * 255 - levels).max() < 1.01
    if keep and "mask" in fields and "mask_blur" not in fields:
        kept = fields["mask"] == 0
        np.testing.assert_array_equal(np.round(values[kept] * 255), scene()[kept])
    if name != "masked part":  # which is resized in 8 bits
        assert np.abs(values * 255 - np.round(values * 255)).max() > 0.1


@pytest.mark.parametrize("name", MODES)
def test_modes_repeat_bit_by_bit(model: sdrbee.Model, tmp_path: Path, name: str) -> None:
    fields = {"image": scene(), "steps": 3, "seed": 5, "strength": 0.8} | MODES[name]
    picture = model.generate(PROMPT, **fields)
    picture.save(tmp_path / "out.png")
    again = sdrbee.replay(tmp_path / "out.png", image=scene(), mask=fields.get("mask"), model=model)
    assert bytes(again) == bytes(picture)
    generation = model.begin(sdrbee.GenerationRequest(prompt=PROMPT, **fields))
    while not generation.done:
        generation = model.restore(model.save(generation))
        model.advance(generation)
    assert bytes(model.finish(generation)) == bytes(picture)
