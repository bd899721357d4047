"""The two engines under comparison behind one interface, and the process that runs one of them.

``python -m bench.engines sdrbee|diffusers MODEL DTYPE THREADS`` answers JSON lines on stdin with
JSON lines on stdout. Two such processes, driven alternately, see the same machine at the same time
without sharing allocator or thread pool.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.resident import memory_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

PROMPT = "a red circle left of a blue square on a green background"
SEED = 7


def fp16_variant(model: str) -> str | None:
    """What diffusers has to be told where a model's files are named ``.fp16.safetensors``."""
    return "fp16" if list(Path(model).glob("unet/*.fp16.safetensors")) else None


class SdrbeeEngine:
    """sdrbee through its Python interface."""

    def __init__(self, model: str, dtype: str, threads: int) -> None:
        import sdrbee

        sdrbee.set_threads(threads)
        self._sdrbee = sdrbee
        self._source, self._dtype = model, dtype

    def load(self) -> None:
        self._model = self._sdrbee.load(self._source, device="cpu", dtype=self._dtype)

    def warm_up(self) -> None:
        """Reads all weights, which `load` leaves to their first use."""
        self._model.warm_up()

    def begin(self, steps: int, size: int, output: str, loras: Sequence[str] = ()) -> None:
        self._generation = self._model.begin(
            self._sdrbee.GenerationRequest(
                prompt=PROMPT,
                steps=steps,
                width=size,
                height=size,
                seed=SEED,
                sampler="euler",
                guidance_scale=7.5,
                output=output,
                loras=[*loras],
            )
        )

    def step(self) -> None:
        self._model.advance(self._generation)

    def finish(self) -> np.ndarray:
        import numpy as np

        return np.asarray(self._model.finish(self._generation))


class DiffusersEngine:
    """diffusers' pipeline; its loop runs in a thread that waits for leave before every step."""

    def __init__(self, model: str, dtype: str, threads: int) -> None:
        import torch
        from diffusers import DiffusionPipeline, EulerDiscreteScheduler

        torch.set_num_threads(threads)
        self._torch = torch
        self._pipeline_class, self._scheduler_class = (
            DiffusionPipeline,
            EulerDiscreteScheduler,
        )
        self._source = model
        self._dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[dtype]

    def load(self) -> None:
        """In the layout that suits each dtype best: channels last for bf16, else the default."""
        torch = self._torch
        pipe = self._pipeline_class.from_pretrained(
            self._source,
            torch_dtype=self._dtype,
            variant=fp16_variant(self._source),
            safety_checker=None,
        )
        pipe.scheduler = self._scheduler_class.from_config(pipe.scheduler.config)
        pipe.set_progress_bar_config(disable=True)
        if self._dtype == torch.bfloat16:
            pipe.unet.to(memory_format=torch.channels_last)
            pipe.vae.to(memory_format=torch.channels_last)
        self._pipe = pipe

    def warm_up(self) -> None:
        """Nothing: `load` has read all weights."""

    def apply(self, file: str) -> None:
        """Lets a LoRA act."""
        self._pipe.load_lora_weights(file, adapter_name="one")
        self._pipe.set_adapters(["one"], [1.0])

    def begin(self, steps: int, size: int, output: str) -> None:
        torch = self._torch
        self._may_go, self._has_stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._failure: BaseException | None = None

        def stop(*told: Any) -> dict[str, Any]:
            self._has_stopped.release()
            self._may_go.acquire()
            inputs: dict[str, Any] = told[-1]
            return inputs

        generator = torch.Generator().manual_seed(SEED)
        latents = torch.randn((1, 4, size // 8, size // 8), generator=generator).to(self._dtype)

        def run() -> None:
            try:
                with torch.inference_mode():
                    self._made = self._pipe(
                        PROMPT,
                        num_inference_steps=steps,
                        width=size,
                        height=size,
                        latents=latents,
                        guidance_scale=7.5,
                        output_type={"latent": "latent", "image": "np"}[output],
                        callback_on_step_end=stop,
                    ).images
            except BaseException as failure:
                self._failure = failure
            self._has_stopped.release()

        self._thread = threading.Thread(target=run)
        self._started = False
        self._run = run

    def step(self) -> None:
        # The prompt is encoded within the first step.
        if self._started:
            self._may_go.release()
        else:
            self._thread.start()
            self._started = True
        self._has_stopped.acquire()
        if self._failure is not None:
            raise self._failure

    def finish(self) -> np.ndarray:
        import numpy as np

        self._may_go.release()
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        made = self._made[0]
        if isinstance(made, np.ndarray):
            return (made * 255).round().astype(np.uint8)
        return np.asarray(made.float())


ENGINES = {"sdrbee": SdrbeeEngine, "diffusers": DiffusersEngine}


def _answer(engine: Any, call: dict[str, Any]) -> dict[str, Any]:
    started = time.perf_counter()
    made = getattr(engine, call["do"])(**call.get("with", {}))
    answer: dict[str, Any] = {"seconds": time.perf_counter() - started}
    if made is not None and "save" in call:
        import numpy as np

        np.save(call["save"], made)
    answer["peak_mib"] = memory_bytes("VmHWM") / 2**20
    return answer


def main() -> None:
    name, model, dtype, threads = sys.argv[1:5]
    replies = sys.stdout
    sys.stdout = sys.stderr  # whatever libraries print must not mix with the replies
    engine = ENGINES[name](model, dtype, int(threads))
    print(json.dumps({"ready": True}), file=replies, flush=True)
    for line in sys.stdin:
        print(json.dumps(_answer(engine, json.loads(line))), file=replies, flush=True)


if __name__ == "__main__":
    main()
