"""What people write today: a library behind uvicorn, one request at a time. The baselines of
`bench.serving_baseline` and `bench.serving_sdcpp`.

``python -m bench.baseline_server ENGINE MODEL THREADS OPTIONS`` listens on a free port and tells it
on stderr. ENGINE is a name in `bench.baseline_engines`, OPTIONS are JSON.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import socket
import sys
from typing import Any

import uvicorn

from bench.baseline_engines import ENGINES, Engine


class Baseline:
    """POST / with ``{"prompt", "steps", "seed", "size"}`` answers ``{"image": PNG in base64}``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        async with self._one_at_a_time:
            answer = await asyncio.to_thread(self._generate, **json.loads(body))
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    def _generate(self, prompt: str, steps: int, seed: int, size: int) -> dict[str, str]:
        file = io.BytesIO()
        self._engine.picture(prompt, steps, seed, size).save(file, "PNG")
        return {"image": base64.b64encode(file.getvalue()).decode()}


def main() -> None:
    name, model, threads, options = sys.argv[1:]
    served = Baseline(ENGINES[name](model, int(threads), **json.loads(options)))
    bound = socket.create_server(("127.0.0.1", 0))
    print(f"listening on http://127.0.0.1:{bound.getsockname()[1]}", file=sys.stderr, flush=True)
    uvicorn.Server(uvicorn.Config(served, lifespan="off", log_level="error")).run([bound])


if __name__ == "__main__":
    main()
