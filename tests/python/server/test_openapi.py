"""The OpenAPI document, and requests that are made from it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import requests
from server.generated import send_generated
from server.in_process import serving

import sdrbee
from sdrbee.server.app import Worker
from sdrbee.server.limits import Limits
from sdrbee.server.operations import NOT_ON_THE_WIRE

SMALL = Limits(largest_side=64, steps=2)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(Worker(sdrbee.Engine("mock", preload=True), limits=SMALL)) as url:
        yield url


def test_the_document_has_every_field_with_its_limits(url: str) -> None:
    document = requests.get(f"{url}/v1/openapi.json", timeout=60).json()
    assert document == requests.get(f"{url}/openapi.json", timeout=60).json()
    fields = document["components"]["schemas"]["ImageInpaint"]["properties"]
    expected = {row.name for row in sdrbee.request_fields()} - set(NOT_ON_THE_WIRE)
    assert expected | {"init_image", "mask_image", "loras", "controls", "n"} <= set(fields)
    steps = fields["steps"]["anyOf"][0]
    assert (steps["minimum"], steps["maximum"]) == (1, 2)
    assert steps["description"]


def test_generated_requests_get_no_5xx_and_documented_answers(url: str) -> None:
    while requests.get(f"{url}/ready", timeout=60).status_code != 200:
        time.sleep(0.05)
    answers = send_generated(url, 1000, seed=5)
    assert sum(answers.values()) >= 1000, answers
    assert answers["POST /v1/jobs", 200] > 20
    assert answers["POST /v1/jobs", 422] > 100
