"""What an engine tells of itself."""

from __future__ import annotations

from typing import TypedDict


class LoadedModel(TypedDict):
    """A model in the memory of a worker."""

    name: str
    bytes: int
    """What its weights take."""
    pinned: bool
    """Whether it stays, whatever the budget."""
    in_use: bool
    """Whether a picture is made with it."""
    idle: float
    """Seconds since its last use."""


class WorkerStatus(TypedDict):
    """What a worker of an engine does at the moment."""

    model: str | None
    """The model that was loaded last; None before the first job."""
    load_error: str | None
    """Why a model could not be loaded, at the last try."""
    jobs: list[int]
    """The ids of the jobs that it makes pictures of."""
    overdue: float
    """Seconds since a deadline of these jobs passed; one that grows tells of a hanging model."""
    loaded: list[LoadedModel]
    """The models in its memory."""
    loads: int
    """How often it loaded a model."""
    load_seconds: float
    """What that took in all; weights that come with a model's first picture don't count."""


class EngineStatus(TypedDict):
    """What an engine does at the moment."""

    queued: int
    """Pictures that wait."""
    workers: list[WorkerStatus]
