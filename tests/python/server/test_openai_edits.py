"""Edits: what marks the part that is repainted, and that the native route repaints the same."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import openai
import PIL.Image
import pytest
from server.conftest import Served

PROMPT = "a red circle left of a blue square"
FIELDS = {"num_inference_steps": 2, "seed": 7, "exact": True}
SIDE = 64


@pytest.fixture
def client(worker: Served) -> Iterator[openai.OpenAI]:
    url = f"http://127.0.0.1:{worker.port}/v1"
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as made:
        yield made


def file_of(array: np.ndarray, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(array).save(buffer, form, **options)
    return buffer.getvalue()


def pixels(text: str | None) -> np.ndarray:
    assert text is not None
    return np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB"))


def edited(client: openai.OpenAI, **fields: Any) -> np.ndarray:
    answer = client.images.edit(prompt=PROMPT, extra_body=FIELDS, **fields)
    assert answer.data
    return pixels(answer.data[0].b64_json)


def native(worker: Served, **fields: Any) -> np.ndarray:
    operation = {"prompt": PROMPT, "steps": 2, "seed": 7, "exact": True, **fields}
    for name in ("init_image", "mask_image", "input_image"):
        if name in operation:
            operation[name] = base64.b64encode(operation[name]).decode()
    answer = worker.ask("POST", "/v1/jobs", operation)
    assert answer.status == 200, answer.body
    return pixels(worker.events(answer.json()["job_id"])[-1]["image"])


def random_picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


def random_alpha(seed: int) -> np.ndarray:
    """Blocks that are opaque or transparent, and with odd seeds anything in between."""
    levels = np.random.default_rng(seed).integers(0, 256, (8, 8), np.uint8)
    if seed % 2 == 0:
        levels = np.where(levels < 128, 0, 255).astype(np.uint8)
    return np.kron(levels, np.ones((SIDE // 8, SIDE // 8), np.uint8))


@pytest.mark.parametrize("seed", range(4))
def test_transparent_here_is_white_on_the_native_route(
    client: openai.OpenAI, worker: Served, seed: int
) -> None:
    picture, alpha = random_picture(seed), random_alpha(seed)
    transparent = np.dstack([np.zeros_like(picture), alpha])
    ours = native(
        worker,
        operation="image_inpaint",
        init_image=file_of(picture),
        mask_image=file_of(255 - alpha),
    )
    theirs = edited(client, image=file_of(picture), mask=file_of(transparent))
    assert np.array_equal(theirs, ours)
    if seed % 2 == 0:
        assert np.array_equal(theirs[alpha == 255], picture[alpha == 255])
        assert not np.array_equal(theirs[alpha == 0], picture[alpha == 0])
    own = edited(client, image=file_of(np.dstack([picture, alpha])))
    assert np.array_equal(own, ours)


def test_without_transparency_it_is_image_to_image(client: openai.OpenAI, worker: Served) -> None:
    picture = random_picture(1)
    ours = native(worker, operation="image_transform", input_image=file_of(picture))
    assert np.array_equal(edited(client, image=file_of(picture)), ours)
    opaque = np.dstack([picture, np.full((SIDE, SIDE), 255, np.uint8)])
    assert np.array_equal(edited(client, image=[("a.png", file_of(opaque))]), ours)


def test_uploads_are_turned_upright(client: openai.OpenAI) -> None:
    lying = np.zeros((64, 128, 3), np.uint8)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    made = edited(client, image=file_of(lying, "JPEG", exif=exif.tobytes()))
    assert made.shape == (128, 64, 3)


def test_size_is_that_of_the_image_or_as_asked(client: openai.OpenAI) -> None:
    image = file_of(np.zeros((70, 100, 3), np.uint8))
    assert edited(client, image=image, size="auto").shape == (64, 96, 3)
    assert edited(client, image=image, size="64x128").shape == (128, 64, 3)


def test_a_stream_of_an_edit(client: openai.OpenAI) -> None:
    events = list(
        client.images.edit(
            image=file_of(random_picture(2)),
            prompt=PROMPT,
            stream=True,
            partial_images=1,
            output_format="jpeg",
            extra_body={"steps": 6, "strength": 1.0},
        )
    )
    assert events[-1].type == "image_edit.completed"
    assert {event.type for event in events[:-1]} <= {"image_edit.partial_image"}
    assert events[-1].usage.input_tokens_details.image_tokens == 0


def test_lists_and_flags_of_a_form(worker: Served, client: openai.OpenAI) -> None:
    image = file_of(random_picture(3))
    fields = {"sampler": "euler", "strength": 1.0, "sigmas": [10.0, 2.0, 0.0]}
    body = {"seed": 7, "exact": True, **fields}
    answer = client.images.edit(image=image, prompt=PROMPT, extra_body=body)
    assert answer.data
    fields["steps"] = None
    ours = native(worker, operation="image_transform", input_image=image, **fields)
    assert np.array_equal(pixels(answer.data[0].b64_json), ours)


GREY = np.full((SIDE, SIDE), 9, np.uint8)
CLEAR = np.dstack([random_picture(5), np.zeros((SIDE, SIDE), np.uint8)])
PICTURE = file_of(random_picture(5))


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("mask", {"image": PICTURE, "mask": PICTURE}),  # without transparency
        ("mask", {"image": PICTURE, "mask": file_of(GREY)}),
        ("mask", {"image": PICTURE, "mask": file_of(CLEAR[:32])}),  # of another size
        ("mask", {"image": PICTURE, "mask": b"not a picture"}),
        ("image", {"image": b"not a picture"}),
        ("image", {"image": PICTURE[:-20]}),
        ("image", {"image": file_of(random_picture(5), "WEBP")}),
        ("image", {"image": [PICTURE, PICTURE]}),
        ("image", {"image": []}),
        ("n", {"image": PICTURE, "n": 11}),
        ("size", {"image": PICTURE, "size": "64"}),
        ("strength", {"image": PICTURE, "extra_body": {"strength": "much"}}),
        ("strength", {"image": PICTURE, "extra_body": {"strength": 2}}),
        ("stream", {"image": PICTURE, "extra_body": {"stream": "maybe"}}),
        ("loras", {"image": PICTURE, "extra_body": {"loras": '[{"id": "a", "scale": 1}]'}}),
    ],
)
def test_a_bad_field_is_named(client: openai.OpenAI, param: str, fields: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.edit(prompt=PROMPT, **fields)
    assert caught.value.param == param, caught.value


def test_several_pictures_are_refused_and_not_left_alone(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=r"expected one picture.*but got 2") as caught:
        client.images.edit(prompt=PROMPT, image=[PICTURE, PICTURE])
    assert (caught.value.code, caught.value.param) == ("unsupported_field", "image")
