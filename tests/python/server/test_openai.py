"""OpenAI's Images API as the real `openai` package speaks it."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openai
import PIL.Image
import pytest
from server.conftest import Served, serve

import sdrbee
from sdrbee.server.limits import Limits
from sdrbee.server.openai_request import read_generation

PROMPT = "a red circle left of a blue square"


@pytest.fixture
def client(worker: Served) -> Iterator[openai.OpenAI]:
    url = f"http://127.0.0.1:{worker.port}/v1"
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as made:
        yield made


def shown(text: str | None) -> PIL.Image.Image:
    assert text is not None
    return PIL.Image.open(io.BytesIO(base64.b64decode(text, validate=True)))


def pixels(text: str | None) -> np.ndarray:
    return np.asarray(shown(text).convert("RGB"))


def file_of(array: np.ndarray, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(array).save(buffer, form, **options)
    return buffer.getvalue()


def test_pictures_are_those_of_the_model(client: openai.OpenAI) -> None:
    answer = client.images.generate(
        prompt=PROMPT,
        n=2,
        size="128x128",
        model="shapes",
        background="auto",
        moderation="low",
        style="vivid",
        user="somebody",
        extra_body={"num_inference_steps": 1, "seed": 7, "exact": True},
    )
    assert answer.data is not None
    assert answer.created > 1_700_000_000
    assert (answer.size, answer.output_format) == ("128x128", "png")
    model = sdrbee.load("shapes")
    for picture, seed in zip(answer.data, (7, 8), strict=True):
        made = model.generate(PROMPT, steps=1, seed=seed, exact=True)
        assert np.array_equal(pixels(picture.b64_json), np.asarray(made))
        assert picture.model_extra == {"seed": seed}


def test_the_async_client(worker: Served) -> None:
    async def both() -> list[openai.types.ImagesResponse]:
        url = f"http://127.0.0.1:{worker.port}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
            return await asyncio.gather(
                *(
                    client.images.generate(prompt=PROMPT, extra_body={"steps": 2, "seed": seed})
                    for seed in (1, 2)
                )
            )

    first, second = asyncio.run(both())
    assert first.data
    assert second.data
    assert shown(first.data[0].b64_json).size == (128, 128)
    assert first.data[0].b64_json != second.data[0].b64_json


def test_a_stream_has_pictures_on_the_way(client: openai.OpenAI) -> None:
    events = list(
        client.images.generate(
            prompt=PROMPT,
            stream=True,
            partial_images=3,
            size="128x128",
            extra_body={"steps": 4, "seed": 7},
        )
    )
    assert [event.type for event in events] == [
        "image_generation.partial_image",
        "image_generation.completed",
    ]
    partial, done = events
    assert partial.type == "image_generation.partial_image"
    assert partial.partial_image_index == 0
    assert shown(partial.b64_json).size == (16, 16)
    assert done.type == "image_generation.completed"
    assert (done.size, done.quality, done.background) == ("128x128", "auto", "auto")
    assert done.usage.total_tokens == 0
    assert shown(done.b64_json).size == (128, 128)


def test_a_stream_of_several_pictures_without_pictures_on_the_way(client: openai.OpenAI) -> None:
    events = list(
        client.images.generate(
            prompt=PROMPT, stream=True, n=2, output_format="jpeg", extra_body={"steps": 1}
        )
    )
    assert [event.type for event in events] == ["image_generation.completed"] * 2
    assert [event.model_extra["image_index"] for event in events if event.model_extra] == [0, 1]
    assert shown(events[0].b64_json).format == "JPEG"


def test_a_stream_ends_with_done(worker: Served) -> None:
    body = {"prompt": PROMPT, "steps": 1, "stream": True}
    answer = worker.ask("POST", "/v1/images/generations", body)
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.body.endswith(b"data: [DONE]\n\n")


def test_an_error_behind_acceptance_is_told_in_the_stream(client: openai.OpenAI) -> None:
    late = {"steps": 1000, "deadline_s": 0.001}
    with pytest.raises(openai.APIError, match="deadline"):
        list(client.images.generate(prompt=PROMPT, stream=True, extra_body=late))


def test_an_error_behind_acceptance_is_not_tried_again(client: openai.OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        client.with_options(max_retries=5).images.generate(
            prompt=PROMPT, extra_body={"steps": 1000, "deadline_s": 0.001}
        )
    answer = caught.value.response
    assert answer.status_code == 504
    assert answer.headers["x-should-retry"] == "false"
    assert answer.request.headers["x-stainless-retry-count"] == "0"
    assert caught.value.code == "deadline_exceeded"


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
def test_formats(client: openai.OpenAI, form: Any) -> None:
    answer = client.images.generate(prompt=PROMPT, output_format=form, extra_body={"steps": 1})
    assert answer.data
    assert shown(answer.data[0].b64_json).format == form.upper()
    assert answer.output_format == form


@pytest.mark.parametrize("form", ["jpeg", "webp"])
def test_compression_is_the_quality(client: openai.OpenAI, form: Any) -> None:
    def size_at(compression: int) -> int:
        answer = client.images.generate(
            prompt=PROMPT,
            output_format=form,
            output_compression=compression,
            extra_body={"steps": 1, "seed": 1},
        )
        assert answer.data
        return len(answer.data[0].b64_json or "")

    assert size_at(0) < size_at(60) < size_at(100)


def test_a_url_serves_the_picture(client: openai.OpenAI, worker: Served) -> None:
    answer = client.images.generate(
        prompt=PROMPT,
        n=2,
        response_format="url",
        output_format="jpeg",
        extra_body={"steps": 1, "seed": 3, "exact": True},  # shared steps may round otherwise
    )
    assert answer.data
    url = answer.data[1].url
    assert url is not None
    origin = f"http://127.0.0.1:{worker.port}"
    assert url.startswith(origin + "/v1/images/job-")
    served = worker.ask("GET", url.removeprefix(origin))
    assert served.headers["content-type"] == "image/jpeg"
    assert served.headers["x-content-type-options"] == "nosniff"
    other = client.images.generate(
        prompt=PROMPT, output_format="jpeg", extra_body={"steps": 1, "seed": 4, "exact": True}
    )
    assert other.data
    assert base64.b64encode(served.body).decode() == other.data[0].b64_json
    path = url.removeprefix(origin).partition("?")[0]
    assert worker.ask("GET", path).headers["content-type"] == "image/png"
    for query in ("variant=2", "variant=-1", "variant=x", "output_format=gif"):
        assert worker.ask("GET", f"{path}?{query}").status == 400
    assert worker.ask("GET", "/v1/images/job-none/content").status == 404


@pytest.mark.parametrize(
    ("quality", "given", "steps"),
    [("low", {}, 10), ("hd", {}, 30), ("standard", {}, None), ("low", {"steps": 3}, 3)],
)
def test_quality_is_a_number_of_steps(quality: str, given: dict[str, int], steps: int) -> None:
    with sdrbee.Engine("shapes") as engine:  # of 20 steps
        asked = read_generation(
            {"prompt": PROMPT, "quality": quality, **given}, engine.models, Limits()
        )
    assert asked.submission.fields.get("steps") == steps


def test_models(client: openai.OpenAI) -> None:
    models = list(client.models.list())
    assert [model.id for model in models] == ["shapes", "shapes-inpaint"]
    assert client.models.retrieve("shapes").created == models[0].created
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("dall-e-3")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_unknown_models_are_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.images.generate(prompt=PROMPT, model="dall-e-3")
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"
    assert caught.value.type == "invalid_request_error"


def test_variations_are_told_where_to_go(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="edits"):
        client.post("/images/variations", cast_to=object, body={})


def test_a_client_that_leaves_ends_its_job(worker: Served) -> None:
    body = json.dumps({"prompt": PROMPT, "steps": 1000}).encode()
    for streams in (b"", b', "stream": true'):
        with socket.create_connection(("127.0.0.1", worker.port)) as connection:
            sent = body[:-1] + streams + b"}"
            connection.sendall(
                b"POST /v1/images/generations HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                % (len(sent), sent)
            )
            job_id = None
            while job_id is None:
                running = worker.ask("GET", "/v1/jobs?status=running").json()["jobs"]
                job_id = running[0]["job_id"] if running else None
        assert worker.events(job_id)[-1]["type"] == "cancelled"


def test_a_request_with_a_key_is_made_once(client: openai.OpenAI) -> None:
    def ask(prompt: str) -> Any:
        answer = client.images.generate(
            prompt=prompt,
            extra_headers={"Idempotency-Key": "one"},
            extra_body={"steps": 1},
        )
        return answer.data

    assert ask(PROMPT) == ask(PROMPT)
    with pytest.raises(openai.BadRequestError) as caught:
        ask("another prompt")
    assert caught.value.code == "idempotency_key_reused"


def test_a_job_with_a_key_goes_on_without_its_client(worker: Served) -> None:
    body = {"prompt": PROMPT, "steps": 40, "size": "64x64"}
    sent = json.dumps(body).encode()
    jobs = worker.ask("GET", "/v1/jobs").json()["jobs"]
    with socket.create_connection(("127.0.0.1", worker.port)) as connection:
        connection.sendall(
            b"POST /v1/images/generations HTTP/1.1\r\nHost: 127.0.0.1\r\nIdempotency-Key: going\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(sent), sent)
        )
        while len(worker.ask("GET", "/v1/jobs").json()["jobs"]) == len(jobs):
            pass
    again = worker.ask("POST", "/v1/images/generations", body, idempotency_key="going")
    assert again.status == 200, again.body


def test_pictures_are_for_their_keys_holder_alone(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("one:0123456789abcdef\ntwo:fedcba9876543210\n")
    for worker in serve(tmp_path, "shapes", "--api-key-file", str(keys)):
        url = f"http://127.0.0.1:{worker.port}/v1"
        with pytest.raises(openai.AuthenticationError) as caught:
            openai.OpenAI(base_url=url, api_key="wrong" * 5).images.generate(prompt=PROMPT)
        assert caught.value.code == "bad_key"
        with openai.OpenAI(base_url=url, api_key="0123456789abcdef") as client:
            answer = client.images.generate(
                prompt=PROMPT, response_format="url", extra_body={"steps": 1}
            )
        assert answer.data
        path = (answer.data[0].url or "").removeprefix(url.removesuffix("/v1"))
        assert worker.ask("GET", path).status == 401
        for key, status in (("0123456789abcdef", 200), ("fedcba9876543210", 404)):
            assert worker.ask("GET", path, authorization=f"Bearer {key}").status == status


def test_a_full_queue_tells_when_to_come_again(tmp_path: Path) -> None:
    for worker in serve(tmp_path, "shapes", "--queue", "1", "--max-batch", "1"):
        jobs = [worker.submit(PROMPT, steps=1000)]
        while worker.ask("GET", f"/v1/jobs/{jobs[0]}").json()["status"] == "queued":
            pass
        jobs.append(worker.submit(PROMPT, steps=1000))
        url = f"http://127.0.0.1:{worker.port}/v1"
        with (
            openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client,
            pytest.raises(openai.RateLimitError) as full,
        ):
            client.images.generate(prompt=PROMPT)
        assert (full.value.type, full.value.code) == ("rate_limit_error", "queue_full")
        answer = full.value.response
        assert 1 <= int(answer.headers["retry-after"]) <= 120
        assert "x-should-retry" not in answer.headers
        for job in jobs:
            worker.ask("DELETE", f"/v1/jobs/{job}")


def test_who_waits_is_told_when_the_worker_ends(tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    for worker in serve(tmp_path, "shapes", "--drain-timeout", "0", "--state-dir", state):
        path, body = "/v1/images/generations", {"prompt": PROMPT, "steps": 1000}
        with ThreadPoolExecutor() as threads:
            plain = threads.submit(worker.ask, "POST", path, body)
            stream = threads.submit(worker.ask, "POST", path, {**body, "stream": True})
            kept = threads.submit(worker.ask, "POST", path, body, idempotency_key="kept")
            while len(worker.ask("GET", "/v1/jobs?status=running").json()["jobs"]) < 3:
                pass
            worker.process.send_signal(signal.SIGTERM)
        assert (plain.result().status, plain.result().json()["error"]["code"]) == (503, "cancelled")
        assert plain.result().headers["x-should-retry"] == "false"
        assert b'"code":"cancelled"' in stream.result().body
        assert (kept.result().status, kept.result().headers["retry-after"]) == (503, "5")
        assert "x-should-retry" not in kept.result().headers  # the same again gets the picture
