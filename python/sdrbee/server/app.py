"""The ASGI application: every request goes guard, route, answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import sdrbee
from sdrbee.server import a1111, a1111_controls, models, native, openai, page
from sdrbee.server.access_log import AccessLog
from sdrbee.server.answers import WorkerInfo
from sdrbee.server.bodies import Bodies
from sdrbee.server.book import Book
from sdrbee.server.errors import ApiError, api_error
from sdrbee.server.guard import Guard, is_open
from sdrbee.server.http import (
    ClientGone,
    Receive,
    Request,
    Response,
    Router,
    Scope,
    Send,
    error_response,
    send_response,
)
from sdrbee.server.identity import Identity
from sdrbee.server.journal import Journal
from sdrbee.server.limits import Limits
from sdrbee.server.logs import REQUEST_ID, request_id
from sdrbee.server.metrics import Metrics
from sdrbee.server.pulled import Pulled
from sdrbee.server.watchdog import Watchdog

Result = TypeVar("Result")

log = logging.getLogger("sdrbee.server")

# Threads that decode and encode pictures.
_CODEC_THREADS = 2

# A body without a picture in it.
_SMALL_BODY_BYTES = 8 * 1024

# How long the start waits for the jobs of the last run; what takes longer goes on behind it.
_OPENING_S = 5.0


class Worker:
    """An engine behind HTTP: a plain ASGI callable.

    Example:
        >>> import sdrbee
        >>> from sdrbee.server.app import Worker
        >>> worker = Worker(sdrbee.Engine("shapes"))
        >>> callable(worker)
        True
    """

    def __init__(
        self,
        engine: sdrbee.Engine,
        *,
        limits: Limits | None = None,
        guard: Guard | None = None,
        journal: Journal | None = None,
        strip_metadata: bool = False,
        watchdog: Watchdog | None = None,
    ) -> None:
        """Needs the lifespan events of ASGI. Without a journal, jobs end with the process; pictures
        carry their recipe and a mark of their origin unless `strip_metadata`."""
        self.engine = engine
        self.limits = limits or Limits()
        self.guard = guard or Guard()
        self.watchdog = watchdog or Watchdog(engine)
        self.bodies = Bodies(self.limits)
        self._access_log = AccessLog()
        self.open_streams = 0
        self.identity = Identity()
        self.companions: list[Callable[[], Coroutine[Any, Any, None]]] = []
        """What runs beside the requests, from the start to the end."""
        self.pulled: Pulled | None = None
        """What comes into the local store, where all of it is served."""
        self._executor = ThreadPoolExecutor(_CODEC_THREADS, thread_name_prefix="codec")
        self.metrics = Metrics(engine)
        self.book = Book(
            engine,
            self.limits,
            self._executor,
            journal or Journal(),
            self.metrics,
            strip_metadata=strip_metadata,
        )
        self._router = Router()
        page.add_routes(self._router)
        native.add_routes(self._router, self)
        models.add_routes(self._router, self)
        a1111.add_routes(self._router, self)
        a1111_controls.add_routes(self._router, self)
        openai.add_routes(self._router, self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection's event, as ASGI has it."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            request = Request(scope, receive)
            request.request_id = request_id(_first(scope, b"x-request-id"))
            REQUEST_ID.set(request.request_id)
            started = time.monotonic()
            answer = await self._answer(request)
            self._access_log.note(request, answer, time.monotonic() - started)
            await send_response(answer, request, send)

    async def in_thread(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Runs what would hold up the event loop: decoding and encoding."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, function, *arguments)

    async def read(
        self, request: Request, function: Callable[..., Result], *arguments: Any
    ) -> Result:
        """Runs what makes something of a request's body: in a thread where the body is large;
        where it isn't, the change of threads would take longer."""
        told = request.header("content-length")
        if told is not None and int(told) <= _SMALL_BODY_BYTES:
            return function(*arguments)
        return await self.in_thread(function, *arguments)

    def info(self) -> WorkerInfo:
        """rbee's WorkerInfo."""
        return self.identity.info(self.engine, self._status())

    def not_ready(self) -> str | None:
        """Why no picture can be made; None when one can."""
        if self.book.refusal is not None:
            return self.book.refusal.message
        if (unhealthy := self.watchdog.unhealthy()) is not None:
            return unhealthy
        status = self.engine.status["workers"]
        if any(worker["model"] for worker in status):
            return None
        errors = [worker["load_error"] for worker in status if worker["load_error"]]
        return models.without_paths(errors[0], self.engine.models) if errors else "model loading"

    def _status(self) -> str:
        """rbee's word for what the worker does."""
        refusal = self.book.refusal
        if refusal is not None and refusal.code in ("draining", "shutting_down"):
            return "stopping"
        if self.not_ready() is not None:
            return "starting"
        jobs = any(worker["jobs"] for worker in self.engine.status["workers"])
        return "busy" if jobs else "ready"

    async def _answer(self, request: Request) -> Response:
        try:
            request.caller = self.guard.check(request)
            if self.pulled is not None and not is_open(request.path):
                await self.pulled.look()
            return await self._router.answer(request)
        except ClientGone:
            return Response(400)  # nobody reads it
        except (ApiError, sdrbee.Error, TypeError) as error:
            told = api_error(error)
            if told.status != 429:  # which comes too often to look for what it never says
                told.message = models.without_paths(told.message, self.engine.models)
            return error_response(told, self._router.error_form(request.path))
        except Exception as error:
            log.exception("%s %r failed", request.method, request.path)
            return error_response(api_error(error), self._router.error_form(request.path))

    async def _live(self, receive: Receive, send: Send) -> None:
        running: list[asyncio.Task[None]] = []
        watching = asyncio.create_task(self.watchdog.watch())
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self.book.open(_OPENING_S)
                running = [asyncio.create_task(companion()) for companion in self.companions]
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                for task in running:
                    task.cancel()
                await self.book.close()
                watching.cancel()
                self._executor.shutdown(wait=False)
                await send({"type": "lifespan.shutdown.complete"})
                return


def _first(scope: Scope, name: bytes) -> str | None:
    values = (value.decode("latin-1") for header, value in scope["headers"] if header == name)
    return next(values, None)
