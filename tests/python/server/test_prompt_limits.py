"""A prompt that must not be cut is refused before it is queued, by every route."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from server.in_process import serving

import sdrbee
from sdrbee.server.app import Worker

LONG = "a red circle, " * 30


@pytest.fixture(scope="module")
def full() -> Iterator[str]:
    """The URL of a worker whose queue has no place left."""
    with sdrbee.Engine("shapes", queue_limit=1, max_batch=1) as engine:
        engine.load()
        running = engine.submit("a star", steps=1000, sampler="euler")
        next(event for event in running if event.kind == "started")
        waiting = engine.submit("a star", steps=1)
        with serving(Worker(engine)) as url:
            yield url
        waiting.cancel()
        running.cancel()


def ask(url: str, **fields: Any) -> requests.Response:
    body = {"operation": "image_generation", "hive_id": "localhost", "long_prompt": "error"}
    return requests.post(f"{url}/v1/jobs", json=body | fields, timeout=60)


def test_the_native_route_names_the_field_before_it_looks_at_the_queue(full: str) -> None:
    for field in ("prompt", "negative_prompt"):
        words = {"prompt": "a star", "negative_prompt": "blurry", "steps": 1}
        assert ask(full, **words).status_code == 429  # such words fit, and it is remembered
        answer = ask(full, **words | {field: LONG})
        assert answer.status_code == 422
        error = answer.json()["error"]
        assert (error["code"], error["field"]) == ("invalid_field", field)
        assert "expected at most 77 tokens for CLIP but got 122" in error["message"]
        assert "long_prompt='chunk' keeps all of it" in error["message"]
        assert ask(full, **words | {field: LONG, "long_prompt": "chunk"}).status_code == 429


def test_openais_route_answers_400(full: str) -> None:
    body = {"prompt": LONG, "long_prompt": "error", "model": "shapes"}
    answer = requests.post(f"{full}/v1/images/generations", json=body, timeout=60)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", "prompt")
