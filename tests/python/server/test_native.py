"""rbee's contract and what the native routes add to it, over real sockets."""

from __future__ import annotations

import base64
import io
import time
from typing import Any

import numpy as np
import PIL.Image
import pytest
from server.conftest import Served

import sdrbee

PROMPT = "a red circle left of a blue square"


def picture(text: str) -> PIL.Image.Image:
    return PIL.Image.open(io.BytesIO(base64.b64decode(text, validate=True)))


def encoded(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def test_health_and_ready(worker: Served) -> None:
    health = worker.ask("GET", "/health").json()
    assert health["status"] == "healthy"
    assert health["timestamp"].endswith("+00:00")
    for _ in range(600):
        ready = worker.ask("GET", "/ready")
        if ready.status == 200:
            break
        assert ready.json()["reason"] == "model loading"
        time.sleep(0.05)
    assert ready.json()["ready"] is True
    assert worker.ask("GET", "/").status == 200


def test_a_picture_by_the_events_of_the_contract(worker: Served) -> None:
    events = worker.events(worker.submit(PROMPT, steps=9, seed=7))
    names = [event["type"] for event in events]
    assert names[0] == "queued"
    assert names[-1] == "complete"
    steps = [event for event in events if event["type"] in ("progress", "preview")]
    assert [event["step"] for event in steps] == list(range(1, 10))
    assert [event["type"] == "preview" for event in steps][-3:] == [False, False, True]
    assert steps[0]["total"] == 9
    assert steps[0]["percent"] == pytest.approx(100 / 9)
    assert picture(steps[-1]["image"]).size == (16, 16)
    done = events[-1]
    assert (done["format"], done["seed"], done["width"], done["height"]) == ("png", 7, 128, 128)
    made = sdrbee.load("shapes").generate(PROMPT, steps=9, seed=7, preview="fast")
    assert np.array_equal(np.asarray(picture(done["image"])), np.asarray(made))
    ids = [event["id"] for event in events]
    assert ids == sorted(set(ids))


@pytest.mark.parametrize(
    ("fields", "marker"),
    [
        ({"steps": 1}, "[DONE]"),
        ({"steps": 1000, "deadline_s": 0.001}, "[ERROR] "),
    ],
)
def test_a_reader_of_lines_stops_at_the_marker(
    worker: Served, fields: dict[str, Any], marker: str
) -> None:
    """As rbee's job-client reads: lines, with "data:" taken off, until one that ends the job."""
    job_id = worker.submit(PROMPT, **fields)
    lines = worker.ask("GET", f"/v1/jobs/{job_id}/stream").body.decode().splitlines()
    told = [line.removeprefix("data:").strip() for line in lines if line]
    markers = [line for line in told if line.startswith(("[DONE]", "[ERROR]", "[CANCELLED]"))]
    assert len(markers) == 1
    assert markers[0].startswith(marker)
    assert told[-1] == markers[0]


def test_streams_may_be_read_again_and_from_an_event_on(worker: Served) -> None:
    job_id = worker.submit(PROMPT, steps=3)
    first = worker.events(job_id)
    again = worker.events(job_id)
    assert [event["type"] for event in again] == ["queued", "started", "preview", "complete"]
    assert again[-1] == first[-1]
    rest = worker.events(job_id, last_event_id=str(again[1]["id"]))
    assert rest == again[2:]
    assert worker.ask("GET", f"/v1/jobs/{job_id}/stream", last_event_id="x").status == 400


def test_several_pictures_in_one_job(worker: Served) -> None:
    done = worker.events(worker.submit(PROMPT, steps=2, seed=3, n=3))[-1]
    assert done["seeds"] == [3, 4, 5]
    assert len(done["images"]) == 3
    assert done["image"] == done["images"][0]


def test_a_job_tells_its_request_and_gives_its_pictures(worker: Served) -> None:
    job_id = worker.submit(PROMPT, steps=1, seed=3, n=2)
    done = worker.events(job_id)[-1]
    told = worker.ask("GET", f"/v1/jobs/{job_id}").json()
    assert told["request"]["prompt"] == PROMPT
    assert (told["request"]["seed"], told["request"]["count"]) == (3, 2)
    assert told["result"]["seeds"] == [3, 4]
    assert told["result"] == {name: done[name] for name in told["result"]}
    for index, image in enumerate(done["images"]):
        answer = worker.ask("GET", f"/v1/jobs/{job_id}/images/{index}")
        assert answer.headers["content-type"] == "image/png"
        assert answer.body == base64.b64decode(image)
    for index in ("2", "-1", "x", "9" * 30):
        assert worker.ask("GET", f"/v1/jobs/{job_id}/images/{index}").status == 404
    cancelled = worker.submit(PROMPT, steps=1000)
    worker.ask("DELETE", f"/v1/jobs/{cancelled}")
    worker.events(cancelled)
    answer = worker.ask("GET", f"/v1/jobs/{cancelled}/images/0")
    assert (answer.status, answer.json()["error"]["code"]) == (404, "no_picture")


def test_transform_and_inpaint(worker: Served) -> None:
    source = np.full((128, 128, 3), 200, np.uint8)
    mask = np.zeros((128, 128), np.uint8)
    mask[:, 64:] = 255
    transform = {"operation": "image_transform", "prompt": PROMPT, "steps": 4, "strength": 0.5}
    inpaint = {"operation": "image_inpaint", "prompt": PROMPT, "steps": 2}
    for operation in (
        {**transform, "input_image": encoded(source)},
        {**transform, "init_image": "data:image/png;base64," + encoded(source)},
        {**inpaint, "init_image": encoded(source), "mask_image": encoded(mask)},
        {
            **inpaint,
            "init_image": encoded(source),
            "mask_image": encoded(mask),
            "model": "shapes-inpaint",
        },
    ):
        answer = worker.ask("POST", "/v1/jobs", operation)
        assert answer.status == 200, answer.body
        done = worker.events(answer.json()["job_id"])[-1]
        assert done["type"] == "complete", done
    kept = np.asarray(picture(done["image"]))[:, :64]
    assert np.array_equal(kept, source[:, :64])


def test_cancel_ends_a_running_job(worker: Served) -> None:
    job_id = worker.submit(PROMPT, steps=1000)
    answer = worker.ask("DELETE", f"/v1/jobs/{job_id}")
    assert answer.json() == {"job_id": job_id, "status": "cancelled"}
    assert worker.events(job_id)[-1]["type"] == "cancelled"
    stream = worker.ask("GET", f"/v1/jobs/{job_id}/stream").body
    assert stream.endswith(b"\n\ndata: [CANCELLED]\n\n")
    assert worker.ask("POST", f"/v1/jobs/{job_id}/cancel").json()["status"] == "cancelled"
    assert worker.ask("GET", f"/v1/jobs/{job_id}").json()["status"] == "cancelled"
    listed = worker.ask("GET", "/v1/jobs?status=cancelled").json()["jobs"]
    assert job_id in [job["job_id"] for job in listed]


def test_a_wrong_status_is_told_and_not_an_empty_list(worker: Served) -> None:
    answer = worker.ask("GET", "/v1/jobs?status=finished")
    assert (answer.status, answer.json()["error"]["field"]) == (422, "status")
    assert "queued, running, done, failed, cancelled" in answer.json()["error"]["message"]


def test_what_curl_sends_without_a_header_is_told_how_to_ask(worker: Served) -> None:
    form = {"content_type": "application/x-www-form-urlencoded"}
    answer = worker.ask("POST", "/v1/jobs", b"{}", **form)
    assert answer.status == 415
    assert "the header content-type: application/json" in answer.json()["error"]["message"]


def test_models_by_their_names(worker: Served) -> None:
    assert worker.submit(PROMPT, steps=1, model="shapes")
    answer = worker.ask(
        "POST", "/v1/jobs", {"operation": "image_generation", "prompt": "a", "model": "other"}
    )
    assert answer.status == 404
    assert answer.json()["error"]["code"] == "model_not_found"
    told = worker.ask("GET", "/v1/capabilities").json()
    assert set(told["models"]) == {"shapes", "shapes-inpaint"}
    assert told["limits"]["steps"] == 1000
    assert "euler" in told["samplers"]


BAD_FIELDS: list[tuple[str, dict[str, Any]]] = [
    ("operation", {"operation": "image_magic"}),
    ("operation", {"operation": None}),
    ("steps", {"steps": 0}),
    ("steps", {"steps": 1001}),
    ("steps", {"steps": 2.5}),
    ("steps", {"steps": True}),
    ("steps", {"steps": "20"}),
    ("width", {"width": 100}),
    ("width", {"width": 1 << 70}),
    ("height", {"height": 8192}),
    ("guidance_scale", {"guidance_scale": "NaN"}),
    ("seed", {"seed": -1}),
    ("seed", {"seed": 1 << 64}),
    ("prompt", {"prompt": 5}),
    ("prompt", {"prompt": "a" * 32_001}),
    ("sampler", {"sampler": "eular"}),
    ("n", {"n": 11}),
    ("deadline_s", {"deadline_s": 0}),
    ("priority", {"priority": 5000}),
    ("sigmas[1]", {"sigmas": [1, "2"]}),
    ("input_image", {"operation": "image_transform"}),
    ("input_image", {"operation": "image_transform", "input_image": "%%%"}),
    ("input_image", {"operation": "image_transform", "input_image": "aGVsbG8="}),
    ("loras", {"loras": [{"path": "pixel", "strength": 0.5}]}),
    ("mask_image", {"operation": "image_inpaint", "init_image": "aGVsbG8="}),
]


@pytest.mark.parametrize(("field", "change"), BAD_FIELDS)
def test_a_bad_field_is_named(worker: Served, field: str, change: dict[str, Any]) -> None:
    body = {"operation": "image_generation", "prompt": PROMPT, **change}
    answer = worker.ask("POST", "/v1/jobs", body)
    assert answer.status == 422, answer.body
    assert answer.json()["error"]["field"] == field, answer.body


def test_bodies_that_are_no_operation(worker: Served) -> None:
    assert worker.ask("POST", "/v1/jobs", b"{").status == 400
    assert worker.ask("POST", "/v1/jobs", b'{"steps": NaN}').status == 400
    assert worker.ask("POST", "/v1/jobs", b"\xff\xfe").status == 400
    assert worker.ask("POST", "/v1/jobs", b"[" * 100_000).status == 400
    assert worker.ask("POST", "/v1/jobs", ["list"]).status == 422
    assert worker.ask("POST", "/v1/jobs", b"{}", content_type="text/plain").status == 415
    assert worker.ask("GET", "/v1/jobs/job-none/stream").status == 404
    assert worker.ask("GET", "/v1/nothing").status == 404
    wrong = worker.ask("PUT", "/v1/jobs")
    assert (wrong.status, wrong.headers["allow"]) == (405, "POST, GET")


def test_unknown_fields_and_nulls_are_left_alone(worker: Served) -> None:
    fields = {"steps": 1, "seed": None, "negative_prompt": None, "loras": [], "worker_id": None}
    assert worker.events(worker.submit(PROMPT, **fields))[-1]["type"] == "complete"
