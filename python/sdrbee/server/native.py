"""The native routes: rbee's jobs and streams, and what a worker tells of itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import sdrbee
from sdrbee.server.errors import ApiError
from sdrbee.server.http import Request, Response, Router, json_response
from sdrbee.server.idempotency import checked_key
from sdrbee.server.metrics import CONTENT_TYPE
from sdrbee.server.models import resolve_model
from sdrbee.server.operations import OPERATIONS
from sdrbee.server.record import Record
from sdrbee.server.wire import read_operation

if TYPE_CHECKING:
    from sdrbee.server.app import Worker

HEARTBEAT_S = 15.0


def add_routes(router: Router, worker: Worker) -> None:
    """The routes of rbee's contract and those beside it."""
    native = _Native(worker)
    router.add("GET", "/health", native.health)
    router.add("GET", "/ready", native.ready)
    router.add("GET", "/info", native.info)
    router.add("GET", "/metrics", native.metrics)
    router.add("POST", "/v1/jobs", native.submit)
    router.add("GET", "/v1/jobs", native.list_jobs)
    router.add("GET", "/v1/jobs/{job_id}", native.describe_job)
    router.add("DELETE", "/v1/jobs/{job_id}", native.cancel_job)
    router.add("POST", "/v1/jobs/{job_id}/cancel", native.cancel_job)
    router.add("GET", "/v1/jobs/{job_id}/stream", native.stream_job)
    router.add("GET", "/v1/jobs/{job_id}/images/{index}", native.picture)
    router.add("GET", "/v1/capabilities", native.capabilities)


class _Native:
    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def health(self, _request: Request) -> Response:
        return json_response(200, {"status": "healthy", "timestamp": _now()})

    async def ready(self, _request: Request) -> Response:
        reason = self._worker.not_ready()
        if reason is None:
            return json_response(200, {"ready": True, "timestamp": _now()})
        answer = {"ready": False, "reason": reason, "timestamp": _now()}
        return json_response(503, answer, ("retry-after", "1"))

    async def info(self, _request: Request) -> Response:
        return json_response(200, self._worker.info())

    async def metrics(self, _request: Request) -> Response:
        text = await self._worker.in_thread(self._worker.metrics.text)
        return Response(200, text, CONTENT_TYPE)

    async def submit(self, request: Request) -> Response:
        body = await self._worker.bodies.read_json(request)
        submission = await self._worker.in_thread(read_operation, body, self._worker.limits)
        model = resolve_model(submission.model, self._worker.engine.models)
        key = checked_key(request.header("idempotency-key"))
        record = await self._worker.book.submit(
            submission, model, request.caller, idempotency_key=key
        )
        return json_response(
            200, {"job_id": record.job_id, "sse_url": f"/v1/jobs/{record.job_id}/stream"}
        )

    async def list_jobs(self, request: Request) -> Response:
        records = self._worker.book.list(request.caller, request.query.get("status"))
        return json_response(200, {"jobs": [record.describe() for record in records]})

    async def describe_job(self, request: Request) -> Response:
        return json_response(200, self._find(request).describe())

    async def cancel_job(self, request: Request) -> Response:
        record = self._find(request)
        status = await self._worker.book.cancel(record)
        return json_response(200, {"job_id": record.job_id, "status": status})

    async def stream_job(self, request: Request) -> Response:
        record = self._find(request)
        if self._worker.open_streams >= self._worker.limits.streams:
            raise ApiError(503, "busy", "too many streams are open", retry_after_s=5)
        after = request.header("last-event-id") or "0"
        if not after.isdigit() or len(after) > 18:
            raise ApiError(400, "bad_request", f"Last-Event-ID: expected a number but got {after}")
        return Response(200, self._frames(record, int(after)), "text/event-stream")

    async def picture(self, request: Request) -> Response:
        record, index = self._find(request), request.path_values["index"]
        if record.status != "done":
            raise ApiError(404, "no_picture", f"the job is {record.status}: it has no picture")
        images = await record.images()
        if not index.isdecimal() or int(index) >= len(images):
            raise ApiError(404, "no_picture", f"the job has {len(images)} pictures, from 0 on")
        return Response(200, images[int(index)], "image/png")

    async def _frames(self, record: Record, after: int) -> AsyncGenerator[bytes, None]:
        """The named events; behind the last one the line by which rbee's clients know the end."""
        self._worker.open_streams += 1
        try:
            async for event in record.follow(after, HEARTBEAT_S):
                if event is None:
                    yield b":\n\n"
                elif event.data is not None:
                    yield b"id: %d\nevent: %s\ndata: %s\n\n" % (
                        event.number,
                        event.name.encode(),
                        event.data,
                    )
            yield b"data: %s\n\n" % _end_marker(record)
        finally:
            self._worker.open_streams -= 1

    async def capabilities(self, _request: Request) -> Response:
        models = {
            name: {
                "family": info.family,
                "variant": info.variant,
                "capabilities": _values(info.capabilities),
                "default_size": list(info.default_size),
                "sizes": _values(info.sizes),
                "defaults": {mode: _values(own) for mode, own in info.defaults.items()},
            }
            for name, info in self._worker.engine.models.items()
        }
        answer = {
            "version": sdrbee.__version__,
            "operations": list(OPERATIONS),
            "models": models,
            "samplers": [sampler.name for sampler in sdrbee.samplers()],
            "schedules": [schedule.name for schedule in sdrbee.schedules()],
            "limits": asdict(self._worker.limits),
        }
        return json_response(200, answer)

    def _find(self, request: Request) -> Record:
        return self._worker.book.find(request.path_values["job_id"], request.caller)


def _end_marker(record: Record) -> bytes:
    """What ends a stream for clients that read lines, not events."""
    if record.error is not None:
        message = " ".join(str(record.error["message"]).split())
        return b"[ERROR] " + message.encode()
    return b"[CANCELLED]" if record.status == "cancelled" else b"[DONE]"


def _values(struct: Any) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct._fields}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()
