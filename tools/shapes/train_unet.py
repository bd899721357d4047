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
import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, ModelMixin, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from transformers import CLIPTextModel

from tools.shapes.draw import draw_all
from tools.shapes.masks import random_mask
from tools.shapes.muon import Muon
from tools.shapes.scenes import PICTURE_SIZE, Scene, caption, sample_scenes
from tools.shapes.tokenizer import MAX_TOKENS, build_tokenizer, tokenize
from tools.shapes.train_text import TEXT_WIDTH
from tools.shapes.train_vae import LATENT_NOISE, encode, to_tensor
from tools.shapes.workers import Workers

PEAK_RATE = 1e-3
MUON_FACTOR = 1.5
CHECKPOINT = "checkpoint.pt"
LATENT_SIZE = PICTURE_SIZE // 8
LATENT_CHANNELS = 4
INPAINT_CHANNELS = 1 + LATENT_CHANNELS  # the mask, the latents of the masked picture
KEPT_WEIGHT = 0.25  # of the loss where nothing is repainted
# Not for Muon: the first and the last layers, and those that join a ControlNet to its network.
OUTER_LAYERS = ("conv_in", "conv_out", "controlnet_")


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


def is_inner_matrix(name: str, weight: Tensor) -> bool:
    """True for the weights that Muon trains: all but biases, norms and the outer layers."""
    return weight.ndim >= 2 and not name.startswith(OUTER_LAYERS)


def quick(network: ModelMixin) -> ModelMixin:
    """The network in the form that trains quickest on a CPU."""
    # In bf16 on a CPU the gradient of the fused attention is slower than plain products.
    network.set_attn_processor(AttnProcessor())
    return network.to(memory_format=torch.channels_last)


class Run:
    """The state of a training run: what a checkpoint holds, and how it is saved and resumed.

    Each process orthogonalizes its share of the matrices and then hands it to the others. Muon's
    momentum is not kept in the checkpoint: twenty steps make it anew.
    """

    def __init__(self, workers: Workers, network: ModelMixin) -> None:
        self.workers = workers
        self.network = quick(network)
        self.average = copy.deepcopy(self.network)
        trained = {n: w for n, w in self.network.named_parameters() if w.requires_grad}
        self.parameters: list[Tensor] = list(trained.values())
        averaged = dict(self.average.requires_grad_(False).named_parameters())
        self.averaged = [averaged[name] for name in trained]
        matrices = [w for name, w in trained.items() if is_inner_matrix(name, w)]
        taken = {id(w) for w in matrices}
        others = [w for w in self.parameters if id(w) not in taken]
        matrices.sort(key=lambda w: tuple(w.shape))
        self.parts = [matrices[rank :: workers.count] for rank in range(workers.count)]
        self.muon = Muon(self.parts[workers.rank])
        # As a group: a LoRA has nothing for this one.
        rest: list[dict[str, Any]] = [{"params": others}]
        self.adam = torch.optim.AdamW(rest, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
        self.step = 0
        self.started = time.time()

    def update(self) -> None:
        """One step of both optimizers, and of the averaged weights that are shipped."""
        self.adam.step()
        self.muon.step()
        for rank, part in enumerate(self.parts):
            self.workers.share(part, rank)
        self.step += 1
        keep = min(0.999, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self.averaged, self.parameters, 1 - keep)

    def save(self, path: Path) -> None:
        """Writes the checkpoint in one move, so that a stop leaves the old one or the new one."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "adam": self.adam.state_dict(),
            "step": self.step,
            "started": self.started,
        }
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)

    def start_from(self, path: Path) -> None:
        """Takes the averaged weights of another run; further input channels start at zero."""
        weights = torch.load(path, weights_only=True)["average"]
        missing = self.network.config.in_channels - weights["conv_in.weight"].shape[1]
        weights["conv_in.weight"] = nn.functional.pad(
            weights["conv_in.weight"], (0, 0, 0, 0, 0, missing)
        )
        self.network.load_state_dict(weights)
        self.average.load_state_dict(weights)

    def resume(self, path: Path) -> None:
        """Goes on from a checkpoint."""
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.adam.load_state_dict(state["adam"])
        self.step, self.started = state["step"], state["started"]


def set_rates(run: Run, peak: float, progress: float) -> None:
    """Warm-up, level, then linear to zero over the last 45 % of the time."""
    rate = peak * min(1.0, (run.step + 1) / 100, max(0.0, (1 - progress) / 0.45))
    run.adam.param_groups[0]["lr"] = rate
    run.muon.param_groups[0]["lr"] = MUON_FACTOR * rate


def train_until(run: Run, options: argparse.Namespace, loss_of_step: Callable[[], Tensor]) -> None:
    """Trains until `options.until`; every two minutes a checkpoint goes to `options.work`."""
    workers, checkpoint = run.workers, options.work / CHECKPOINT
    mean, progress, saved = 0.0, 0.0, time.time()
    while progress < 1:
        set_rates(run, options.rate, progress)
        loss = loss_of_step()
        run.network.zero_grad()
        loss.backward()
        now = (time.time() - run.started) / (options.until - run.started)
        progress = workers.average(run.parameters, now)
        nn.utils.clip_grad_norm_(run.parameters, 1.0)
        run.update()
        mean = float(loss.detach()) if mean == 0 else 0.98 * mean + 0.02 * float(loss.detach())
        if workers.leads and run.step % 50 == 0:
            clock = time.strftime("%H:%M:%S")
            print(f"{clock} step {run.step} {progress:.1%} loss {mean:.4f}", flush=True)
        if workers.leads and time.time() - saved > 120:
            run.save(checkpoint)
            saved = time.time()
    if workers.leads:
        run.save(checkpoint)
        print(f"done at step {run.step}")


def seed_of_run(run: Run, options: argparse.Namespace) -> tuple[int, int, int]:
    """A seed for each process and each resumption; torch's own generator starts from it."""
    seed = (options.seed, run.step, run.workers.rank)
    torch.manual_seed(hash(seed))
    return seed


def train(options: argparse.Namespace) -> None:
    """Trains until `options.until`; a checkpoint in `options.work` is resumed."""
    torch.manual_seed(0)
    further_channels = INPAINT_CHANNELS if options.inpaint else 0
    run, checkpoint = Run(Workers(), build_unet(further_channels)), options.work / CHECKPOINT
    if checkpoint.exists():
        run.resume(checkpoint)
    elif options.weights_of:
        run.start_from(options.weights_of)
    pool = Pool(
        AutoencoderKL.from_pretrained(options.vae),
        CLIPTextModel.from_pretrained(options.text),
        np.random.default_rng(seed_of_run(run, options)),
        options.pool,
        further_channels,
    )
    pool.fill(options.first)
    diffusion = Diffusion(build_scheduler().alphas_cumprod, pool.read([""]))

    def loss_of_step() -> Tensor:
        pool.add(options.fresh)
        return diffusion.loss(run.network, *pool.batch(pool.places(options.batch)))

    train_until(run, options, loss_of_step)


def clock_time(text: str) -> float:
    """The next moment at which the clock shows HH:MM."""
    hour, minute = (int(part) for part in text.split(":"))
    now = time.localtime()
    ahead = (hour - now.tm_hour) * 3600 + (minute - now.tm_min) * 60 - now.tm_sec
    return time.time() + ahead % 86400


def options_of_run(description: str | None, rate: float) -> argparse.ArgumentParser:
    """The options that all trainings of or for the UNet have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--until", type=clock_time, required=True, help="HH:MM, when to end")
    parser.add_argument("--rate", type=float, default=rate, help="highest learning rate")
    parser.add_argument("--batch", type=int, default=16, help="pictures a step and process")
    parser.add_argument("--pool", type=int, default=8000, help="scenes kept, a process")
    parser.add_argument("--first", type=int, default=1000, help="scenes drawn before step one")
    parser.add_argument("--fresh", type=int, default=3, help="new scenes a step and process")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def main() -> None:
    """Trains the UNet on drawn scenes until a given time of day."""
    parser = options_of_run(main.__doc__, PEAK_RATE)
    parser.add_argument("--vae", type=Path, required=True, help="folder of the trained VAE")
    parser.add_argument("--text", type=Path, required=True, help="folder of the text encoder")
    parser.add_argument("--inpaint", action="store_true", help="train the inpainting variant")
    parser.add_argument("--weights-of", type=Path, help="checkpoint of the run to start from")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    train(options)


if __name__ == "__main__":
    main()
