"""Pictures from a worker somewhere else, by its native routes: `Client` and `AsyncClient`."""

from __future__ import annotations

from sdrbee.client.asynchronous import AsyncClient, AsyncRemoteJob
from sdrbee.client.errors import WorkerError
from sdrbee.client.following import RemoteEvent
from sdrbee.client.synchronous import Client, RemoteJob

__all__ = ["AsyncClient", "AsyncRemoteJob", "Client", "RemoteEvent", "RemoteJob", "WorkerError"]
