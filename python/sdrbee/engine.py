"""Many requests at once: a queue, jobs with events, and pictures that share network calls."""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdrbee import _native
from sdrbee._native import GenerationRequest, ModelInfo
from sdrbee.engine_status import EngineStatus
from sdrbee.hub.local import named_models
from sdrbee.job import Job, wait_in_slices
from sdrbee.model_origin import ModelName, ModelOrigin, model_origin
from sdrbee.names import find_model
from sdrbee.sizes import parse_bytes, parse_seconds

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Unpack

    from sdrbee.requests import RequestFields

DEFAULT_MAX_LOADED_MODELS = 3


class Engine:
    """Makes the pictures of submitted requests on threads of its own, one a device.

    Jobs wait in a bounded queue: higher priorities first, then the order of arrival. Requests that
    agree in model, size and token count take their steps together, also when they differ in
    prompt, seed, steps, sampler and guidance; a new one joins at the next step. Use it from any
    thread. Close it, or use it as a context manager.

    Example:
        >>> import sdrbee
        >>> with sdrbee.Engine("shapes") as engine:
        ...     jobs = [engine.submit("a blue ring", steps=2, seed=seed) for seed in range(3)]
        ...     [job.result().seed for job in jobs]
        [0, 1, 2]
    """

    __slots__ = ("__weakref__", "_devices", "_dtype", "_engine", "_models")

    def __init__(
        self,
        models: ModelName | Mapping[str, Any] = "shapes",
        *,
        devices: Sequence[str] = ("auto",),
        dtype: str = "auto",
        queue_limit: int = 64,
        max_batch: int = 8,
        preload: bool = False,
        checkpoint_interval: float | None = None,
        memory_budget: int | str | None = None,
        max_loaded_models: int | None = DEFAULT_MAX_LOADED_MODELS,
        keep_alive: float | str | None = None,
    ) -> None:
        """Describes the models; the first job of each loads it.

        Args:
            models: What `load` takes as a name, or several by a name of one's own: ``{"xl":
                "/models/xl.safetensors", "turbo": {"name": "/models/turbo", "variant":
                "sd-turbo"}}``, where a mapping holds the arguments of `load`. Jobs without a
                model take the first one.
            devices: One worker for each; a device may be there twice.
            dtype: As for `load`, where a model has none of its own.
            queue_limit: How many pictures may wait.
            max_batch: How many pictures take their steps together.
            preload: Loads the first model at once, in the background.
            checkpoint_interval: Seconds between two checkpoints of a job that runs, see
                `Job.checkpoint`; 0 takes one at each step; None takes none.
            memory_budget: What the weights of all models that a worker keeps in memory may take,
                in bytes or as "8GiB": those that were not used the longest time are let go. By
                default there is no such bound.
            max_loaded_models: How many models a worker keeps in memory; None: any number.
            keep_alive: A model that was not used for so long is let go, in seconds or as "5m".
                None and negative values keep it for ever.

        Raises:
            CheckpointError: There is no such model, or its files are damaged or incomplete.
            UnsupportedModel: A model is of a kind that this build does not run.
            InvalidRequest: An argument is out of range or unknown.
        """
        if not isinstance(models, Mapping):
            models = {_own_name(models): models}
        self._devices, self._dtype = list(devices), dtype
        self._engine = _native.Engine(
            [_named(name, model, dtype) for name, model in models.items()],
            self._devices,
            _native.EngineOptions(
                queue_limit,
                max_batch,
                preload,
                checkpoint_interval,
                _native.StoreOptions(
                    None if memory_budget is None else parse_bytes(memory_budget, "memory_budget"),
                    max_loaded_models,
                    None if keep_alive is None else parse_seconds(keep_alive, "keep_alive"),
                ),
            ),
        )
        self._models = dict(self._engine.models)
        _open_engines.add(self)

    def add(self, name: str, model: Any) -> None:
        """Adds a model that jobs may ask for from now on; the first that does loads it.

        Args:
            name: What it is called.
            model: What `load` takes as a name, or a mapping of the arguments of `load`.

        Raises:
            CheckpointError, UnsupportedModel, InvalidRequest: As for a new engine, and when there
                is a model of that name.

        Example:
            >>> import sdrbee
            >>> with sdrbee.Engine("shapes") as engine:
            ...     engine.add("other", {"name": "shapes", "dtype": "fp32"})
            ...     list(engine.models)
            ['shapes', 'other']
        """
        self._engine.add(*_named(name, model, self._dtype), self._devices)
        self._models = dict(self._engine.models)

    def submit(
        self,
        request: GenerationRequest | str,
        *,
        model: str = "",
        priority: int = 0,
        deadline: float | None = None,
        preview_every: int = 1,
        resume: bytes | None = None,
        **fields: Unpack[RequestFields],
    ) -> Job:
        """Checks a request and puts it in the queue.

        Args:
            request: The request, or a prompt.
            model: Which of the engine's models, as `find_model` takes it; by default the first.
            priority: -1000..1000; higher ones go first.
            deadline: Seconds from now; a job that is not done then fails.
            preview_every: Previews, where the request's `preview` asks for them, are made after
                the steps 1, 1 + n, 1 + 2n, ... of a picture and after its last.
            resume: The `Job.checkpoint` of a job of the same request, which this one goes on
                with; its steps are told from there on. Where the request has no seed, that of the
                checkpoint is taken. The pictures are bit-identical to those of a job that was
                never interrupted where it was `exact`, or alone in every step (its recipe says
                ``batched: false``).
            **fields: With a prompt, other fields of `GenerationRequest`.

        Raises:
            InvalidRequest: A value is out of range for the model, or a prompt is too long under
                ``long_prompt="error"``. Where the model is not in memory yet, its tokens are
                counted when it is, and the job fails then.
            ModelNotFound: There is no such model.
            CheckpointError: `resume` is damaged, or of another request or build.
            QueueFull: Too many pictures wait.
            Cancelled: The engine is closed.
        """
        if isinstance(request, str):
            request = GenerationRequest(prompt=request, **fields)
        elif fields:
            raise TypeError(f"with a request, {', '.join(fields)} belong into the request")
        name = self.find_model(model)
        options = _native.JobOptions(name, priority, deadline, preview_every, resume)
        return Job(self._engine.submit(request, options))

    def check_room(self, count: int = 1) -> None:
        """Whether the queue would take so many pictures now: costs less than to submit a request,
        which is checked first.

        Raises:
            QueueFull: It would not.

        Example:
            >>> import sdrbee
            >>> with sdrbee.Engine("shapes") as engine:
            ...     engine.check_room(8)
        """
        self._engine.check_room(count)

    @property
    def models(self) -> dict[str, ModelInfo]:
        """The models by name; jobs that ask for none take the first."""
        return dict(self._models)

    def find_model(self, name: str = "") -> str:
        """The engine's own name for what a user calls a model.

        Args:
            name: The own name or its part behind the last "/", a name of the model's variant (see
                `sdrbee.families()`), or a Hugging Face id; ``@revision`` may follow. By default
                the first model.

        Raises:
            ModelNotFound: None of the engine's models is called so.

        Example:
            >>> import sdrbee
            >>> with sdrbee.Engine({"mine": "shapes"}) as engine:
            ...     engine.find_model("someone/Mine")
            'mine'
        """
        if not name:
            return next(iter(self._models))
        if name in self._models:
            return name
        return find_model(name, named_models(self._models, name))

    def load(self, name: str = "", *, timeout: float | None = None) -> None:
        """Loads a model into the memory of all workers, before their next jobs, and waits for it.

        Args:
            name: As `find_model` takes it.
            timeout: The longest wait, in seconds; None: as long as it takes.

        Raises:
            ModelNotFound: There is no such model.
            TimeoutError: It was not loaded after `timeout`; loading goes on.
            CheckpointError: Its files are damaged.
            OutOfMemory: The pinned models leave no room for it.
            Cancelled: The engine is closed.
        """
        loading = self._engine.load(self.find_model(name))
        if not wait_in_slices(loading.wait, timeout):
            raise TimeoutError(f"{name!r} is not loaded after {timeout} s")

    def unload(self, name: str = "") -> None:
        """Lets a model go: at once, or when no picture is made with it any more. The next job that
        asks for it loads it again.

        Raises:
            ModelNotFound: There is no such model.

        Example:
            >>> import sdrbee
            >>> with sdrbee.Engine("shapes") as engine:
            ...     engine.load("shapes")
            ...     engine.unload("shapes")
            ...     engine.status["workers"][0]["loaded"]
            []
        """
        self._engine.unload(self.find_model(name))

    def pin(self, name: str = "", pinned: bool = True) -> None:
        """Whether a model stays in memory once it is loaded, whatever the budget and `keep_alive`
        say.

        Raises:
            ModelNotFound: There is no such model.
        """
        self._engine.pin(self.find_model(name), pinned)

    @property
    def status(self) -> EngineStatus:
        """How many jobs wait, and what each worker does."""
        status: EngineStatus = self._engine.status
        return status

    def close(self, *, checkpoint: bool = False) -> None:
        """Ends all jobs as cancelled, within one step, and the engine's threads.

        Args:
            checkpoint: Gives each job that runs a last checkpoint before it ends.
        """
        self._engine.stop(checkpoint)

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


_open_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


@atexit.register
def _close_engines() -> None:
    """Threads that call back into Python must have ended when the interpreter goes."""
    for engine in list(_open_engines):
        engine.close()


def _own_name(model: ModelName) -> str:
    return model.id if isinstance(model, type) else Path(model).name


def _named(name: str, model: Any, dtype: str) -> tuple[str, ModelOrigin]:
    options = dict(model) if isinstance(model, Mapping) else {"name": model}
    return name, model_origin(options.pop("name"), **{"dtype": dtype, **options})
