"""One tiny model of a family, opened by diffusers in all its modes and by sdrbee."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
from parity.reference import Pixels, decoded

import sdrbee


class FamilyPair:
    """The model in `folder`; `pipelines` are diffusers' classes by mode."""

    def __init__(
        self, folder: Path, device: str, pipelines: Mapping[str, str], **parts: Any
    ) -> None:
        self.folder = folder
        self.model = sdrbee.load(folder, device=device, dtype="float32")
        self.pipelines = {
            mode: getattr(diffusers, name).from_pretrained(folder, **parts)
            for mode, name in pipelines.items()
        }
        for pipeline in self.pipelines.values():
            pipeline.set_progress_bar_config(disable=True)

    def final_latents(self, mode: str, seed: int, **arguments: Any) -> torch.Tensor:
        """diffusers' final latents as its pipeline gives them out."""
        latents: torch.Tensor = self.pipelines[mode](
            **arguments,
            generator=torch.Generator("cpu").manual_seed(seed),
            output_type="latent",
            return_dict=False,
        )[0]
        return latents

    def decode(self, latents: torch.Tensor) -> Pixels:
        """diffusers' picture [H, W, 3] in 0..1 of latents [1, C, h, w]."""
        return decoded(next(iter(self.pipelines.values())), latents)


class LatentPair(FamilyPair):
    """A family whose pipelines give out latents [1, C, h, w]."""

    def reference(self, mode: str, seed: int, **arguments: Any) -> tuple[Pixels, Pixels]:
        """diffusers' picture [H, W, 3] in 0..1 and final latents [C, h, w]."""
        latents = self.final_latents(mode, seed, **arguments)
        return self.decode(latents), latents[0].numpy()
