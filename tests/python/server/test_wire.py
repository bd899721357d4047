"""Operations as they are read: every field with what is wrong, and pictures of all kinds."""

from __future__ import annotations

import base64
import io
import math
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest

import sdrbee
from sdrbee.hub.local import LocalModels, StoredModel
from sdrbee.requests import Control
from sdrbee.server.a1111_request import Settings, read_txt2img
from sdrbee.server.errors import ApiError
from sdrbee.server.limits import Limits
from sdrbee.server.operations import (
    FEATURES,
    NOT_ON_THE_WIRE,
    OPERATIONS,
    IpAdapter,
    operation_types,
)
from sdrbee.server.wire import Submission, read_operation

LIMITS = Limits()


def read(operation: str = "image_generation", **fields: Any) -> Submission:
    return read_operation({"operation": operation, "prompt": "a star", **fields}, LIMITS)


def refusal(operation: str = "image_generation", **fields: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        read(operation, **fields)
    assert caught.value.status == 422
    assert caught.value.message.startswith(f"[{caught.value.field}] ")
    assert len(caught.value.message) < 400
    return caught.value


def png(width: int = 16, height: int = 16, kind: str = "RGB") -> str:
    buffer = io.BytesIO()
    PIL.Image.new(kind, (width, height)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def bomb() -> str:
    """A PNG whose header says 65,000 x 65,000."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 65_000, 65_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1 << 20), 9)
    file = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels)
    return base64.b64encode(file + chunk(b"IEND", b"")).decode()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_field_of_the_request_is_on_the_wire(operation: str) -> None:
    names = set(operation_types(LIMITS)[operation].__struct_fields__)
    expected = {row.name for row in sdrbee.request_fields()} - set(NOT_ON_THE_WIRE)
    assert expected <= names
    assert {"n", "model", "priority", "deadline_s", "webhook_url", *FEATURES} <= names


def test_every_field_of_an_ip_adapter_is_on_the_wire() -> None:
    of_others = {"guess_mode", "type", "mode", "preprocessor"}
    fields = (set(Control.__annotations__) - {"model"} - of_others) | {"name"}
    assert set(IpAdapter.__struct_fields__) == fields


WRONG: dict[str, list[Any]] = {
    "str": [5, True, [], {}],
    "bool": [1, "true", []],
    "int": ["5", 2.5, 2.0, True, [], {}, 1 << 200],
    "float": ["NaN", "1.5", True, [], {}, math.nan, math.inf, 10**400],
    "list of int": [5, "1,2", [1.5], ["1"], [True], [None], {}],
    "list of loras": [5, "ink", [5], [None], {"name": "ink"}, [{"name": 5}]],
    "list of embeddings": [5, "ink", [5], [None], {"name": "ink"}, [{"name": 5}]],
    "list of float": [5.0, ["1"], [math.nan], [[1.0]], [None], {}],
}


@pytest.mark.parametrize("row", sdrbee.request_fields(), ids=lambda row: str(row.name))
def test_a_value_of_another_type_is_refused_by_name(row: Any) -> None:
    if row.name in NOT_ON_THE_WIRE:
        return
    for value in WRONG[row.type]:
        with pytest.raises((ApiError, sdrbee.InvalidRequest), match=rf"^\[{row.name}\b"):
            read(**{row.name: value}).request()


def test_null_and_absent_are_the_default() -> None:
    nulls = dict.fromkeys(operation_types(LIMITS)["image_generation"].__struct_fields__)
    assert read(**{**nulls, "prompt": "a star"}) == read()
    assert read().request().steps is None
    assert read(loras=[], controls=[], embeddings=[], ip_adapters=[]) == read()


def test_numbers_without_a_fraction_are_floats_too() -> None:
    assert read(guidance_scale=7).request().guidance_scale == 7.0


@pytest.mark.parametrize("text", ["\u202e\u0000\U0001f600", "e\u0301\u200b", "\n\t\x1b[2J", "०१२"])
def test_prompts_are_any_text(text: str) -> None:
    assert read(prompt=text).request().prompt == text
    assert refusal(steps=text).field == "steps"


@pytest.mark.parametrize("name", ["../secret", "a/b", "/etc/passwd", "C:x", "a\\b", "..", ".", ""])
@pytest.mark.parametrize("key", ["path", "name"])
def test_an_adapters_name_is_no_path(key: str, name: str) -> None:
    assert refusal(loras=[{key: name}]).field == f"loras[0].{key}"


def test_a_loras_name_is_of_the_model_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDRBEE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ink.safetensors").write_bytes(b"")
    with pytest.raises(
        sdrbee.InvalidRequest, match=r"^\[loras\] .*'ink.safetensors' \(of kind lora"
    ):
        read(loras=[{"name": "ink.safetensors"}]).request()
    stored = StoredModel("me/ink", str(tmp_path / "ink.safetensors"), "hf:me/ink", kind="lora")
    LocalModels().add(stored)
    rows = read(loras=[{"path": "ink", "strength": 0.5, "blocks": [1.0] * 17}]).request().loras
    assert [(row["name"], row["path"], row["strength"]) for row in rows] == [
        ("ink", stored.path, 0.5)
    ]
    assert rows[0]["blocks"] == [1.0] * 17


def test_tags_of_a1111_are_loras() -> None:
    body = {"prompt": "a star <lora:ink:0.5>", "steps": 1}
    submission = read_txt2img(body, Settings(), LIMITS)
    assert submission.fields["prompt"] == "a star "
    assert submission.fields["loras"] == [{"name": "ink", "strength": 0.5}]
    with pytest.raises(ApiError) as caught:
        read_txt2img({"prompt": "a <lora:../ink:1>"}, Settings(), LIMITS)
    assert caught.value.field == "loras[0].name"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"loras": [{"strength": 1}]}, "loras[0].name"),
        ({"loras": [{"name": "a"}, {"name": "b", "strength": "1"}]}, "loras[1].strength"),
        ({"loras": [{"name": "a", "strength": math.nan}]}, "loras[0].strength"),
        ({"loras": {"name": "a"}}, "loras"),
        ({"loras": ["a"]}, "loras[0]"),
        ({"loras": [{"name": "a"}] * 9}, "loras"),
        ({"controls": [{"name": "canny"}]}, "controls[0].image"),
        ({"controls": [{"name": "canny", "image": "%%%"}]}, "controls[0].image"),
        ({"controls": [{"name": "canny", "image": "aaaa", "start": 2}]}, "controls[0].start"),
        ({"ip_adapters": [{"name": "a", "image": 5}]}, "ip_adapters[0].image"),
        ({"ip_adapters": [{"name": "a"}]}, "ip_adapters[0].image"),
        ({"ip_adapters": [{"name": "a", "images": []}]}, "ip_adapters[0].images"),
        ({"ip_adapters": [{"name": "a", "images": [png()] * 17}]}, "ip_adapters[0].images"),
        ({"ip_adapters": [{"name": "a", "images": [png(), "%"]}]}, "ip_adapters[0].images[1]"),
        ({"ip_adapters": [{"name": "a", "image": png(), "mask": 1}]}, "ip_adapters[0].mask"),
        (
            {"ip_adapters": [{"name": "a", "image": png(), "blocks": {"up": 11}}]},
            "ip_adapters[0].blocks[...]",
        ),
        ({"embeddings": [{"name": "a", "token": 5}]}, "embeddings[0].token"),
        ({"outpaint": [1 << 102]}, "outpaint"),
        ({"clip_skip": -(1 << 63) - 1}, "clip_skip"),
        ({"priority": 0.5}, "priority"),
        ({"deadline_s": math.nan}, "deadline_s"),
        ({"deadline_s": 1e9}, "deadline_s"),
        ({"deadline_s": 5e-324}, "deadline_s"),
        ({"n": 0}, "n"),
        ({"webhook_url": 5}, "webhook_url"),
        ({"hires_steps": 10_000}, "hires_steps"),
    ],
)
def test_a_bad_field_of_the_worker_is_named(fields: dict[str, Any], named: str) -> None:
    assert refusal(**fields).field == named


@pytest.mark.parametrize(
    "fields",
    [
        {"controls": [{"name": "canny", "image": png(), "strength": 1, "start": 0, "end": 0.5}]},
        {"ip_adapters": [{"name": "face", "image": png()}]},
    ],
)
def test_what_a_model_cannot_do_is_refused_by_the_fields_name(fields: dict[str, Any]) -> None:
    submission = read(**fields)
    plain: Any = SimpleNamespace(capabilities=SimpleNamespace())
    with pytest.raises(ApiError) as caught:
        submission.check_features("plain", plain)
    assert (caught.value.status, caught.value.code) == (422, "unsupported_field")
    assert [caught.value.field] == list(fields)


@pytest.mark.parametrize(
    "text",
    [png(), "data:image/png;base64," + png(), "DATA:;base64," + png(), png(kind="RGBA")],
    ids=["plain", "data-url", "short-data-url", "alpha"],
)
def test_pictures_come_with_or_without_a_data_url(text: str) -> None:
    request = read("image_transform", input_image=text, strength=0.5).request()
    assert request.image is not None
    assert (request.image.width, request.image.height) == (16, 16)


@pytest.mark.parametrize("name", ["input_image", "init_image", "image"])
@pytest.mark.parametrize(
    "text",
    ["AAAA", png()[: len(png()) // 2 // 4 * 4], bomb(), "R0lGODlhAQABAAAAACw="],
    ids=["noise", "truncated", "bomb", "gif"],
)
def test_what_is_no_picture_is_refused_by_its_wires_name(name: str, text: str) -> None:
    submission = read("image_transform", **{name: text})
    with pytest.raises(sdrbee.InvalidRequest, match=rf"^\[{name}\] (expected|PNG)"):
        submission.request()


@pytest.mark.parametrize(
    "text", ["", "%", "AAA", "data:image/png;base64", "\u00ff", "AA AA", 5, ["AA"]]
)
def test_what_is_no_base64_is_refused_by_name(text: Any) -> None:
    assert refusal("image_inpaint", init_image=text, mask_image=png()).field == "init_image"
    assert refusal("image_inpaint", init_image=png(), mask_image=text).field == "mask_image"


@pytest.mark.parametrize(
    "fields",
    [
        {"operation": "image_generation", "width": 4096, "height": 4096, "hires_scale": 2.0},
        {"operation": "image_transform", "input_image": png(5000, 5000)},
        {"operation": "image_transform", "input_image": png(8, 8), "outpaint": [8000, 0, 8000, 0]},
    ],
)
def test_the_picture_to_be_made_is_bounded(fields: dict[str, Any]) -> None:
    body = {"prompt": "a", **fields}
    small = Limits(pixels=100_000)
    with pytest.raises(ApiError, match="pixels in all"):
        read_operation(body, small).request()
    assert np.prod([8, 8]) < small.pixels
