"""Requests as programs with OpenAI's dialect send them: the npm package, and recorded ones."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from server.conftest import Served

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ROOT / "build" / "node" / "node_modules"
PROMPT = "a red circle left of a blue square"


def file_of(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def pixels(text: str) -> np.ndarray:
    return np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(text))))


PICTURE = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)


@pytest.mark.skipif(not PACKAGES.is_dir(), reason="`make test` puts npm packages into build/node")
def test_the_npm_package(worker: Served, tmp_path: Path) -> None:
    alpha = np.full((64, 64), 255, np.uint8)
    alpha[:32] = 0
    picture, mask = tmp_path / "picture.png", tmp_path / "mask.png"
    picture.write_bytes(file_of(PICTURE))
    mask.write_bytes(file_of(np.dstack([PICTURE, alpha])))
    script = ROOT / "tests" / "node" / "images.cjs"
    url = f"http://127.0.0.1:{worker.port}/v1"
    run = subprocess.run(
        ["node", script, url, picture, mask],
        env={**os.environ, "NODE_PATH": str(PACKAGES)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    got = json.loads(run.stdout)
    assert [pixels(one).shape for one in got["made"]] == [(128, 128, 3)] * 2
    edited = pixels(got["edited"])
    assert np.array_equal(edited[32:], PICTURE[32:])
    assert not np.array_equal(edited[:32], PICTURE[:32])
    assert pixels(got["listed"]).shape == (64, 64, 3)
    completed = {"type": "image_generation.completed", "size": "128x128"}
    assert [event["type"] for event in got["stream"][:-1]] == ["image_generation.partial_image"]
    assert got["stream"][-1] == completed
    assert got["editStream"] == [{"type": "image_edit.completed", "size": "64x64"}]
    assert got["badField"] == {
        "name": "BadRequestError",
        "status": 400,
        "param": "n",
        "code": "invalid_field",
    }
    assert got["badModel"]["name"] == "NotFoundError"
    assert (got["late"]["name"], got["late"]["status"]) == ("InternalServerError", 504)


# The fields that each program sends, with a model and size of this worker; and what it reads.
RECORDED: dict[str, tuple[dict[str, Any], str]] = {
    "Open WebUI": (
        {
            "model": "shapes",
            "prompt": PROMPT,
            "n": 1,
            "size": "64x64",
            "response_format": "b64_json",
        },
        "b64_json",
    ),
    "LibreChat": (
        {
            "model": "shapes",
            "quality": "standard",
            "style": "vivid",
            "size": "64x64",
            "prompt": PROMPT,
            "n": 1,
        },
        "b64_json",
    ),
    "LangChain": (
        {
            "prompt": PROMPT,
            "model": "shapes",
            "n": 1,
            "size": "64x64",
            "quality": "standard",
            "response_format": "url",
        },
        "url",
    ),
    "LiteLLM": (
        {"model": "shapes", "prompt": PROMPT, "size": "64x64", "user": "some-user"},
        "b64_json",
    ),
}


@pytest.mark.parametrize("program", RECORDED)
def test_recorded_generations(worker: Served, program: str) -> None:
    body, reads = RECORDED[program]
    answer = worker.ask(
        "POST",
        "/v1/images/generations",
        {**body, "steps": 1},
        authorization="Bearer sk-none",
        user_agent="recorded",
    )
    assert answer.status == 200, answer.body
    picture = answer.json()["data"][0]
    assert set(picture) == {reads, "seed"}
    if reads == "url":
        path = picture["url"].removeprefix(f"http://127.0.0.1:{worker.port}")
        assert worker.ask("GET", path).body.startswith(b"\x89PNG")
    else:
        assert pixels(picture["b64_json"]).shape == (64, 64, 3)


def test_open_webuis_edit(worker: Served) -> None:
    """Its form as aiohttp writes it: every part has a content type."""
    fields = {"model": "shapes", "prompt": PROMPT, "n": "1", "size": "64x64"}
    fields |= {"response_format": "b64_json", "num_inference_steps": "1", "strength": "1"}
    parts = [
        f'Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name="{name}"'
        f"\r\n\r\n{value}".encode()
        for name, value in fields.items()
    ]
    for name in ("image", "image[]"):
        head = f'Content-Disposition: form-data; name="{name}"; filename="a.png"'
        upload = head.encode() + b"\r\nContent-Type: image/png\r\n\r\n" + file_of(PICTURE)
        body = b"".join(b"--edge\r\n" + part + b"\r\n" for part in [*parts, upload])
        answer = worker.ask(
            "POST",
            "/v1/images/edits",
            body + b"--edge--\r\n",
            content_type="multipart/form-data; boundary=edge",
        )
        assert answer.status == 200, answer.body
        assert pixels(answer.json()["data"][0]["b64_json"]).shape == (64, 64, 3)
