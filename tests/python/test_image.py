"""sdrbee.Image: arrays, files, notebooks."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import sdrbee


@pytest.fixture(scope="module")
def image(model: sdrbee.Model) -> sdrbee.Image:
    return model.generate("a red circle", steps=2, seed=11)


def test_array_is_height_width_rgb_and_shares_memory(image: sdrbee.Image) -> None:
    array = np.asarray(image)
    assert array.shape == (image.height, image.width, 3)
    assert array.dtype == np.uint8
    assert not array.flags.writeable
    assert np.shares_memory(array, np.asarray(image))


def test_array_outlives_the_image(model: sdrbee.Model) -> None:
    array = np.asarray(model.generate("a star", steps=1, seed=1))
    copy = array.copy()
    model.generate("a ring", steps=1, seed=2)
    np.testing.assert_array_equal(array, copy)


def test_pil_and_notebook_show_the_same_pixels(image: sdrbee.Image) -> None:
    shown = PIL.Image.open(io.BytesIO(image._repr_png_()))
    np.testing.assert_array_equal(np.asarray(shown), np.asarray(image))
    np.testing.assert_array_equal(np.asarray(image.to_pil()), np.asarray(image))


def test_saved_file_carries_pixels_recipe_and_seed(image: sdrbee.Image, tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    image.save(path)
    again = sdrbee.Image(path)
    np.testing.assert_array_equal(np.asarray(again), np.asarray(image))
    assert again.seed == image.seed == 11
    assert again.recipe == image.recipe


def test_other_programs_can_read_the_recipe(image: sdrbee.Image, tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    image.save(str(path))
    with PIL.Image.open(path) as opened:
        texts = opened.text  # type: ignore[attr-defined]
    assert texts["parameters"].startswith("a red circle\n")
    assert "Steps: 2," in texts["parameters"]
    assert "Seed: 11" in texts["parameters"]
    assert json.loads(texts["sdrbee"]) == image.recipe


def test_a_jpeg_is_smaller_at_a_lower_quality(image: sdrbee.Image) -> None:
    usual = len(image.encode("jpeg"))
    assert len(image.encode("jpeg", quality=5)) < usual < len(image.encode("jpeg", quality=100))
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[quality\] expected 1 to 100 but got 0"):
        image.encode("jpeg", quality=0)


def test_jpeg_is_written_by_its_ending(image: sdrbee.Image, tmp_path: Path) -> None:
    image.save(tmp_path / "out.jpg")
    with PIL.Image.open(tmp_path / "out.jpg") as opened:
        assert opened.format == "JPEG"
        assert opened.size == (image.width, image.height)


def test_unknown_ending_is_refused(image: sdrbee.Image, tmp_path: Path) -> None:
    with pytest.raises(sdrbee.InvalidRequest, match=r"\.tiff"):
        image.save(tmp_path / "out.tiff")
    assert not list(tmp_path.iterdir())


def test_missing_folder_is_named_and_nothing_is_left(image: sdrbee.Image, tmp_path: Path) -> None:
    with pytest.raises(sdrbee.Error, match="absent"):
        image.save(tmp_path / "absent" / "out.png")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_is_an_error(image: sdrbee.Image, tmp_path: Path) -> None:
    (tmp_path / "out.png").symlink_to("/dev/full")
    with pytest.raises(sdrbee.Error, match=r"out\.png|full"):
        image.save(tmp_path / "out.png")


def test_an_image_without_recipe_says_so(image: sdrbee.Image) -> None:
    plain = sdrbee.Image(np.asarray(image))
    assert plain.recipe is None
    assert plain.seed is None


def test_repr_has_size_and_seed(image: sdrbee.Image) -> None:
    assert repr(image) == f"<sdrbee.Image {image.width}x{image.height} seed=11>"
