"""The native routes: rbee's jobs and streams, and what a worker tells of itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import asdict, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import sdrbee
from sdrbee.embeddings import stored_words
from sdrbee.model_files import adapter_names
from sdrbee.server.answers import (
    AdapterNames,
    Capabilities,
    Health,
    JobAccepted,
    JobDescription,
    JobList,
    JobStatus,
    ModelAnswer,
    Ready,
    WorkerInfo,
)
from sdrbee.server.errors import ApiError
from sdrbee.server.http import Request, Response, Router, json_response
from sdrbee.server.idempotency import checked_key
from sdrbee.server.metrics import CONTENT_TYPE
from sdrbee.server.models import resolve_model
from sdrbee.server.openapi import Endpoint, document
from sdrbee.server.operations import FEATURES, OPERATIONS, any_operation, has_feature
from sdrbee.server.record import HEARTBEAT_S, STATUSES, Record
from sdrbee.server.wire import read_operation

if TYPE_CHECKING:
    from sdrbee.server.app import Worker

_HEALTH = Endpoint("That the process lives", Health, open=True)
_READY = Endpoint("Whether a picture can be made", Ready, errors=(503,), open=True)
_METRICS = Endpoint("Metrics for Prometheus", content_type=CONTENT_TYPE)
_SUBMIT = Endpoint(
    "Puts an operation into the queue",
    JobAccepted,
    headers={"Idempotency-Key": "the same again gives the same job, for a day"},
    errors=(404, 413, 415, 422, 429, 503, 507),
)
_LIST = Endpoint(
    "The caller's jobs, the newest first",
    JobList,
    query={"status": f"one of {', '.join(STATUSES)}"},
    errors=(422,),
)
_JOB = Endpoint("A job", JobDescription, errors=(404, 410))
_CANCEL = Endpoint("Ends a job within one step", JobStatus, errors=(404, 410))
_STREAM = Endpoint(
    "The events of a job, until its end",
    content_type="text/event-stream",
    headers={"Last-Event-ID": "the number of the last event that is known"},
    errors=(404, 410, 503),
)
_PICTURE = Endpoint("A picture of a job", content_type="image/png", errors=(404, 410))
_CAPABILITIES = Endpoint("Models, samplers, limits", Capabilities)
_OPENAPI = Endpoint("This document", dict[str, Any])


def add_routes(router: Router, worker: Worker) -> None:
    """The routes of rbee's contract and those beside it."""
    native = _Native(worker, router)
    submit = replace(_SUBMIT, body=any_operation(worker.limits))
    job = "/v1/jobs/{job_id}"
    router.add("GET", "/health", native.health, _HEALTH)
    router.add("GET", "/ready", native.ready, _READY)
    router.add("GET", "/info", native.info, Endpoint("rbee's WorkerInfo", WorkerInfo))
    router.add("GET", "/metrics", native.metrics, _METRICS)
    router.add("POST", "/v1/jobs", native.submit, submit)
    router.add("GET", "/v1/jobs", native.list_jobs, _LIST)
    router.add("GET", job, native.describe_job, _JOB)
    router.add("DELETE", job, native.cancel_job, _CANCEL)
    router.add("POST", f"{job}/cancel", native.cancel_job, _CANCEL)
    router.add("GET", f"{job}/stream", native.stream_job, _STREAM)
    router.add("GET", f"{job}/image", native.picture, _PICTURE)
    router.add("GET", f"{job}/images/{{index}}", native.picture, _PICTURE)
    router.add("GET", "/v1/capabilities", native.capabilities, _CAPABILITIES)
    router.add("GET", "/v1/openapi.json", native.openapi, _OPENAPI)
    router.add("GET", "/openapi.json", native.openapi, _OPENAPI)


class _Native:
    def __init__(self, worker: Worker, router: Router) -> None:
        self._worker = worker
        self._router = router

    async def health(self, _request: Request) -> Response:
        answer: Health = {"status": "healthy", "timestamp": _now()}
        return json_response(200, answer)

    async def ready(self, _request: Request) -> Response:
        reason = self._worker.not_ready()
        if reason is None:
            answer: Ready = {"ready": True, "timestamp": _now()}
            return json_response(200, answer)
        refusal = {"ready": False, "reason": reason, "timestamp": _now()}
        return json_response(503, refusal, ("retry-after", "1"))

    async def info(self, _request: Request) -> Response:
        return json_response(200, self._worker.info())

    async def metrics(self, _request: Request) -> Response:
        text = await self._worker.in_thread(self._worker.metrics.text)
        return Response(200, text, CONTENT_TYPE)

    async def submit(self, request: Request) -> Response:
        body = await self._worker.bodies.read_json(request)
        submission = await self._worker.read(request, read_operation, body, self._worker.limits)
        model = resolve_model(submission.model, self._worker.engine.models)
        key = checked_key(request.header("idempotency-key"))
        record = await self._worker.book.submit(
            submission, model, request.caller, idempotency_key=key
        )
        answer: JobAccepted = {
            "job_id": record.job_id,
            "sse_url": f"/v1/jobs/{record.job_id}/stream",
        }
        return json_response(200, answer)

    async def list_jobs(self, request: Request) -> Response:
        status = request.query.get("status")
        if status not in (None, *STATUSES):
            raise ApiError(
                422,
                "invalid_field",
                f"[status] expected one of {', '.join(STATUSES)} but got {status!r:.60}",
                field="status",
            )
        records = self._worker.book.list(request.caller, status)
        answer: JobList = {"jobs": [record.describe() for record in records]}
        return json_response(200, answer)

    async def describe_job(self, request: Request) -> Response:
        return json_response(200, self._find(request).describe())

    async def cancel_job(self, request: Request) -> Response:
        record = self._find(request)
        status = await self._worker.book.cancel(record)
        answer: JobStatus = {"job_id": record.job_id, "status": status}
        return json_response(200, answer)

    async def stream_job(self, request: Request) -> Response:
        record = self._find(request)
        if self._worker.open_streams >= self._worker.limits.streams:
            raise ApiError(503, "busy", "too many streams are open", retry_after_s=5)
        after = request.header("last-event-id") or "0"
        if not after.isdigit() or len(after) > 18:
            raise ApiError(400, "bad_request", f"Last-Event-ID: expected a number but got {after}")
        return Response(200, self._frames(record, int(after)), "text/event-stream")

    async def picture(self, request: Request) -> Response:
        record, index = self._find(request), request.path_values.get("index", "0")
        if record.status != "done":
            raise ApiError(404, "no_picture", f"the job is {record.status}: it has no picture")
        images = await record.images()
        if not index.isdecimal() or len(index) > 4 or int(index) >= len(images):
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
        models = self._worker.engine.models
        known = await asyncio.to_thread(_known_adapters)
        answer: Capabilities = {
            "version": sdrbee.__version__,
            "versions": {"sdrbee": sdrbee.__version__, "torch": sdrbee.system_info().torch},
            "operations": list(OPERATIONS),
            "models": {name: _model_answer(info, known) for name, info in models.items()},
            "samplers": [sampler.name for sampler in sdrbee.samplers()],
            "schedules": [schedule.name for schedule in sdrbee.schedules()],
            "prompt_syntaxes": sdrbee.prompt_syntaxes(),
            "limits": asdict(self._worker.limits),
            "features": {
                "webhooks": self._worker.book.webhooks.allowed,
                **{
                    name: any(has_feature(info, name) for info in models.values())
                    for name in FEATURES
                },
            },
        }
        return json_response(200, answer)

    async def openapi(self, _request: Request) -> Response:
        return json_response(200, document(self._router.described))

    def _find(self, request: Request) -> Record:
        return self._worker.book.find(request.path_values["job_id"], request.caller)


def _end_marker(record: Record) -> bytes:
    """What ends a stream for clients that read lines, not events."""
    if record.error is not None:
        message = " ".join(str(record.error["message"]).split())
        return b"[ERROR] " + message.encode()
    return b"[CANCELLED]" if record.status == "cancelled" else b"[DONE]"


def _known_adapters() -> AdapterNames:
    return {
        "loras": adapter_names("lora"),
        "controls": adapter_names("controlnet"),
        "embeddings": stored_words(),
    }


def _model_answer(info: sdrbee.ModelInfo, known: AdapterNames) -> ModelAnswer:
    return {
        "family": info.family,
        "variant": info.variant,
        "device": info.device,
        "dtype": info.dtype,
        "capabilities": _values(info.capabilities),
        "loras": known["loras"] if has_feature(info, "loras") else [],
        "controls": known["controls"] if has_feature(info, "controls") else [],
        "embeddings": known["embeddings"] if has_feature(info, "embeddings") else [],
        "default_size": list(info.default_size),
        "sizes": {
            "multiple": info.sizes.multiple,
            "minimum": info.sizes.minimum,
            "maximum": info.sizes.maximum,
        },
        "defaults": {
            mode: {
                "steps": defaults.steps,
                "guidance_scale": defaults.guidance_scale,
                "strength": defaults.strength,
            }
            for mode, defaults in info.defaults.items()
        },
    }


def _values(struct: Any) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct._fields}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()
