"""The OpenAPI document, and requests that are made from it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from msgspec import structs
from server.generated import picture, send_generated
from server.in_process import serving

import sdrbee
from sdrbee.server.a1111_request import Settings, read_img2img, read_txt2img
from sdrbee.server.a1111_schema import Img2img, Txt2img
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


def test_the_document_has_every_route_of_the_api(url: str) -> None:
    paths = requests.get(f"{url}/openapi.json", timeout=60).json()["paths"]
    worker = Worker(sdrbee.Engine("mock"))
    served = {(method, path.replace("*}", "}")) for method, path in worker._router.paths}
    described = {(method.upper(), path) for path, own in paths.items() for method in own}
    missing = {
        (method, path)
        for method, path in served - described
        if path != "/" and not path.startswith("/page/")
    }
    assert missing == {("POST", "/v1/images/variations")}, "which only says that there are none"
    models = paths["/v1/models/{model}/load"]["post"]
    assert models["parameters"][0]["name"] == "model"
    jobs = paths["/v1/jobs"]["get"]["responses"]["200"]["content"]["application/json"]
    assert jobs["schema"] == {"$ref": "#/components/schemas/JobList"}


class Watched(dict[str, Any]):
    """Remembers which fields are asked for."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.asked: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return super().get(name, default)


def test_the_document_has_every_field_that_the_a1111_routes_read() -> None:
    picture_text = picture("PNG")
    churn = {"s_churn": 1, "sampler_index": "Euler"}
    bodies: list[Any] = [
        (Txt2img, read_txt2img, {"enable_hr": True, "hr_resize_x": 64, "width": 64, "height": 64}),
        (Txt2img, read_txt2img, {"enable_hr": True, **churn}),
        (Img2img, read_img2img, {"init_images": [picture_text], "mask": picture_text, **churn}),
    ]
    asked: dict[Any, set[str]] = {Txt2img: set(), Img2img: set()}
    for kind, read, values in bodies:
        body = Watched(values)
        read(body, Settings(), Limits())
        asked[kind] |= body.asked | values.keys()
    read_for_the_answer = {"send_images", "include_init_images"}
    for kind, names in asked.items():
        assert {field.name for field in structs.fields(kind)} == names | read_for_the_answer


def test_generated_requests_get_no_5xx_and_documented_answers(url: str) -> None:
    while requests.get(f"{url}/ready", timeout=60).status_code != 200:
        time.sleep(0.05)
    answers = send_generated(url, 1000, seed=5)
    assert sum(answers.values()) >= 1000, answers
    assert answers["POST /v1/jobs", 200] > 20
    assert answers["POST /v1/jobs", 422] > 100
