"""Trains the autoencoder of the built-in model on drawn scenes (about ten minutes on two cores)."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from tools.shapes.draw import draw_batch
from tools.shapes.scenes import PICTURE_SIZE
from tools.shapes.workers import Workers

# Latents are trained to survive noise of this standard deviation, which is what the encoder states.
LATENT_NOISE = 0.05
CROP = 64


def build_vae() -> AutoencoderKL:
    """Factor 8, 4 latent channels, 1.0 M parameters.

    Group norms hold 4 channels or more: with one channel a group the flat colours are lost.
    """
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 64),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=PICTURE_SIZE,
        mid_block_add_attention=False,
    )


def fix_variance(vae: AutoencoderKL) -> None:
    """Makes the encoder state `LATENT_NOISE` everywhere: training only shapes its mean."""
    channels = vae.config.latent_channels
    with torch.no_grad():
        vae.quant_conv.weight[channels:] = 0
        vae.quant_conv.bias[channels:] = 2 * float(np.log(LATENT_NOISE))


def to_tensor(pictures: np.ndarray) -> Tensor:
    """uint8 [N, H, W, 3] to float [N, 3, H, W] in -1..1."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def encode(vae: AutoencoderKL, pictures: Tensor) -> Tensor:
    """The mean latents [N, 4, H/8, W/8], not yet scaled."""
    mean: Tensor = vae.encode(pictures).latent_dist.mean
    return mean


def loss_of(vae: AutoencoderKL, pictures: Tensor) -> tuple[Tensor, float]:
    """L1 of the picture and of its gradients, with a slight pull of the latents to zero."""
    latents = encode(vae, pictures)
    difference = vae.decode(latents + LATENT_NOISE * torch.randn_like(latents)).sample - pictures
    plain = difference.abs().mean()
    edges = difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()
    return plain + 0.3 * edges + 1e-4 * latents.square().mean(), float(plain.detach())


def busiest_crop(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Of three random crops the one with most to see: plain background teaches little."""
    corners = rng.integers(0, PICTURE_SIZE - CROP + 1, size=(3, 2))
    crops = [picture[y : y + CROP, x : x + CROP] for y, x in corners]
    return max(crops, key=lambda crop: float(np.abs(np.diff(crop.astype(np.int16), axis=1)).sum()))


def training_batch(rng: np.random.Generator, whole: bool) -> Tensor:
    """One whole picture, or four crops of 64 pixels: as many pixels either way."""
    if whole:
        return to_tensor(draw_batch(rng, 1)[0])
    return to_tensor(np.stack([busiest_crop(rng, p) for p in draw_batch(rng, 4)[0]]))


def measure(vae: AutoencoderKL, count: int = 64) -> tuple[float, float]:
    """Mean absolute error on fresh pictures (scale -1..1), and the latents' standard deviation."""
    pictures = to_tensor(draw_batch(np.random.default_rng(10**6), count)[0])
    with torch.no_grad():
        latents = encode(vae, pictures)
        error = (vae.decode(latents).sample.clamp(-1, 1) - pictures).abs().mean()
    return float(error), float(latents.std())


def save(vae: AutoencoderKL, out: Path) -> float:
    """Saves the autoencoder with the scaling factor that gives its latents unit deviation."""
    fix_variance(vae)
    error, deviation = measure(vae)
    vae.register_to_config(scaling_factor=round(1 / deviation, 5))
    vae.save_pretrained(out)
    return error


def train(out: Path, minutes: float, seed: int, resume: bool) -> None:
    """Trains for the given wall-clock time; the learning rate falls linearly to zero at its end."""
    workers = Workers()
    torch.manual_seed(seed + workers.rank)
    rng = np.random.default_rng((seed, workers.rank))
    vae = AutoencoderKL.from_pretrained(out) if resume else build_vae()
    vae = vae.to(memory_format=torch.channels_last).train()
    fix_variance(vae)
    parameters = list(vae.parameters())
    workers.share(parameters)
    optimizer = torch.optim.AdamW(parameters, lr=6e-4, betas=(0.9, 0.99), weight_decay=0)
    start, step, mean, done = time.time(), 0, 0.0, 0.0
    while done < 1:
        rate = min(1.0, (step + 1) / 100) * min(1.0, 1.6 * (1 - done) + 0.002)
        optimizer.param_groups[0]["lr"] = 6e-4 * rate
        batch = training_batch(rng, whole=done > 0.75)
        with torch.autocast("cpu", torch.bfloat16):
            loss, plain = loss_of(vae, batch.to(memory_format=torch.channels_last))
        optimizer.zero_grad()
        loss.backward()
        done = workers.average(parameters, (time.time() - start) / (60 * minutes))
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        step += 1
        mean = plain if step == 1 else 0.98 * mean + 0.02 * plain
        if workers.leads and step % 100 == 0:
            print(f"vae step {step} {done:.0%} error {mean:.4f}", flush=True)
        if workers.leads and step % 1000 == 0:
            save(vae, out)
    if workers.leads:
        error = save(vae, out)
        print(f"vae done: error {error:.4f}, scaling factor {vae.config.scaling_factor}")


def main() -> None:
    """Trains the autoencoder and saves it as a diffusers folder."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on from the weights in --out")
    options = parser.parse_args()
    train(options.out, options.minutes, options.seed, options.resume)


if __name__ == "__main__":
    main()
