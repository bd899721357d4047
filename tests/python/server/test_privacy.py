"""No answer and no picture tells where the worker's files are."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from server.conftest import Served, serve

import sdrbee
from sdrbee.model_files import BUILTIN_FOLDER
from sdrbee.server.infotext import picture_texts

PROMPT = "a red star"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two models; of one the weights are damaged once the worker has started."""
    folder = tmp_path_factory.mktemp("private")
    shutil.copytree(BUILTIN_FOLDER / "shapes", folder / "good")
    shutil.copytree(BUILTIN_FOLDER / "shapes", folder / "bad")
    return folder


@pytest.fixture(scope="module")
def private(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    models = (f"mine={place / 'good'}", f"broken={place / 'bad'}")
    for served in serve(tmp_path_factory.mktemp("worker"), *models):
        for weights in (place / "bad").rglob("*.safetensors"):
            weights.write_bytes(weights.read_bytes()[:-1])
        yield served


def check(place: Path, answer: bytes) -> None:
    assert str(place).encode() not in answer
    assert place.name.encode() not in answer
    assert str(BUILTIN_FOLDER).encode() not in answer


def check_picture(place: Path, png: bytes) -> dict[str, Any]:
    """The recipe of a picture."""
    check(place, png)
    texts = picture_texts(png)
    for text in texts.values():
        check(place, text.encode())
    assert ", Model: mine, Version" in texts["parameters"]
    recipe: dict[str, Any] = json.loads(texts["sdrbee"])
    assert recipe["model"]["source"] == "mine"
    return recipe


def test_pictures_of_the_native_route(place: Path, private: Served, tmp_path: Path) -> None:
    job = private.submit(PROMPT, steps=2, seed=7)
    stream = private.ask("GET", f"/v1/jobs/{job}/stream")
    check(place, stream.body)
    check(place, private.ask("GET", f"/v1/jobs/{job}").body)
    png = private.ask("GET", f"/v1/jobs/{job}/image").body
    check_picture(place, png)
    for event in private.events(job):
        if "image" in event:
            check(place, base64.b64decode(event["image"]))
    (tmp_path / "served.png").write_bytes(png)
    with pytest.raises(sdrbee.ModelNotFound, match=r"'mine' with SHA-256 .*give it as `model`"):
        sdrbee.replay(tmp_path / "served.png")
    again = sdrbee.replay(tmp_path / "served.png", model=place / "good")
    assert bytes(again) == bytes(sdrbee.Image(png))


def test_pictures_of_a1111s_route(place: Path, private: Served) -> None:
    answer = private.ask("POST", "/sdapi/v1/txt2img", {"prompt": PROMPT, "steps": 2})
    check(place, answer.body)
    check(place, answer.json()["info"].encode())
    png = base64.b64decode(answer.json()["images"][0])
    check_picture(place, png)
    info = private.ask("POST", "/sdapi/v1/png-info", {"image": answer.json()["images"][0]})
    check(place, info.body)
    assert info.json()["parameters"]["Model"] == "mine"


@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_pictures_of_openais_route(place: Path, private: Served, form: str) -> None:
    body = {"prompt": PROMPT, "steps": 2, "output_format": form}
    answer = private.ask("POST", "/v1/images/generations", body)
    check(place, answer.body)
    file = base64.b64decode(answer.json()["data"][0]["b64_json"])
    check(place, file)
    if form == "png":
        check_picture(place, file)
    stream = private.ask("POST", "/v1/images/generations", {**body, "stream": True})
    check(place, stream.body)


def test_errors_of_a_damaged_model_call_it_by_name(place: Path, private: Served) -> None:
    body = {"prompt": PROMPT, "steps": 1, "model": "broken"}
    job = private.submit(PROMPT, steps=1, model="broken")
    failed = private.ask("GET", f"/v1/jobs/{job}/stream")
    assert b"model_damaged" in failed.body
    settings = {"override_settings": {"sd_model_checkpoint": "broken"}}
    for answer in (
        failed,
        private.ask("GET", f"/v1/jobs/{job}"),
        private.ask("POST", "/v1/models/broken/load"),
        private.ask("GET", "/ready"),
        private.ask("POST", "/v1/images/generations", body),
        private.ask("POST", "/v1/images/generations", {**body, "stream": True}),
        private.ask("POST", "/sdapi/v1/txt2img", {"prompt": PROMPT, "steps": 1, **settings}),
    ):
        check(place, answer.body)
    assert b"broken" in private.ask("POST", "/v1/models/broken/load").body


@pytest.mark.parametrize(
    "path",
    ["/info", "/metrics", "/v1/models", "/v1/models/mine", "/v1/capabilities", "/v1/jobs", "/ready"]
    + [f"/sdapi/v1/{name}" for name in ("sd-models", "options", "memory", "cmd-flags", "loras")],
)
def test_what_the_worker_tells_of_itself(place: Path, private: Served, path: str) -> None:
    check(place, private.ask("GET", path).body)
