"""What people write today: diffusers behind uvicorn, one request at a time. The baseline of
`bench.serving_baseline`; ``python -m bench.baseline_server MODEL DTYPE THREADS`` listens on a free
port and tells it on stderr.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import socket
import sys
from pathlib import Path
from typing import Any

import torch
import uvicorn
from diffusers import DiffusionPipeline


class Baseline:
    """POST / with ``{"prompt", "steps", "seed"}`` answers ``{"image": PNG in base64}``."""

    def __init__(self, model: str, dtype: str) -> None:
        variant = "fp16" if list(Path(model).glob("unet/*.fp16.safetensors")) else None
        self._pipeline = DiffusionPipeline.from_pretrained(
            model, torch_dtype=getattr(torch, dtype), safety_checker=None, variant=variant
        )
        self._pipeline.set_progress_bar_config(disable=True)
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

    def _generate(self, prompt: str, steps: int, seed: int) -> dict[str, str]:
        generator = torch.Generator().manual_seed(seed)
        image = self._pipeline(
            prompt, num_inference_steps=steps, width=128, height=128, generator=generator
        ).images[0]
        file = io.BytesIO()
        image.save(file, "PNG")
        return {"image": base64.b64encode(file.getvalue()).decode()}


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[3]))
    served = Baseline(sys.argv[1], sys.argv[2])
    bound = socket.create_server(("127.0.0.1", 0))
    print(f"listening on http://127.0.0.1:{bound.getsockname()[1]}", file=sys.stderr, flush=True)
    uvicorn.Server(uvicorn.Config(served, lifespan="off", log_level="error")).run([bound])
