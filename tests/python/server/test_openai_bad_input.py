"""What is sent wrongly to OpenAI's routes: never a 5xx, and the worker goes on."""

from __future__ import annotations

import io
import socket
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import PIL.Image
import pytest
import requests
import schemathesis
from schemathesis.generation import GenerationMode
from server.conftest import Answer, Served
from server.generated import CHECKS, run_generated
from server.in_process import serving

import sdrbee
from sdrbee.server.app import Worker
from sdrbee.server.limits import Limits

PROMPT = "a red circle left of a blue square"
GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"


def is_refused(answer: Answer, status: int = 400, param: str | None = None) -> None:
    assert answer.status == status, answer.body[:300]
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert error["type"] == "invalid_request_error"
    if param is not None:
        assert error["param"] == param, error


# Values that are wrong for fields of each type. A field that is accepted without effect is still
# of its type.
WRONG: dict[str, list[Any]] = {
    "text": [5, True, [], {}, ["a"]],
    "whole number": ["x", 1.5, True, [], {}, 1 << 70, -(1 << 70)],
    "number": ["x", True, [], {}, 1e999],
    "flag": ["x", 1, 0, [], {}],
    "list": ["x", 1, {}, True],
}
FIELDS = {
    "prompt": "text",
    "model": "text",
    "size": "text",
    "quality": "text",
    "response_format": "text",
    "output_format": "text",
    "background": "text",
    "moderation": "text",
    "style": "text",
    "user": "text",
    "negative_prompt": "text",
    "scheduler": "text",
    "sampler": "text",
    "n": "whole number",
    "output_compression": "whole number",
    "partial_images": "whole number",
    "num_inference_steps": "whole number",
    "steps": "whole number",
    "seed": "whole number",
    "width": "whole number",
    "guidance_scale": "number",
    "true_cfg_scale": "number",
    "strength": "number",
    "stream": "flag",
    "exact": "flag",
    "loras": "list",
    "sigmas": "list",
}


@pytest.mark.parametrize("field", FIELDS)
def test_values_of_another_type_are_refused(worker: Served, field: str) -> None:
    usual = {"prompt": PROMPT} if field == "num_inference_steps" else {"prompt": PROMPT, "steps": 1}
    for value in WRONG[FIELDS[field]]:
        answer = worker.ask("POST", GENERATIONS, {**usual, field: value})
        if value == 1e999:  # JSON has no infinity
            is_refused(answer)
        else:
            is_refused(answer, param=field)


BAD_VALUES = [
    ("prompt", {"prompt": None}),
    ("prompt", {"prompt": "a" * 32_001}),
    ("size", {"size": "64x"}),
    ("size", {"size": "99999x99999"}),
    ("size", {"size": "-64x64"}),
    ("size", {"size": "\uff16\uff14x64"}),
    ("size", {"size": "65x64"}),
    ("size", {"size": "0x64"}),
    ("n", {"n": 0}),
    ("n", {"n": 11}),
    ("partial_images", {"partial_images": 4, "stream": True}),
    ("partial_images", {"partial_images": -1}),
    ("output_compression", {"output_compression": 101}),
    ("output_format", {"output_format": "gif"}),
    ("response_format", {"response_format": "base64"}),
    ("num_inference_steps", {"num_inference_steps": 0}),
    ("num_inference_steps", {"num_inference_steps": 1001}),
    ("scheduler", {"scheduler": "eular"}),
    ("sampler", {"sampler": "\ud83d\ude00"}),
    ("seed", {"seed": -1}),
    ("true_cfg_scale", {"true_cfg_scale": 4.0}),
    ("loras", {"loras": [{"id": "style", "scale": 0.5}]}),
    ("loras[0].name", {"loras": [{"id": "../secret"}]}),
]


@pytest.mark.parametrize(("param", "fields"), BAD_VALUES)
def test_a_bad_value_is_named(worker: Served, param: str, fields: dict[str, Any]) -> None:
    is_refused(worker.ask("POST", GENERATIONS, {"prompt": PROMPT, **fields}), param=param)


def test_nulls_are_defaults_and_unknown_fields_left_alone(worker: Served) -> None:
    nulls = dict.fromkeys(FIELDS) | {"prompt": PROMPT, "steps": 1, "size": "64x64"}
    answer = worker.ask("POST", GENERATIONS, {**nulls, "teacache": {"deep": [1]}, "instance": 4})
    assert answer.status == 200, answer.body


def test_bodies_that_are_no_request(worker: Served) -> None:
    for body in (b"", b"{", b"[]", b"5", b"\xff", b"[" * 100_000, b'{"prompt": "a", "n": NaN}'):
        is_refused(worker.ask("POST", GENERATIONS, body))
    is_refused(worker.ask("POST", GENERATIONS, b"{}", content_type="text/plain"), 415)
    is_refused(worker.ask("GET", GENERATIONS), 405)
    is_refused(worker.ask("GET", "/v1/images/none"), 404)
    is_refused(worker.ask("POST", "/v1/images/variations", {}), 404)


def part(name: str, value: bytes, more: str = "") -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return b"--edge\r\n" + head.encode() + value + b"\r\n"


def picture() -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


IMAGE = part("image", picture(), '; filename="a.png"')
END = b"--edge--\r\n"
WHOLE = part("prompt", b"a") + part("steps", b"2") + IMAGE + END
NESTED = (
    b'--edge\r\nContent-Disposition: form-data; name="image"\r\n'
    b"Content-Type: multipart/mixed; boundary=inner\r\n\r\n--inner\r\n\r\nx\r\n--inner--\r\n"
)
FORM = "multipart/form-data; boundary=edge"

BAD_FORMS: dict[str, tuple[int, bytes, str]] = {
    "empty": (400, b"", FORM),
    "no boundary": (400, WHOLE, "multipart/form-data"),
    "an empty boundary": (400, WHOLE, "multipart/form-data; boundary="),
    "another boundary": (400, WHOLE, "multipart/form-data; boundary=other"),
    "a long boundary": (400, WHOLE, "multipart/form-data; boundary=" + "a" * 5000),
    "another content type": (415, WHOLE, "application/json"),
    "cut off in the picture": (400, WHOLE[:-60], FORM),
    "cut off in a header": (400, WHOLE[:20], FORM),
    "cut off in a field": (400, WHOLE.removesuffix(END) + part("user", b"a"), FORM),
    "without its closing boundary": (400, WHOLE.removesuffix(END), FORM),
    "10,000 parts": (413, part("a", b"b") * 10_000 + WHOLE, FORM),
    "nested": (400, NESTED + WHOLE, FORM),
    "a huge header": (400, part("a" * 100_000, b"") + WHOLE, FORM),
    "many headers": (400, b"--edge\r\n" + b"a: b\r\n" * 5000 + b"\r\n\r\n" + WHOLE, FORM),
    "a part without a name": (400, b"--edge\r\n\r\nx\r\n" + WHOLE, FORM),
    "a long text": (413, part("prompt", b"a" * 300_000) + WHOLE, FORM),
    "a text that is not UTF-8": (400, part("user", b"\xff") + WHOLE, FORM),
    "a name that is not UTF-8": (400, WHOLE.replace(b'"image"', b'"\xff"'), FORM),
    "a field twice": (400, part("steps", b"1") + WHOLE, FORM),
    "no prompt": (400, IMAGE + END, FORM),
    "no image": (400, part("prompt", b"a") + END, FORM),
    "an image without a file name": (400, part("prompt", b"a") + part("image", picture()), FORM),
    "a number that is none": (400, part("n", b"NaN") + WHOLE, FORM),
    "a huge number": (400, part("n", b"9" * 5000) + WHOLE, FORM),
    "a deep list": (400, part("sigmas", b"[" * 5000) + WHOLE, FORM),
    "zeros": (400, b"\0" * 100_000, FORM),
}


@pytest.mark.parametrize("name", BAD_FORMS)
def test_a_bad_form_is_refused(worker: Served, name: str) -> None:
    status, body, kind = BAD_FORMS[name]
    is_refused(worker.ask("POST", EDITS, body, content_type=kind), status)


def test_a_form_that_would_take_long_to_read_does_not(worker: Served) -> None:
    """All that looks like the beginning of a boundary."""
    for filler in (b"\r\n--edg", b"\r", b"-", b"\r\n"):
        body = part("image", filler * (4_000_000 // len(filler)), '; filename="a"') + END
        is_refused(worker.ask("POST", EDITS, body, content_type=FORM))


def test_the_next_request_is_served(worker: Served) -> None:
    assert worker.ask("POST", EDITS, WHOLE, content_type=FORM).status == 200


@pytest.fixture(scope="module")
def small() -> Iterator[str]:
    """The URL of a worker that makes small pictures in few steps only."""
    limits = Limits(largest_side=64, steps=2, images_per_job=2)
    with serving(Worker(sdrbee.Engine("shapes"), limits=limits)) as url:
        yield url


@pytest.mark.parametrize(
    ("mode", "count", "expected"),
    [(GenerationMode.POSITIVE, 4, 200), (GenerationMode.NEGATIVE, 10, 400)],
)
def test_generated_requests_get_no_5xx_and_documented_answers(
    small: str, mode: GenerationMode, count: int, expected: int
) -> None:
    document = requests.get(f"{small}/openapi.json", timeout=60).json()
    document["paths"] = {GENERATIONS: document["paths"][GENERATIONS]}
    schema = document["components"]["schemas"]["ImagesGeneration"]
    fields = schema["properties"]
    always = {"prompt": fields["prompt"]}
    for name in ("steps", "width", "height"):
        always[name] = fields[name]["anyOf"][0]  # without null, which would be the model's own
    schema["required"] = list(always)
    schema["additionalProperties"] = False
    statuses: Counter[int] = Counter()

    def send(case: Any) -> None:
        answer = case.call(base_url=small, timeout=60)
        if "text/event-stream" not in answer.headers["content-type"]:
            case.validate_response(answer, checks=CHECKS)
        statuses[answer.status_code] += 1

    names = [name for name in fields if name not in always]
    for index in range(8):  # a few at a time
        few = {name: fields[name] for name in names[index::8]}
        schema["properties"] = {**always, **few}
        (operation,) = schemathesis.openapi.from_dict(document).get_all_operations()
        run_generated(operation.ok().as_strategy(generation_mode=mode), count, index, send)
    assert statuses[expected] > 5, statuses


def test_a_client_that_goes_in_the_middle_of_its_form(worker: Served) -> None:
    head = f"POST {EDITS} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {FORM}\r\n"
    with socket.create_connection(("127.0.0.1", worker.port)) as connection:
        connection.sendall(f"{head}Content-Length: {len(WHOLE)}\r\n\r\n".encode() + WHOLE[:100])
    assert worker.ask("GET", "/health").status == 200
