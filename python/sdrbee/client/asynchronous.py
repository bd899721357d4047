"""`AsyncClient`: a worker's pictures with asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any

import httpx2

import sdrbee
from sdrbee.client.following import Following, RemoteEvent
from sdrbee.client.operation import operation
from sdrbee.client.settings import EVENT_BYTES, Settings, results


class AsyncRemoteJob:
    """A job of a worker; get one from `AsyncClient.submit`."""

    def __init__(self, client: AsyncClient, job_id: str) -> None:
        self.job_id = job_id
        self._client = client

    def __aiter__(self) -> AsyncIterator[RemoteEvent]:
        """The events, from the first on and to the end, whatever becomes of the connection."""
        return self._client._follow(Following(self.job_id))

    async def result(
        self, on_event: Callable[[RemoteEvent], object] | None = None
    ) -> list[sdrbee.Image]:
        """As `RemoteJob.result`."""
        following = Following(self.job_id)
        async for event in self._client._follow(following):
            if on_event is not None:
                on_event(event)
        return await asyncio.to_thread(following.images)

    async def cancel(self) -> None:
        """Ends it within one step; nothing after its end."""
        await self._client._ask("DELETE", f"/v1/jobs/{self.job_id}")


class AsyncClient:
    """As `Client`, with coroutines."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout: float = 30.0,
        reconnect: float = 60.0,
        verify: Any = True,
    ) -> None:
        """As `Client`."""
        self._settings = Settings(url, api_key, timeout, reconnect)
        self._http = httpx2.AsyncClient(**self._settings.arguments(verify))

    async def submit(self, prompt: str, **fields: Any) -> AsyncRemoteJob:
        """As `Client.submit`."""
        body = (await asyncio.to_thread(operation, prompt, fields)).body
        return AsyncRemoteJob(
            self, self._settings.job_id(await self._ask("POST", "/v1/jobs", json=body))
        )

    async def generate(
        self, prompt: str, *, on_event: Callable[[RemoteEvent], object] | None = None, **fields: Any
    ) -> Any:
        """As `Client.generate`; cancels the job when its task is cancelled."""
        job = await self.submit(prompt, **fields)
        try:
            images = await job.result(on_event)
        except asyncio.CancelledError:
            await asyncio.shield(job.cancel())
            raise
        return results(images, fields)

    async def capabilities(self) -> dict[str, Any]:
        """As `Client.capabilities`."""
        capabilities: dict[str, Any] = (await self._ask("GET", "/v1/capabilities")).json()
        return capabilities

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _ask(self, method: str, path: str, **given: Any) -> httpx2.Response:
        try:
            answer = await self._http.request(method, path, **given)
        except httpx2.HTTPError as error:
            raise self._settings.unreachable(error) from error
        return self._settings.checked(answer)

    async def _follow(self, following: Following) -> AsyncIterator[RemoteEvent]:
        while not following.ended:
            problem: Exception | None = None
            try:
                async for event in self._read(following):
                    yield event
            except httpx2.HTTPError as error:
                problem = error
            if not following.ended:
                await asyncio.sleep(following.missed(problem, self._settings.reconnect_s))

    async def _read(self, following: Following) -> AsyncIterator[RemoteEvent]:
        async with self._http.stream(**self._settings.stream(following)) as answer:
            if not answer.is_success:
                following.refused(answer.status_code, await answer.aread())
                return
            async for told in httpx2.EventSource(answer, EVENT_BYTES):
                event = following.feed(told)
                if event is not None:
                    yield event
                if following.ended:
                    return
