"""sdrbee: a C++ diffusion engine with a thin Python package.

Importing it loads libtorch but not Python's ``torch``.

Example:
    >>> import sdrbee
    >>> model = sdrbee.load("shapes")
    >>> image = model.generate("a red circle left of a blue square", steps=4, seed=7)
    >>> image.save("out.png")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdrbee import _torch_runtime

_torch_runtime.load()

# The extension needs the libraries that were loaded above.
from sdrbee._native import (  # noqa: E402
    Cancelled,
    CancelToken,
    CheckpointError,
    ComponentMemory,
    DeadlineExceeded,
    Error,
    Generation,
    GenerationRequest,
    Image,
    InternalError,
    InvalidRequest,
    JobEvent,
    ModelDescription,
    ModelInfo,
    OutOfMemory,
    PluginError,
    QueueFull,
    UnsupportedModel,
    families,
    prompt_syntaxes,
    request_fields,
    samplers,
    schedules,
    set_threads,
    system_info,
)
from sdrbee.conversion import Conversion, convert  # noqa: E402
from sdrbee.engine import Engine  # noqa: E402
from sdrbee.hub.errors import PullError  # noqa: E402
from sdrbee.hub.local import StoredModel  # noqa: E402
from sdrbee.hub.pulling import pull  # noqa: E402
from sdrbee.job import Job  # noqa: E402
from sdrbee.model import Model, describe, load  # noqa: E402
from sdrbee.model_files import builtin_models  # noqa: E402
from sdrbee.names import ModelNotFound  # noqa: E402
from sdrbee.replaying import replay  # noqa: E402

__version__ = system_info().sdrbee

if TYPE_CHECKING:
    from sdrbee.client import AsyncClient as AsyncClient
    from sdrbee.client import Client as Client
    from sdrbee.client import WorkerError as WorkerError

# What needs a package of an extra is imported by its first use, and not by "import *".
_IN_CLIENT = ("AsyncClient", "Client", "WorkerError")


def __getattr__(name: str) -> Any:
    if name not in _IN_CLIENT:
        raise AttributeError(f"module 'sdrbee' has no attribute {name!r}")
    try:
        from sdrbee import client
    except ModuleNotFoundError as error:
        raise ImportError(f"sdrbee.{name} needs pip install 'sdrbee[client]': {error}") from error
    return getattr(client, name)


__all__ = [
    "CancelToken",
    "Cancelled",
    "CheckpointError",
    "ComponentMemory",
    "Conversion",
    "DeadlineExceeded",
    "Engine",
    "Error",
    "Generation",
    "GenerationRequest",
    "Image",
    "InternalError",
    "InvalidRequest",
    "Job",
    "JobEvent",
    "Model",
    "ModelDescription",
    "ModelInfo",
    "ModelNotFound",
    "OutOfMemory",
    "PluginError",
    "PullError",
    "QueueFull",
    "StoredModel",
    "UnsupportedModel",
    "__version__",
    "builtin_models",
    "convert",
    "describe",
    "families",
    "load",
    "prompt_syntaxes",
    "pull",
    "replay",
    "request_fields",
    "samplers",
    "schedules",
    "set_threads",
    "system_info",
]
