"""`Client`: a worker's pictures without asyncio."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import httpx2

import sdrbee
from sdrbee.client.following import Following, RemoteEvent
from sdrbee.client.operation import operation
from sdrbee.client.settings import EVENT_BYTES, Settings, results


class RemoteJob:
    """A job of a worker; get one from `Client.submit`."""

    def __init__(self, client: Client, job_id: str) -> None:
        self.job_id = job_id
        self._client = client

    def __iter__(self) -> Iterator[RemoteEvent]:
        """The events, from the first on and to the end, whatever becomes of the connection."""
        return self._client._follow(Following(self.job_id))

    def result(self, on_event: Callable[[RemoteEvent], object] | None = None) -> list[sdrbee.Image]:
        """Waits for the pictures.

        Raises:
            Error: What the job ended with, as the engine raises it.
            WorkerError: The worker is gone.
        """
        following = Following(self.job_id)
        for event in self._client._follow(following):
            if on_event is not None:
                on_event(event)
        return following.images()

    def cancel(self) -> None:
        """Ends it within one step; nothing after its end."""
        self._client._ask("DELETE", f"/v1/jobs/{self.job_id}")


class Client:
    """Asks a worker for pictures.

    Example:
        >>> import sdrbee
        >>> client = sdrbee.Client("http://127.0.0.1:8081")
        >>> client.close()
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout: float = 30.0,
        reconnect: float = 60.0,
        verify: Any = True,
    ) -> None:
        """Connects at the first request.

        Args:
            url: Where the worker is.
            api_key: One of its keys, if it has any.
            timeout: Seconds that an answer may take; not those that a picture may take.
            reconnect: About how many seconds a worker may be away in the middle of a job.
            verify: An ssl.SSLContext for a certificate that the system does not know.
        """
        self._settings = Settings(url, api_key, timeout, reconnect)
        self._http = httpx2.Client(**self._settings.arguments(verify))

    def submit(self, prompt: str, **fields: Any) -> RemoteJob:
        """Hands in a request.

        Args:
            prompt: What to see.
            **fields: Fields of `GenerationRequest`, with `image` and `mask` as there; `count`,
                `model`, `priority`, `deadline_s` and all others that the worker has.

        Raises:
            InvalidRequest, ModelNotFound, QueueFull, ...: As `Engine.submit`.
            WorkerError: The worker can't be reached or refuses for another reason.
        """
        answer = self._ask("POST", "/v1/jobs", json=operation(prompt, fields).body)
        return RemoteJob(self, self._settings.job_id(answer))

    def generate(
        self, prompt: str, *, on_event: Callable[[RemoteEvent], object] | None = None, **fields: Any
    ) -> Any:
        """A picture; a list of them with `count`. Cancels the job when it is interrupted.

        Raises:
            Error: As `submit` and `RemoteJob.result`.
        """
        job = self.submit(prompt, **fields)
        try:
            images = job.result(on_event)
        except (KeyboardInterrupt, GeneratorExit):
            job.cancel()
            raise
        return results(images, fields)

    def capabilities(self) -> dict[str, Any]:
        """What the worker can do: models, samplers, schedules, limits."""
        capabilities: dict[str, Any] = self._ask("GET", "/v1/capabilities").json()
        return capabilities

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, method: str, path: str, **given: Any) -> httpx2.Response:
        try:
            answer = self._http.request(method, path, **given)
        except httpx2.HTTPError as error:
            raise self._settings.unreachable(error) from error
        return self._settings.checked(answer)

    def _follow(self, following: Following) -> Iterator[RemoteEvent]:
        while not following.ended:
            problem: Exception | None = None
            try:
                yield from self._read(following)
            except httpx2.HTTPError as error:
                problem = error
            if not following.ended:
                time.sleep(following.missed(problem, self._settings.reconnect_s))

    def _read(self, following: Following) -> Iterator[RemoteEvent]:
        with self._http.stream(**self._settings.stream(following)) as answer:
            if not answer.is_success:
                following.refused(answer.status_code, answer.read())
                return
            for told in httpx2.EventSource(answer, EVENT_BYTES):
                event = following.feed(told)
                if event is not None:
                    yield event
                if following.ended:
                    return
