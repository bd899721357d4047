"""OpenAI's Images API: generations and edits, whole or as a stream."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec

from sdrbee.server.encoding import DEFAULT_QUALITY, Format
from sdrbee.server.errors import ApiError, api_error
from sdrbee.server.http import ClientGone, Request, Response, Router, json_response
from sdrbee.server.multipart import read_form
from sdrbee.server.openai_errors import error_for_all, openai_error
from sdrbee.server.openai_request import ImagesRequest, read_edit, read_generation
from sdrbee.server.openai_schema import CONTENT, endpoints
from sdrbee.server.record import TERMINAL, Record
from sdrbee.server.synchronous import Pictures, finished, pictures_of, submit, told

if TYPE_CHECKING:
    from sdrbee.server.app import Worker

log = logging.getLogger("sdrbee.server")

# Clients' types have numbers of tokens in the last event of a stream; pictures cost none here.
_USAGE = {
    "input_tokens": 0,
    "output_tokens": 0,
    "total_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
}


def add_routes(router: Router, worker: Worker) -> None:
    """The routes below /v1/images, and the form of their errors and of those about models."""
    images = _Images(worker)
    router.add_error_form("/v1/images", openai_error)
    router.add_error_form("/v1/models", error_for_all)
    generations, edits = endpoints(worker.limits)
    router.add("POST", "/v1/images/generations", images.generate, generations)
    router.add("POST", "/v1/images/edits", images.edit, edits)
    router.add("POST", "/v1/images/variations", images.vary)
    router.add("GET", "/v1/images/{job_id}/content", images.content, CONTENT)


class _Images:
    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def generate(self, request: Request) -> Response:
        body = await self._worker.bodies.read_json(request)
        asked = await self._read(read_generation, body)
        return await self._answer(request, asked, "image_generation")

    async def edit(self, request: Request) -> Response:
        kind = request.header("content-type") or ""
        body = await self._worker.bodies.read(request)
        form = await self._worker.in_thread(read_form, body, kind, self._worker.limits)
        asked = await self._read(read_edit, form)
        return await self._answer(request, asked, "image_edit")

    async def vary(self, _request: Request) -> Response:
        raise ApiError(
            404,
            "no_such_route",
            "there are no variations here: POST /v1/images/edits without a mask makes a picture "
            "after another one; `strength` tells how much may change",
        )

    async def content(self, request: Request) -> Response:
        """A picture of a job that has ended: what `url` names."""
        record = self._worker.book.find(request.path_values["job_id"], request.caller)
        if record.status != "done":
            raise ApiError(404, "no_picture", f"the job {record.job_id} is {record.status}")
        files = await record.images()
        variant = _whole_number(request, "variant", 0, len(files) - 1, 0)
        quality = _whole_number(request, "output_compression", 1, 100, DEFAULT_QUALITY)
        form = Format(request.query.get("output_format", "png"), quality)
        file = await self._worker.in_thread(form.encode, files[variant])
        return Response(200, file, form.content_type)

    async def _read(self, read: Callable[..., ImagesRequest], body: Any) -> ImagesRequest:
        return await self._worker.in_thread(
            read, body, self._worker.engine.models, self._worker.limits
        )

    async def _answer(self, request: Request, asked: ImagesRequest, kind: str) -> Response:
        if asked.stream and self._worker.open_streams >= self._worker.limits.streams:
            raise ApiError(503, "busy", "too many streams are open", retry_after_s=5)
        with asked.naming_its_fields():
            record = await submit(self._worker, request, asked.submission)
            if asked.stream:
                return Response(200, self._frames(record, asked, kind), "text/event-stream")
            try:
                made = await finished(request, record)
                return json_response(200, await self._whole(request, record, asked, made))
            except (ApiError, ClientGone):
                raise
            except Exception as error:
                log.exception("the answer of %s failed", record.job_id)
                raise ApiError(500, "internal_error", str(error), accepted=True) from None

    async def _whole(
        self, request: Request, record: Record, asked: ImagesRequest, made: Pictures
    ) -> dict[str, Any]:
        """The answer of a request without a stream."""
        data: list[dict[str, Any]] = []
        for index, seed in enumerate(made.seeds):
            if asked.as_url:
                picture = {"url": _url(request, record, asked.format, index)}
            else:
                picture = {"b64_json": await self._encoded(asked.format, made.files[index])}
            data.append({**picture, "seed": seed})
        return {
            "created": int(record.created),
            "data": data,
            "background": "opaque",
            "output_format": asked.format.name,
            "size": f"{made.width}x{made.height}",
            "usage": _USAGE,
        }

    async def _frames(
        self, record: Record, asked: ImagesRequest, kind: str
    ) -> AsyncGenerator[bytes, None]:
        """The events of a stream; an error in it is an object with `error`."""
        self._worker.open_streams += 1
        events = told(record)
        shown: dict[int, int] = {}
        try:
            async for event in events:
                if event is None:
                    yield b":\n\n"
                elif event["type"] == "preview" and _is_shown(event, asked, shown):
                    yield await self._partial(event, asked, kind, shown)
                elif event["type"] in TERMINAL:
                    async for frame in self._completed(pictures_of(event), asked, kind):
                        yield frame
        except Exception as error:
            if not isinstance(error, ApiError):
                log.exception("the stream of %s failed", record.job_id)
            yield _frame("error", msgspec.to_builtins(openai_error(api_error(error))[1]))
        finally:
            self._worker.open_streams -= 1
            await events.aclose()
        yield b"data: [DONE]\n\n"

    async def _partial(
        self, event: dict[str, Any], asked: ImagesRequest, kind: str, shown: dict[int, int]
    ) -> bytes:
        index = event["image_index"]
        shown[index] = shown.get(index, 0) + 1
        values = {
            "partial_image_index": shown[index] - 1,
            "image_index": index,
            "b64_json": await self._encoded(asked.format, base64.b64decode(event["image"])),
            "size": _told_size(asked),
        }
        return _frame(f"{kind}.partial_image", _told(asked, values))

    async def _completed(
        self, made: Pictures, asked: ImagesRequest, kind: str
    ) -> AsyncGenerator[bytes, None]:
        for index, file in enumerate(made.files):
            values = {
                "b64_json": await self._encoded(asked.format, file),
                "image_index": index,
                "seed": made.seeds[index],
                "size": f"{made.width}x{made.height}",
                "usage": _USAGE,
            }
            yield _frame(f"{kind}.completed", _told(asked, values))

    async def _encoded(self, form: Format, png: bytes) -> str:
        file = await self._worker.in_thread(form.encode, png)
        return base64.b64encode(file).decode()


def _is_shown(event: dict[str, Any], asked: ImagesRequest, shown: dict[int, int]) -> bool:
    """Whether a preview is one of the partial images: these are spread over the steps evenly, and
    fewer where the pictures on the way are; the last step's comes with the picture itself."""
    wanted = asked.partial_images
    already = shown.get(event["image_index"], 0)
    if already >= wanted or event["step"] == event["total"]:
        return False
    return bool(event["percent"] >= 100 * (already + 1) / (wanted + 1))


def _told(asked: ImagesRequest, values: dict[str, Any]) -> dict[str, Any]:
    """What all events of a stream tell, and these values."""
    return {
        "created_at": int(time.time()),
        "background": asked.background,
        "output_format": asked.format.name,
        "quality": asked.quality,
        **values,
    }


def _frame(name: str, values: dict[str, Any]) -> bytes:
    data = msgspec.json.encode({"type": name, **values})
    return b"event: %s\ndata: %s\n\n" % (name.encode(), data)


def _told_size(asked: ImagesRequest) -> str:
    """The size that was asked for."""
    width, height = (asked.submission.fields.get(side) for side in ("width", "height"))
    return f"{width}x{height}" if width and height else "auto"


def _url(request: Request, record: Record, form: Format, index: int) -> str:
    query: dict[str, Any] = {"variant": index, "output_format": form.name}
    if form.quality != DEFAULT_QUALITY:
        query["output_compression"] = form.quality
    host = request.header("host")
    path = f"/v1/images/{record.job_id}/content"
    return f"{request.scope['scheme']}://{host}{path}?{urlencode(query)}"


def _whole_number(request: Request, name: str, least: int, most: int, usual: int) -> int:
    text = request.query.get(name, str(usual))
    if not text.isascii() or not text.isdigit() or not least <= int(text[:9]) <= most:
        raise ApiError(
            422,
            "invalid_field",
            f"[{name}] expected {least}..{most} but got {text!r:.60}",
            field=name,
        )
    return int(text)
