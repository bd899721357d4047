"""sdrbee: a C++ diffusion engine with a thin Python package.

Importing it loads libtorch but not Python's ``torch``.
"""

from __future__ import annotations

from sdrbee import _torch_runtime

_torch_runtime.load()

from sdrbee._native import (  # noqa: E402  (the extension needs the libraries loaded above)
    Cancelled,
    CheckpointError,
    Error,
    InternalError,
    InvalidRequest,
    OutOfMemory,
    QueueFull,
    UnsupportedModel,
)

__version__ = "0.1.0"

__all__ = [
    "Cancelled",
    "CheckpointError",
    "Error",
    "InternalError",
    "InvalidRequest",
    "OutOfMemory",
    "QueueFull",
    "UnsupportedModel",
    "__version__",
]
