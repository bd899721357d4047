"""GenerationRequest: fields, types, and pictures from all that users have in hand."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest

import sdrbee


@pytest.fixture
def pixels() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (24, 16, 3), dtype=np.uint8)


def test_every_listed_field_can_be_read_set_and_left_at_its_default() -> None:
    request = sdrbee.GenerationRequest()
    for field in sdrbee.request_fields():
        assert getattr(request, field.name) == field.default
        setattr(request, field.name, field.default)
        assert field.doc
    assert request == sdrbee.GenerationRequest()


def test_unknown_field_names_the_nearest() -> None:
    with pytest.raises(TypeError, match=r"'guidance'.*did you mean .*guidance_scale"):
        sdrbee.GenerationRequest(guidance=3.0)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", "20"),
        ("steps", 2.5),
        ("steps", True),
        ("guidance_scale", "7"),
        ("prompt", 5),
        ("prompt", None),
        ("exact", 1),
        ("sigmas", "1,2"),
    ],
)
def test_wrong_type_names_field_and_value(field: str, value: object) -> None:
    with pytest.raises(TypeError, match=rf"\[{field}\] expected .* but got "):
        sdrbee.GenerationRequest(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seed_outside_64_bits_is_an_invalid_request(seed: int) -> None:
    with pytest.raises(sdrbee.InvalidRequest, match=rf"\[seed\].*{seed}"):
        sdrbee.GenerationRequest(seed=seed)


def test_numpy_numbers_count_as_numbers() -> None:
    request = sdrbee.GenerationRequest(
        steps=np.int64(3),  # type: ignore[arg-type]
        guidance_scale=np.float32(2.0),  # type: ignore[arg-type]
        sigmas=np.array([2.0, 1.0, 0.0]),  # type: ignore[arg-type]
    )
    assert (request.steps, request.guidance_scale, request.sigmas) == (3, 2.0, [2.0, 1.0, 0.0])


def test_repr_is_the_call_that_makes_it() -> None:
    request = sdrbee.GenerationRequest(prompt="a 'star'", steps=3, guidance_scale=1.5, seed=2**63)
    assert eval(repr(request), {"GenerationRequest": sdrbee.GenerationRequest}) == request


def test_replace_leaves_the_original_alone() -> None:
    request = sdrbee.GenerationRequest(prompt="a ring", steps=3)
    assert request.replace(steps=5) == sdrbee.GenerationRequest(prompt="a ring", steps=5)
    assert request.steps == 3


def test_mode_follows_from_image_and_mask(pixels: npt.NDArray[np.uint8]) -> None:
    mask = np.zeros((24, 16), np.uint8)
    assert sdrbee.GenerationRequest().mode == "text_to_image"
    assert sdrbee.GenerationRequest(image=pixels).mode == "image_to_image"
    assert sdrbee.GenerationRequest(image=pixels, mask=mask).mode == "inpaint"


@pytest.mark.parametrize("kind", ["path", "str", "bytes", "bytearray", "pil", "array", "image"])
def test_pictures_come_in_every_form(
    kind: str, pixels: npt.NDArray[np.uint8], tmp_path: Path
) -> None:
    path = tmp_path / "source.png"
    PIL.Image.fromarray(pixels).save(path)
    sources = {
        "path": path,
        "str": str(path),
        "bytes": path.read_bytes(),
        "bytearray": bytearray(path.read_bytes()),
        "pil": PIL.Image.open(path),
        "array": pixels,
        "image": sdrbee.Image(path),
    }
    image = sdrbee.GenerationRequest(image=sources[kind]).image
    assert image is not None
    np.testing.assert_array_equal(np.asarray(image), pixels)


def test_strided_arrays_are_read_right(pixels: npt.NDArray[np.uint8]) -> None:
    turned = pixels[::-1, ::2].transpose(1, 0, 2)
    np.testing.assert_array_equal(np.asarray(sdrbee.Image(turned)), turned)


def test_orientation_of_a_pil_image_is_applied(pixels: npt.NDArray[np.uint8]) -> None:
    picture = PIL.Image.fromarray(pixels)
    exif = picture.getexif()
    exif[0x0112] = 6
    stored = io.BytesIO()
    picture.save(stored, "PNG", exif=exif)
    image = sdrbee.Image(PIL.Image.open(stored))
    assert (image.width, image.height) == (24, 16)


@pytest.mark.parametrize(
    "value",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
        3,
        {"a": 1},
    ],
    ids=["float", "two channels", "empty", "one dimension", "number", "dict"],
)
def test_what_is_no_picture_is_refused_with_the_field_name(value: object) -> None:
    with pytest.raises((sdrbee.InvalidRequest, TypeError), match=r"\[mask\] expected"):
        sdrbee.GenerationRequest(mask=value)  # type: ignore[arg-type]


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(sdrbee.Error, match=r"absent\.png"):
        sdrbee.Image(tmp_path / "absent.png")


def test_bytes_that_are_no_picture_are_refused() -> None:
    with pytest.raises(sdrbee.InvalidRequest):
        sdrbee.Image(b"GIF89a, or so it says")
