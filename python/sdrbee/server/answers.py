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


class JobProgress(TypedDict):
    """The last step that was told of."""

    image_index: int
    step: int
    total: int | None
    percent: float | None


class JobError(TypedDict):
    """Why it failed."""

    code: str
    message: str
    field: str | None


class JobTiming(TypedDict):
    queued_s: float
    run_s: float


class JobResult(TypedDict):
    """What is known of the pictures beside themselves."""

    format: str
    seed: int
    seeds: list[int]
    width: int
    height: int
    batched: bool
    timing: JobTiming


class JobDescription(TypedDict):
    job_id: str
    status: str
    """queued, running, done, failed or cancelled"""
    operation: str
    model: str
    created: float
    started: float | None
    ended: float | None
    """These three in seconds since 1970."""
    position: int | None
    progress: JobProgress | None
    batched: bool
    """Whether a picture shared a step with another."""
    error: JobError | None
    request: dict[str, Any]
    """As it was sent, without pictures."""
    result: JobResult | None


class JobList(TypedDict):
    jobs: list[JobDescription]


class ModelRow(TypedDict):
    id: str
    object: str
    created: int
    owned_by: str
    family: str
    variant: str
    default_size: list[int]
    loaded: bool
    """In the memory of a worker; the next four tell of it there."""
    bytes: int
    pinned: bool
    in_use: bool
    idle_s: float | None


class ModelList(TypedDict):
    object: str
    data: list[ModelRow]


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


class AdapterNames(TypedDict):
    """By the field of the operation that takes them."""

    loras: list[str]
    controls: list[str]
    embeddings: list[str]


class ModelAnswer(AdapterNames):
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
    prompt_syntaxes: list[str]
    limits: dict[str, Any]
    features: dict[str, bool]
    """What the worker does, and which fields a model at least takes."""
