"""What the tests of A1111's dialect share: how it is asked, and pictures for it."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import PIL.Image
from server.conftest import Served

PROMPT = "a red circle left of a blue square"
ROUTE = "/sdapi/v1/"


def encoded(pixels: np.ndarray, kind: str = "PNG") -> str:
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, kind)
    return base64.b64encode(buffer.getvalue()).decode()


def pixels_of(text: str) -> np.ndarray:
    return np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(text, validate=True))))


def post(worker: Served, name: str, **body: Any) -> Any:
    answer = worker.ask("POST", ROUTE + name, body)
    assert answer.status == 200, answer.body
    return answer.json()


def source() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (128, 128, 3), np.uint8)


def edges(width: int = 128, height: int = 128) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)


def half_white() -> np.ndarray:
    mask = np.zeros((128, 128), np.uint8)
    mask[:, 64:] = 255
    return mask
