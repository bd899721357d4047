"""What the native routes answer, as types: mypy holds the handlers to them, the OpenAPI document
shows them."""

from __future__ import annotations

from typing import Any, TypedDict


class Health(TypedDict):
    status: str
    timestamp: str


class Ready(TypedDict):
    ready: bool
    timestamp: str


class WorkerInfo(TypedDict):
    """rbee's description of a worker."""

    id: str
    model_id: str
    device: str
    port: int
    status: str
    implementation: str
    version: str


class JobAccepted(TypedDict):
    job_id: str
    sse_url: str


class JobStatus(TypedDict):
    job_id: str
    status: str


class ModeDefaults(TypedDict):
    """What absent fields mean in one mode."""

    steps: int
    guidance_scale: float
    strength: float


class Sizes(TypedDict):
    """Of a picture's sides, in pixels."""

    multiple: int
    minimum: int
    maximum: int


class ModelAnswer(TypedDict):
    family: str
    variant: str
    device: str
    dtype: str
    capabilities: dict[str, bool]
    default_size: list[int]
    sizes: Sizes
    defaults: dict[str, ModeDefaults]
    """By mode: text_to_image, image_to_image, inpaint."""


class Versions(TypedDict):
    sdrbee: str
    torch: str


class Capabilities(TypedDict):
    version: str
    versions: Versions
    operations: list[str]
    models: dict[str, ModelAnswer]
    samplers: list[str]
    schedules: list[str]
    limits: dict[str, Any]
    features: dict[str, bool]
    """What the worker does, and which fields a model at least takes."""
