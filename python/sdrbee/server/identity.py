"""Who a worker is to rbee's hive and queen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sdrbee
from sdrbee.server.answers import WorkerInfo

_ITEM_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
_BACKENDS = {"cpu": "cpu", "cuda": "cuda", "mps": "metal"}


@dataclass(frozen=True, slots=True)
class Identity:
    """A worker's name and where it is asked."""

    worker_id: str = "sdrbee"
    url: str = "http://localhost"
    port: int = 0

    def info(self, engine: sdrbee.Engine, status: str) -> WorkerInfo:
        """rbee's WorkerInfo; `status` is starting, ready, busy, stopping or stopped."""
        model, info = next(iter(engine.models.items()))
        kind, _, index = info.device.partition(":")
        return {
            "id": self.worker_id,
            "model_id": model,
            "device": f"{'CPU' if kind == 'cpu' else 'GPU'}-{index or 0}",
            "port": self.port,
            "status": status,
            "implementation": "sdrbee",
            "version": sdrbee.__version__,
        }

    def ready(self, engine: sdrbee.Engine) -> dict[str, Any]:
        """What the hive is told once when the worker can make pictures."""
        model, info = next(iter(engine.models.items()))
        return {
            "worker_id": self.worker_id,
            "url": self.url,
            "uri": self.url,
            "model_ref": model,
            "backend": backend_of(info.device),
            "vram_bytes": _weights_bytes(info),
        }


def backend_of(device: str) -> str:
    """cpu, cuda, metal or rocm: torch calls the last one cuda, too."""
    backend = _BACKENDS[device.partition(":")[0]]
    return "rocm" if backend == "cuda" and "rocm" in sdrbee.system_info().torch else backend


def _weights_bytes(info: sdrbee.ModelInfo) -> int:
    """What the weights take on the device, once all are loaded; 0 where no file tells."""
    try:
        components = sdrbee.describe(info.source, variant=info.variant, **info.components)
    except (sdrbee.Error, TypeError):
        return 0
    size = _ITEM_BYTES[info.dtype]
    return sum(part.parameters * size for part in components.components.values())
