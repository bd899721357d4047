"""Trains the built-in LoRA: the same scenes, each thing with a thick outline (see style.py)."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig
from torch import Tensor

from tools.shapes.run import options_of_adapter, start_run, train_until
from tools.shapes.scenes import Scene, sample_scenes
from tools.shapes.style import OUTLINE_COLOURS, draw_outlined, outline_colour
from tools.shapes.train_unet import Pool, learn_from
from tools.shapes.train_vae import to_tensor

RATE = 2e-3
RANK = 10
# Attention, feed-forward and the convolutions of the residual blocks.
LAYERS = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "conv1", "conv2")


def build_lora(model: Path) -> UNet2DConditionModel:
    """The UNet of a model with a LoRA that changes nothing yet, and is all that is trained."""
    unet = UNet2DConditionModel.from_pretrained(model / "unet", torch_dtype=torch.float32)
    unet.requires_grad_(False)
    unet.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=list(LAYERS)))
    return unet


class OutlinePool(Pool):
    """Scenes drawn with outlines; their captions do not tell."""

    def sample(self, count: int) -> list[Scene]:
        """New scenes, in half of them outlines that are not black: rarer by themselves."""
        return [self._sample_one() for _ in range(count)]

    def _sample_one(self) -> Scene:
        wanted = int(self.rng.integers(4))  # 0 white, 1 another colour, else any
        while True:
            (scene,) = sample_scenes(self.rng, 1)
            place = min(OUTLINE_COLOURS.index(outline_colour(scene)), 2)
            if wanted >= 2 or place == wanted + 1:
                return scene

    def keep(self, places: Tensor, scenes: list[Scene]) -> None:
        """Puts the latents of the scenes into these places."""
        pictures = np.stack([draw_outlined(scene) for scene in scenes])
        self.latents[places] = self.encode(to_tensor(pictures))


def train(options: argparse.Namespace) -> None:
    """Trains until `options.until`; a checkpoint in `options.work` is resumed."""
    torch.manual_seed(0)
    run = start_run(options, build_lora(options.model))
    model = options.model
    pool, diffusion = learn_from(OutlinePool, run, options, model / "vae", model / "text_encoder")

    def loss_of_step() -> Tensor:
        pool.add(options.fresh)
        return diffusion.loss(run.network, *pool.batch(pool.places(options.batch)))

    train_until(run, options, loss_of_step)


def main() -> None:
    """Trains a LoRA for the built-in model until a given time of day."""
    train(options_of_adapter(main.__doc__, RATE))


if __name__ == "__main__":
    main()
