"""Requests made from a worker's own OpenAPI document: none may be answered by a 5xx, and every
answer is one that the document has."""

from __future__ import annotations

import base64
import copy
import io
from collections import Counter
from collections.abc import Iterator
from typing import Any

import PIL.Image
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as with_seed
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from server.in_process import serving

import sdrbee
from sdrbee.server.app import Worker
from sdrbee.server.limits import Limits

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]

# All fields of an operation at once take long to generate; a few at a time meet the same code.
_PARTS = 16
# Of 100 requests: those to POST /v1/jobs, by the schema's rules and against them.
_SUBMITTED = {GenerationMode.POSITIVE: 50, GenerationMode.NEGATIVE: 10}


def picture(kind: str, mode: str = "RGB") -> str:
    buffer = io.BytesIO()
    PIL.Image.new(mode, (64, 64)).save(buffer, kind)
    return base64.b64encode(buffer.getvalue()).decode()


schemathesis.openapi.format(
    "byte",
    st.one_of(
        st.sampled_from([picture("PNG"), picture("JPEG"), picture("PNG", "RGBA")]),
        st.sampled_from(["data:image/png;base64," + picture("PNG"), picture("PNG")[:40], "%%%"]),
        st.binary(max_size=60).map(lambda data: base64.b64encode(data).decode()),
    ),
)


def answer_generated(count: int, seed: int) -> dict[str, int]:
    """Sends generated requests to a worker that accepts small pictures only, and deadlines that it
    can keep; how many had each status."""
    limits = Limits(largest_side=64, steps=2, shortest_deadline_s=60.0)
    worker = Worker(sdrbee.Engine("mock"), limits=limits)
    with serving(worker) as url:
        answers = send_generated(url, count, seed)
    statuses: Counter[str] = Counter()
    for (_, status), times in answers.items():
        statuses[str(status)] += times
    return dict(statuses)


def send_generated(url: str, count: int, seed: int) -> Counter[tuple[str, int]]:
    """Sends `count` requests or a few more; how often each route gave each status.

    Jobs are cancelled as soon as they are accepted.
    """
    answers: Counter[tuple[str, int]] = Counter()
    session = requests.Session()
    document = session.get(f"{url}/v1/openapi.json", timeout=60).json()
    job_ids: list[str] = []

    def send(case: Any) -> None:
        if "job_id" in case.path_parameters and job_ids and sum(answers.values()) % 2:
            case.path_parameters["job_id"] = job_ids[-1]
        answer = case.call(base_url=url, session=session, timeout=60)
        case.validate_response(answer, checks=CHECKS)
        answers[case.operation.label, answer.status_code] += 1
        if answer.status_code == 200 and case.operation.label == "POST /v1/jobs":
            job_ids[:] = [answer.json()["job_id"]]
            session.delete(f"{url}/v1/jobs/{job_ids[0]}", timeout=60)

    parts = [*_submissions(document)]
    others = [*_operations(_without_submissions(document))]
    for operation in parts:
        for mode, percent in _SUBMITTED.items():
            share = count * percent // 100 // len(parts) + 1
            run_generated(operation.as_strategy(generation_mode=mode), share, seed, send)
    varied = sum(1 for operation in others if _is_varied(operation))
    for operation in others:
        left = max(0, count - sum(answers.values()))
        share = left // varied + 1 if _is_varied(operation) else 1
        varied -= _is_varied(operation)
        run_generated(operation.as_strategy(), share, seed, send)
    return answers


def _is_varied(operation: Any) -> bool:
    """Whether there is more than one request to it."""
    groups = (operation.path_parameters, operation.query, operation.body)
    return any(len(group) for group in groups)


def run_generated(strategy: Any, count: int, seed: int, send: Any) -> None:
    """Sends `count` requests of a strategy."""

    @with_seed(seed)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def run(case: Any) -> None:
        send(case)

    run()


def _operations(document: dict[str, Any]) -> Iterator[Any]:
    for result in schemathesis.openapi.from_dict(document).get_all_operations():
        yield result.ok()


def _without_submissions(document: dict[str, Any]) -> dict[str, Any]:
    rest = copy.deepcopy(document)
    del rest["paths"]["/v1/jobs"]["post"]
    return rest


def _submissions(document: dict[str, Any]) -> Iterator[Any]:
    """POST /v1/jobs with every sixteenth field, from each of the first sixteen on; the operation
    and its pictures are always there."""
    for part in range(_PARTS):
        narrow = copy.deepcopy(document)
        narrow["paths"] = {"/v1/jobs": {"post": narrow["paths"]["/v1/jobs"]["post"]}}
        for schema in narrow["components"]["schemas"].values():
            if "operation" in schema.get("properties", {}) and "prompt" in schema["properties"]:
                _narrow(schema, part)
        yield from _operations(narrow)


def _narrow(schema: dict[str, Any], part: int) -> None:
    properties = schema["properties"]
    pictures = [name for name in ("input_image", "mask_image") if name in properties]
    kept = ["operation", *pictures, *[*properties][part::_PARTS]]
    schema["properties"] = {name: properties[name] for name in kept}
    schema["required"] = ["operation", *pictures]
    schema["additionalProperties"] = False
