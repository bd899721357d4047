"""Trains the UNet of the built-in model on drawn scenes, for an hour or more on a CPU.

The text encoder reads captions already (`train_text`) and stays as it is.
v-prediction with zero terminal signal-to-noise ratio (https://arxiv.org/abs/2305.08891): the first
denoising step sees pure noise, so that it has to take colours and places from the text. The run
stops at a given wall-clock time, can be stopped and resumed at any moment, and the learning rate
falls to zero towards its end.

With --inpaint the network also takes a mask and the latents of the masked picture, as Stable
Diffusion's inpainting networks do; it starts from the weights of a trained text-to-image network.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel

from tools.shapes.draw import draw_all
from tools.shapes.masks import random_mask
from tools.shapes.run import Run, options_of_run, seed_of_run, start_run, train_until
from tools.shapes.scenes import PICTURE_SIZE, Scene, caption, sample_scenes
from tools.shapes.tokenizer import MAX_TOKENS, build_tokenizer, tokenize
from tools.shapes.train_text import TEXT_WIDTH
from tools.shapes.train_vae import LATENT_NOISE, encode, to_tensor

PEAK_RATE = 1e-3
LATENT_SIZE = PICTURE_SIZE // 8
LATENT_CHANNELS = 4
INPAINT_CHANNELS = 1 + LATENT_CHANNELS  # the mask, the latents of the masked picture
KEPT_WEIGHT = 0.25  # of the loss where nothing is repainted


def build_unet(further_channels: int = 0) -> UNet2DConditionModel:
    """Widths 96/128/128 with cross-attention at the two lower resolutions."""
    return UNet2DConditionModel(
        sample_size=LATENT_SIZE,
        in_channels=LATENT_CHANNELS + further_channels,
        block_out_channels=(96, 128, 128),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def build_scheduler() -> DDIMScheduler:
    """v-prediction, zero terminal signal-to-noise ratio, trailing timesteps."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
    )


class Pool:
    """Scaled latents with the features of their captions; new entries replace the oldest ones.

    `further_channels` is 0 or INPAINT_CHANNELS: what the network takes beside the latents.
    """

    def __init__(
        self,
        vae: AutoencoderKL,
        text: CLIPTextModel,
        rng: np.random.Generator,
        size: int,
        further_channels: int,
    ) -> None:
        self.vae = vae.to(memory_format=torch.channels_last).eval()
        self.text = text.eval()
        self.tokenizer = build_tokenizer()
        self.rng = rng
        self.latents = torch.empty(size, LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE)
        self.channels = torch.empty(size, further_channels, LATENT_SIZE, LATENT_SIZE)
        self.features = torch.empty(size, MAX_TOKENS, TEXT_WIDTH, dtype=torch.bfloat16)
        self.drawn = 0

    def fill(self, count: int) -> None:
        """Draws `count` scenes or a few more."""
        for _ in range(1 + count // 50):
            self.add(50)

    def add(self, count: int) -> None:
        """Draws, encodes and keeps `count` new scenes."""
        scenes = self.sample(count)
        places = (torch.arange(count) + self.drawn) % len(self.latents)
        self.keep(places, scenes)
        self.features[places] = self.read([caption(scene, self.rng) for scene in scenes])
        self.drawn += count

    def sample(self, count: int) -> list[Scene]:
        """New scenes."""
        return sample_scenes(self.rng, count)

    def keep(self, places: Tensor, scenes: list[Scene]) -> None:
        """Puts what is to be learned of scenes into these places."""
        pictures = to_tensor(draw_all(scenes))
        self.latents[places] = self.encode(pictures)
        if self.channels.shape[1]:
            masks = [random_mask(self.rng, scene) for scene in scenes]
            self.channels[places] = self.mask_channels(pictures, np.stack(masks))

    def encode(self, pictures: Tensor) -> Tensor:
        """The scaled latents [N, 4, 16, 16] of pictures in -1..1."""
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            latents = encode(self.vae, pictures.to(memory_format=torch.channels_last))
        return latents.float() * float(self.vae.config.scaling_factor)

    def mask_channels(self, pictures: Tensor, masks: np.ndarray) -> Tensor:
        """[N, 5, 16, 16]: a cell's first pixel of the mask, and the latents of the kept part."""
        mask = torch.from_numpy(masks)[:, None].float()
        latents = self.encode(pictures * (1 - mask))
        noise = LATENT_NOISE * float(self.vae.config.scaling_factor) * torch.randn_like(latents)
        return torch.cat([mask[:, :, ::8, ::8], latents + noise], 1)

    def read(self, captions: list[str]) -> Tensor:
        """The features [N, 77, 128] of captions."""
        with torch.no_grad():
            hidden: Tensor = self.text(tokenize(self.tokenizer, captions)).last_hidden_state
        return hidden.bfloat16()

    def places(self, count: int) -> Tensor:
        """Random places that hold a scene."""
        filled = min(self.drawn, len(self.latents))
        return torch.from_numpy(self.rng.integers(filled, size=count))

    def batch(self, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Latents [N, 4, 16, 16], further channels and features [N, 77, 128] at places."""
        return self.latents[places], self.channels[places], self.features[places]


@dataclass
class Diffusion:
    """The noising process and its loss."""

    alphas: Tensor
    empty: Tensor

    def loss(
        self, unet: Callable[..., Any], latents: Tensor, channels: Tensor, features: Tensor
    ) -> Tensor:
        """The v loss, less weight where the signal is over 5 times the noise power.

        (Min-SNR, https://arxiv.org/abs/2303.09556.) A tenth of the captions is replaced by the
        empty one, for classifier-free guidance. Half of the timesteps is drawn evenly, half from a
        hump in the middle, where outlines form. What is repainted counts more than what is kept.
        """
        count, steps = len(latents), len(self.alphas)
        features = torch.where(torch.rand(count, 1, 1) < 0.1, self.empty, features)
        even = (torch.arange(count) + torch.rand(count)) / count
        hump = torch.sigmoid(torch.randn(count))
        share = torch.where(torch.arange(count) % 2 == 0, even, hump)
        timesteps = (steps * share).long().clamp(max=steps - 1)
        alpha = self.alphas[timesteps].view(-1, 1, 1, 1)
        noise = torch.randn_like(latents)
        signal, sigma = alpha.sqrt(), (1 - alpha).sqrt()
        target = signal * noise - sigma * latents
        noisy = torch.cat([signal * latents + sigma * noise, channels], 1)
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            v = unet(noisy, timesteps, features).sample
        weight = (5 * (1 - alpha) / alpha.clamp(min=1e-9)).clamp(max=1)
        if channels.shape[1]:
            weight = weight * (KEPT_WEIGHT + (1 - KEPT_WEIGHT) * channels[:, :1])
        loss: Tensor = (weight * (v.float() - target).square()).mean()
        return loss


SomePool = TypeVar("SomePool", bound=Pool)


def learn_from(
    kind: type[SomePool],
    run: Run,
    options: argparse.Namespace,
    vae: Path,
    text: Path,
    further_channels: int = 0,
) -> tuple[SomePool, Diffusion]:
    """A pool with its first scenes, and the loss; `vae` and `text` are folders of models."""
    pool = kind(
        AutoencoderKL.from_pretrained(vae, torch_dtype=torch.float32),
        CLIPTextModel.from_pretrained(text, dtype=torch.float32),
        np.random.default_rng(seed_of_run(run, options)),
        options.pool,
        further_channels,
    )
    pool.fill(options.first)
    return pool, Diffusion(build_scheduler().alphas_cumprod, pool.read([""]))


def train(options: argparse.Namespace) -> None:
    """Trains until `options.until`; a checkpoint in `options.work` is resumed."""
    torch.manual_seed(0)
    further_channels = INPAINT_CHANNELS if options.inpaint else 0
    run = start_run(options, build_unet(further_channels), options.weights_of)
    pool, diffusion = learn_from(Pool, run, options, options.vae, options.text, further_channels)

    def loss_of_step() -> Tensor:
        pool.add(options.fresh)
        return diffusion.loss(run.network, *pool.batch(pool.places(options.batch)))

    train_until(run, options, loss_of_step)


def main() -> None:
    """Trains the UNet on drawn scenes until a given time of day."""
    parser = options_of_run(main.__doc__, PEAK_RATE)
    parser.add_argument("--vae", type=Path, required=True, help="folder of the trained VAE")
    parser.add_argument("--text", type=Path, required=True, help="folder of the text encoder")
    parser.add_argument("--inpaint", action="store_true", help="train the inpainting variant")
    parser.add_argument("--weights-of", type=Path, help="checkpoint of the run to start from")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
