"""`sdrbee.Client` and `AsyncClient`: with a worker, and with streams that break."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from server.conftest import Served

import sdrbee
from sdrbee.cli import run

httpx2 = pytest.importorskip("httpx2")

PROMPT = "a red circle left of a blue square"
PICTURE = sdrbee.Image(np.full((8, 8, 3), 77, np.uint8))
PNG = base64.b64encode(PICTURE.encode("png")).decode()


@pytest.fixture
def client(worker: Served) -> Iterator[sdrbee.Client]:
    with sdrbee.Client(f"http://127.0.0.1:{worker.port}") as client:
        yield client


def same(first: Any, second: Any) -> bool:
    return np.array_equal(np.asarray(first), np.asarray(second))


def test_a_picture_is_that_of_the_model_itself(client: sdrbee.Client) -> None:
    events: list[Any] = []
    made = client.generate(PROMPT, steps=6, seed=7, on_event=events.append)
    assert same(made, sdrbee.load("shapes").generate(PROMPT, steps=6, seed=7, preview="fast"))
    assert made.seed == 7
    kinds = [event.kind for event in events]
    assert kinds[0] == "queued"
    assert kinds[-1] == "done"
    assert [event.step for event in events if event.step] == list(range(1, 7))
    assert [event.preview.width for event in events if event.preview][-1] == 16
    assert "shapes" in client.capabilities()["models"]


def test_several_pictures_and_pictures_to_start_from(client: sdrbee.Client, tmp_path: Path) -> None:
    assert [made.seed for made in client.generate(PROMPT, steps=1, seed=3, count=2)] == [3, 4]
    source = np.full((128, 128, 3), 200, np.uint8)
    file = tmp_path / "source.png"
    sdrbee.Image(source).save(file)
    first = client.generate(PROMPT, image=source, steps=4, strength=0.5, seed=1)
    assert same(first, client.generate(PROMPT, image=file, steps=4, strength=0.5, seed=1))
    mask = np.zeros((128, 128), np.uint8)
    mask[:, 64:] = 255
    painted = client.generate(PROMPT, image=file, mask=mask, steps=2, seed=1)
    assert same(np.asarray(painted)[:, :64], source[:, :64])


def test_errors_are_those_of_the_engine(client: sdrbee.Client) -> None:
    with pytest.raises(sdrbee.InvalidRequest, match="steps"):
        client.generate(PROMPT, steps=0)
    with pytest.raises(sdrbee.ModelNotFound):
        client.generate(PROMPT, model="no-such-model")
    job = client.submit(PROMPT, steps=1000)
    job.cancel()
    with pytest.raises(sdrbee.Cancelled):
        job.result()
    assert list(job)[-1].kind == "cancelled"
    with (
        pytest.raises(sdrbee.WorkerError, match="http://127"),
        sdrbee.Client("http://127.0.0.1:1") as away,
    ):
        away.submit(PROMPT)


def test_with_asyncio(worker: Served) -> None:
    async def scenario() -> None:
        async with sdrbee.AsyncClient(f"http://127.0.0.1:{worker.port}") as client:
            made = await asyncio.gather(
                *(client.generate(PROMPT, steps=2, seed=seed) for seed in (1, 2))
            )
            assert [picture.seed for picture in made] == [1, 2]
            stepped = asyncio.Event()
            long = asyncio.create_task(
                client.generate(PROMPT, steps=1000, on_event=lambda _event: stepped.set())
            )
            await stepped.wait()
            long.cancel()
            with pytest.raises(asyncio.CancelledError):
                await long
            job = (await client._ask("GET", "/v1/jobs")).json()["jobs"][0]
            with pytest.raises(sdrbee.Cancelled):
                await sdrbee.client.AsyncRemoteJob(client, job["job_id"]).result()

    asyncio.run(scenario())


def test_the_commands_ask_a_worker(
    worker: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.png"
    url = ["--url", f"http://127.0.0.1:{worker.port}"]
    common = ["--steps", "2", "--seed", "1", "--json"]
    assert run(["generate", PROMPT, *url, *common, "-o", str(out), "--preview", "fast"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["images"][0]["seed"] == 1
    assert "2/2" in told.err
    assert same(sdrbee.Image(out), sdrbee.load("shapes").generate(PROMPT, steps=2, seed=1))
    changed = tmp_path / "changed.png"
    transform = ["transform", PROMPT, "-i", str(out), "--strength", "0.5"]
    assert run([*transform, *url, *common, "-q", "-o", str(changed)]) == 0
    assert sdrbee.Image(changed).recipe is not None
    assert run(["generate", PROMPT, *url, "--device", "cpu", "-o", str(out)]) == 2
    assert run(["generate", PROMPT, *url, "--model", "none", "-o", str(out), "-q"]) == 1


class Broken(httpx2.SyncByteStream, httpx2.AsyncByteStream):  # type: ignore[name-defined,misc]
    """A body that ends as it should, or with a broken connection."""

    def __init__(self, body: bytes, breaks: bool) -> None:
        self._body = body
        self._breaks = breaks

    def __iter__(self) -> Iterator[bytes]:
        yield self._body
        if self._breaks:
            raise httpx2.ReadError("connection reset")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


def event(number: int | None, name: str, **values: Any) -> bytes:
    shown = f"id: {number}\n" if number is not None else ""
    return f"{shown}event: {name}\ndata: {json.dumps({'type': name, **values})}\n\n".encode()


Asked = tuple[str, str, "str | None"]


def scripted(*answers: Any, reconnect: float = 60.0) -> tuple[sdrbee.Client, list[Asked]]:
    """A client of a worker that takes any job and answers streams one after the other: bytes that
    end, bytes in a tuple that break off, or whole answers."""
    left, asked = list(answers), []

    def answer(request: Any) -> Any:
        after = request.headers.get("last-event-id")
        asked.append((request.method, request.url.path, after))
        if request.method == "POST":
            return httpx2.Response(200, json={"job_id": "job-1", "sse_url": "/v1/jobs/x/stream"})
        told = left.pop(0)
        if isinstance(told, httpx2.Response):
            return told
        broken = isinstance(told, tuple)
        body = Broken(told[0] if broken else told, broken)
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=body)

    client = sdrbee.Client("http://worker", reconnect=reconnect, verify=False)
    client._http = httpx2.Client(transport=httpx2.MockTransport(answer), base_url="http://worker")
    return client, asked


STARTED = event(4, "queued", position=0) + event(5, "started")
DONE = event(9, "complete", image=PNG, format="png", images=[PNG]) + b"data: [DONE]\n\n"


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr("sdrbee.client.synchronous.time.sleep", waited.append)
    return waited


def test_a_broken_stream_is_read_on_from_the_last_event(no_waiting: list[float]) -> None:
    step = event(6, "progress", image_index=0, step=1, total=2, percent=50.0)
    away = httpx2.Response(503, json={"error": {"code": "starting", "message": "soon"}})
    half = step + b"id: 7\nevent: prog"
    client, asked = scripted((STARTED,), away, (half,), step[:9], b"data: [DONE]\n\n", DONE)
    seen: list[Any] = []
    assert same(client.generate(PROMPT, on_event=seen.append), PICTURE)
    assert [event.kind for event in seen] == ["queued", "started", "step", "done"]
    assert [after for _, _, after in asked] == [None, None, "5", "5", "6", "6", "6"]
    assert len(no_waiting) == 5


def test_a_worker_that_stays_away_is_told(no_waiting: list[float]) -> None:
    client, asked = scripted(*[(STARTED,)] + [(b"",)] * 30, reconnect=1.0)
    with pytest.raises(sdrbee.WorkerError, match="any more"):
        client.generate(PROMPT)
    assert 3 <= len(asked) <= 8
    gone = httpx2.Response(404, json={"error": {"code": "job_not_found", "message": "no job"}})
    client, _ = scripted((STARTED,), gone)
    with pytest.raises(sdrbee.WorkerError, match="no job"):
        client.generate(PROMPT)


def test_a_stream_of_rbees_own_worker() -> None:
    """Named events without ids, `started` or a marker; an end without a word; errors in text."""
    own = event(None, "preview", step=1, total=2, percent=50.0, image=PNG, format="png")
    own += b":\n\n" + event(None, "progress", step=2, total=2, percent=100.0)
    client, _ = scripted(own + event(None, "complete", image=PNG, format="png"))
    seen: list[Any] = []
    assert same(client.generate(PROMPT, on_event=seen.append), PICTURE)
    assert [event.kind for event in seen] == ["preview", "step", "done"]
    client, _ = scripted(own + event(None, "error", message="out of luck"))
    with pytest.raises(sdrbee.WorkerError, match="out of luck"):
        client.generate(PROMPT)
    client, asked = scripted((own,))
    with pytest.raises(sdrbee.WorkerError, match="can't repeat"):
        client.generate(PROMPT)
    assert len(asked) == 2
    client, _ = scripted(httpx2.Response(404, text="Job x not found or already streaming"))
    with pytest.raises(sdrbee.WorkerError, match="already streaming") as told:
        client.generate(PROMPT)
    assert told.value.status == 404


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((500, b"Failed to parse operation: x"), sdrbee.WorkerError),
        ((401, b'{"error":{"code":"no_key","message":"m","field":null}}'), sdrbee.WorkerError),
        ((429, b'{"error":{"code":"queue_full","message":"m"}}'), sdrbee.QueueFull),
        ((500, b'{"error":{"code":"out_of_memory","message":"m"}}'), sdrbee.OutOfMemory),
        ((422, b'{"error":{"code":["x"],"message":"m"}}'), sdrbee.WorkerError),
        ((422, b'{"error":"text"}'), sdrbee.WorkerError),
        ((502, b"\xff\xfe"), sdrbee.WorkerError),
        ((200, b"<html>"), sdrbee.WorkerError),
        ((200, b"[]"), sdrbee.WorkerError),
        ((302, b""), sdrbee.WorkerError),
    ],
)
def test_answers_that_are_no_job(answer: tuple[int, bytes], kind: type[Exception]) -> None:
    client = sdrbee.Client("http://worker", verify=False)

    def handler(_request: Any) -> Any:
        return httpx2.Response(answer[0], content=answer[1])

    client._http = httpx2.Client(transport=httpx2.MockTransport(handler), base_url="http://worker")
    with pytest.raises(sdrbee.Error) as told:
        client.submit(PROMPT)
    assert type(told.value) is kind


def test_whatever_a_stream_brings_ends_in_a_picture_or_an_error(no_waiting: list[float]) -> None:
    """Streams that a worker might send, with bytes changed, left out and doubled."""
    source = random.Random(5)
    whole = STARTED + event(6, "preview", image_index=0, step=1, total=1, image=PNG) + DONE
    for _ in range(300):
        body = bytearray(whole)
        for _ in range(source.randint(1, 6)):
            start = source.randrange(len(body))
            end = start + source.choice([0, 1, 1, 5, 400])
            body[start:end] = source.choice([b"", b"\n\n", b"\xff", b'"', b"0", b"data: ", b"\0"])
        client, _ = scripted(*[(bytes(body),)] * 60, reconnect=1.0)
        with contextlib.suppress(sdrbee.Error):
            assert client.generate(PROMPT).width == 8
