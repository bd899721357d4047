"""The libraries that `bench.baseline_server` serves. Each is imported by its own engine only: they
may be installed for different interpreters.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from PIL.Image import Image

GUIDANCE_SCALE = 7.5


class Engine(Protocol):
    def picture(self, prompt: str, steps: int, seed: int, size: int) -> Image:
        """A square picture with classifier-free guidance."""


class Diffusers:
    """diffusers' pipeline with the model's own scheduler, or with Euler's."""

    def __init__(self, model: str, threads: int, *, dtype: str, euler: bool = False) -> None:
        import torch
        from diffusers import DiffusionPipeline, EulerDiscreteScheduler

        from bench.engines import fp16_variant

        torch.set_num_threads(threads)
        self._torch = torch
        self._pipeline = DiffusionPipeline.from_pretrained(
            model,
            torch_dtype=getattr(torch, dtype),
            safety_checker=None,
            variant=fp16_variant(model),
        )
        if euler:
            config = self._pipeline.scheduler.config
            self._pipeline.scheduler = EulerDiscreteScheduler.from_config(config)
        self._pipeline.set_progress_bar_config(disable=True)

    def picture(self, prompt: str, steps: int, seed: int, size: int) -> Image:
        made: Image = self._pipeline(
            prompt,
            num_inference_steps=steps,
            width=size,
            height=size,
            guidance_scale=GUIDANCE_SCALE,
            generator=self._torch.Generator().manual_seed(seed),
        ).images[0]
        return made


class StableDiffusionCpp:
    """stable-diffusion.cpp's Python package, Euler's sampler; noise as PyTorch makes it."""

    def __init__(self, model: str, threads: int, *, wtype: str) -> None:
        from stable_diffusion_cpp import StableDiffusion

        with tempfile.TemporaryDirectory() as folder:
            _link_without_variant(Path(model), Path(folder))
            self._model = StableDiffusion(
                model_path=folder,
                n_threads=threads,
                wtype=wtype,
                vae_decode_only=True,
                rng_type="cpu",
                sampler_rng_type="cpu",
                verbose=False,
            )

    def picture(self, prompt: str, steps: int, seed: int, size: int) -> Image:
        made: Image = self._model.generate_image(
            prompt=prompt,
            sample_steps=steps,
            width=size,
            height=size,
            cfg_scale=GUIDANCE_SCALE,
            sample_method="euler",
            scheduler="discrete",
            seed=seed,
        )[0]
        return made


def _link_without_variant(model: Path, folder: Path) -> None:
    """The model's folder as stable-diffusion.cpp reads it: without ``.fp16`` in files' names."""
    for file in model.glob("*/*.safetensors"):
        link = folder / file.parent.name / file.name.replace(".fp16.", ".")
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(file.resolve())


ENGINES: dict[str, Callable[..., Engine]] = {
    "diffusers": Diffusers,
    "stable-diffusion.cpp": StableDiffusionCpp,
}
