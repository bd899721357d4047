"""The models of a worker: which a name means, which are in memory, and changing that."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import sdrbee
from sdrbee.hub.local import named_models
from sdrbee.model_files import builtin_models
from sdrbee.names import find_model
from sdrbee.server.answers import ModelList, ModelRow
from sdrbee.server.http import Request, Response, Router, json_response
from sdrbee.server.openai_errors import ErrorForAll
from sdrbee.server.openapi import Endpoint

if TYPE_CHECKING:
    from sdrbee.server.app import Worker


# Requests that wait for a model at the same time; others wait for these.
_LOADING_THREADS = 2

_LIST = Endpoint("The models", ModelList, error=ErrorForAll)
_MODEL = Endpoint("A model", ModelRow, errors=(404,), error=ErrorForAll)
_LOAD = Endpoint(
    "Loads a model before the next job", ModelRow, errors=(404, 500, 503), error=ErrorForAll
)
_UNLOAD = Endpoint(
    "Lets a model go, once no picture is made with it", ModelRow, errors=(404,), error=ErrorForAll
)


def resolve_model(name: str, models: Mapping[str, sdrbee.ModelInfo]) -> str:
    """The engine's name for a model, by any of those that `find_model` knows; "" is the first one.

    Raises:
        ModelNotFound: There is none.
    """
    if not name:
        return next(iter(models))
    if name in models:
        return name
    return find_model(name, named_models(models, name))


def without_paths(text: str, models: Mapping[str, sdrbee.ModelInfo]) -> str:
    """A text for others than the worker's owner: it calls models by their names, not by where their
    files are."""
    for name, info in models.items():
        if os.sep in info.source:
            text = text.replace(info.source, name)
    return text


def add_routes(router: Router, worker: Worker) -> None:
    """The list of models, in a form that OpenAI's clients read, too, and what loads and unloads
    them."""
    models = _Models(worker)
    model = "/v1/models/{model*}"
    router.add("GET", "/v1/models", models.list, _LIST)
    router.add("GET", model, models.describe, _MODEL)
    router.add("POST", f"{model}/load", models.load, _LOAD)
    router.add("POST", f"{model}/unload", models.unload, _UNLOAD)


class _Models:
    def __init__(self, worker: Worker) -> None:
        self._engine = worker.engine
        # Loading takes its time: not among the threads that decode and encode pictures.
        self._loading = ThreadPoolExecutor(_LOADING_THREADS, thread_name_prefix="loading")
        self._began = int(time.time())

    async def list(self, _request: Request) -> Response:
        rows = [self._row(name) for name in self._engine.models]
        answer: ModelList = {"object": "list", "data": rows}
        return json_response(200, answer)

    async def describe(self, request: Request) -> Response:
        return json_response(200, self._row(self._named(request)))

    async def load(self, request: Request) -> Response:
        """Answers once it is loaded; a client that leaves does not end that."""
        name = self._named(request)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._loading, self._engine.load, name)
        return json_response(200, self._row(name))

    async def unload(self, request: Request) -> Response:
        name = self._named(request)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._loading, self._engine.unload, name)
        return json_response(200, self._row(name))

    def _named(self, request: Request) -> str:
        return resolve_model(request.path_values["model"], self._engine.models)

    def _row(self, name: str) -> ModelRow:
        info = self._engine.models[name]
        loaded = [
            model
            for worker in self._engine.status["workers"]
            for model in worker["loaded"]
            if model["name"] == name
        ]
        return {
            "id": name,
            "object": "model",
            "created": _created(info, self._began),
            "owned_by": _owner(name),
            "family": info.family,
            "variant": info.variant,
            "default_size": [*info.default_size],
            "loaded": bool(loaded),
            "bytes": sum(model["bytes"] for model in loaded),
            "pinned": any(model["pinned"] for model in loaded),
            "in_use": any(model["in_use"] for model in loaded),
            "idle_s": min((model["idle"] for model in loaded), default=None),
        }


def _owner(name: str) -> str:
    """Who published a model, as far as its name says so."""
    publisher, separator, _ = name.rpartition("/")
    return publisher if separator else "sdrbee" if name in builtin_models() else "user"


def _created(info: sdrbee.ModelInfo, began: int) -> int:
    """When its files came here; for models without files, when the worker `began`."""
    try:
        return int(Path(info.source).stat().st_mtime)
    except OSError:
        return began
