"""Trains the UNet and the text encoder of the built-in model together, for some hours on a CPU.

v-prediction with zero terminal signal-to-noise ratio (https://arxiv.org/abs/2305.08891): the first
denoising step sees pure noise, so that it has to take colours and places from the text. The run
stops at a given wall-clock time, can be stopped and resumed at any moment, and the learning rate
falls to zero towards its end.
"""

from __future__ import annotations

import argparse
import copy
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from tools.shapes.draw import draw_batch
from tools.shapes.muon import Muon
from tools.shapes.scenes import PICTURE_SIZE
from tools.shapes.tokenizer import MAX_TOKENS, build_tokenizer, tokenize
from tools.shapes.train_text import TEXT_WIDTH
from tools.shapes.train_vae import encode, to_tensor
from tools.shapes.workers import Workers

PEAK_RATE = 1e-3
MUON_FACTOR = 1.5
TEXT_WAITS = 1000  # steps
LATENT_SIZE = PICTURE_SIZE // 8


def build_unet() -> UNet2DConditionModel:
    """Widths 96/128/128 with cross-attention at the two lower resolutions."""
    return UNet2DConditionModel(
        sample_size=LATENT_SIZE,
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
    """Scaled latents with the tokens of their captions; new entries replace the oldest ones."""

    def __init__(
        self, vae: AutoencoderKL, tokenizer: CLIPTokenizer, rng: np.random.Generator, size: int
    ) -> None:
        self.vae = vae.to(memory_format=torch.channels_last).eval()
        self.tokenizer = tokenizer
        self.rng = rng
        self.latents = torch.empty(size, 4, LATENT_SIZE, LATENT_SIZE)
        self.tokens = torch.empty(size, MAX_TOKENS, dtype=torch.long)
        self.drawn = 0

    def add(self, count: int) -> None:
        """Draws, encodes and keeps `count` new scenes."""
        pictures, captions = draw_batch(self.rng, count)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            latents = encode(self.vae, to_tensor(pictures).to(memory_format=torch.channels_last))
        places = (torch.arange(count) + self.drawn) % len(self.latents)
        self.latents[places] = latents.float() * self.vae.config.scaling_factor
        self.tokens[places] = tokenize(self.tokenizer, captions)
        self.drawn += count

    def batch(self, count: int) -> tuple[Tensor, Tensor]:
        """Random latents [count, 4, 16, 16] and tokens [count, 77]."""
        filled = min(self.drawn, len(self.latents))
        places = torch.from_numpy(self.rng.integers(filled, size=count))
        return self.latents[places], self.tokens[places]


class Denoiser(nn.Module):
    """The two trained networks as one: tokens and noisy latents in, v out."""

    def __init__(self, text_encoder: CLIPTextModel) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        self.train_text = True
        self.unet = build_unet()
        # In bf16 on a CPU the gradient of the fused attention is slower than plain products.
        self.unet.set_attn_processor(AttnProcessor())

    def forward(self, noisy: Tensor, timesteps: Tensor, tokens: Tensor) -> Tensor:
        """v [N, 4, 16, 16] of noisy latents at timesteps [N] for tokens [N, 77]."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.train_text):
            hidden = self.text_encoder(tokens).last_hidden_state
        v: Tensor = self.unet(noisy, timesteps, hidden).sample
        return v


@dataclass
class Diffusion:
    """The noising process and its loss."""

    alphas: Tensor
    empty: Tensor

    def loss(self, model: nn.Module, latents: Tensor, tokens: Tensor) -> Tensor:
        """The v loss, less weight where the signal is over 5 times the noise power.

        (Min-SNR, https://arxiv.org/abs/2303.09556.) A tenth of the captions is replaced by the
        empty one, for classifier-free guidance. Noisy timesteps are drawn somewhat more often:
        there the layout is decided.
        """
        count, steps = len(latents), len(self.alphas)
        tokens = torch.where(torch.rand(count, 1) < 0.1, self.empty, tokens)
        uniform = (torch.arange(count) + torch.rand(count)) / count
        timesteps = (steps * uniform**0.75).long().clamp(max=steps - 1)
        alpha = self.alphas[timesteps].view(-1, 1, 1, 1)
        noise = torch.randn_like(latents)
        signal, sigma = alpha.sqrt(), (1 - alpha).sqrt()
        target = signal * noise - sigma * latents
        noisy = (signal * latents + sigma * noise).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            v = model(noisy, timesteps, tokens)
        weight = (5 * (1 - alpha) / alpha.clamp(min=1e-9)).clamp(max=1)
        return (weight * (v.float() - target).square()).mean()


def is_inner_matrix(name: str, weight: Tensor) -> bool:
    """True for the weights that Muon trains: all but biases, norms and the two outer layers."""
    return weight.ndim >= 2 and not name.startswith(("conv_in", "conv_out"))


class Run:
    """The state of a training run: what a checkpoint holds, and how it is saved and resumed."""

    def __init__(self, text_encoder: CLIPTextModel) -> None:
        self.model = Denoiser(text_encoder).to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        text = list(self.model.text_encoder.parameters())
        unet = list(self.model.unet.parameters())
        matrices = [w for name, w in self.model.unet.named_parameters() if is_inner_matrix(name, w)]
        taken = {id(w) for w in matrices}
        others = [w for w in unet if id(w) not in taken]
        self.parameters = [*text, *unet]
        self.muon = Muon(matrices)
        self.adam = torch.optim.AdamW(
            [{"params": text}, {"params": others}], betas=(0.9, 0.99), weight_decay=0.01, fused=True
        )
        self.averaged = [
            *self.average.text_encoder.parameters(),
            *self.average.unet.parameters(),
        ]
        self.step = 0
        self.started = time.time()

    def update_average(self) -> None:
        """Moves the averaged weights (the ones that are shipped) after a step."""
        keep = min(0.999, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self.averaged, self.parameters, 1 - keep)

    def save(self, path: Path) -> None:
        """Writes the checkpoint in one move, so that a stop leaves the old one or the new one."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "adam": self.adam.state_dict(),
            "muon": self.muon.state_dict(),
            "step": self.step,
            "started": self.started,
        }
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)

    def resume(self, path: Path) -> None:
        """Goes on from a checkpoint."""
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.adam.load_state_dict(state["adam"])
        self.muon.load_state_dict(state["muon"])
        self.step, self.started = state["step"], state["started"]


def set_rates(run: Run, progress: float) -> None:
    """Warm-up, level, then linear to zero over the last 45 % of the time.

    The text encoder, which reads captions already, waits until the UNet can use its features and
    then learns more slowly.
    """
    rate = PEAK_RATE * min(1.0, (run.step + 1) / 100, max(0.0, (1 - progress) / 0.45))
    text = 0.2 * min(1.0, max(0, run.step - TEXT_WAITS) / 500)
    run.model.train_text = text > 0
    run.adam.param_groups[0]["lr"] = rate * text
    run.adam.param_groups[1]["lr"] = rate
    run.muon.param_groups[0]["lr"] = MUON_FACTOR * rate


def train(folder: Path, options: argparse.Namespace) -> None:
    """Trains until `options.until`; a checkpoint in `folder` is resumed."""
    workers = Workers()
    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    run, checkpoint = Run(CLIPTextModel.from_pretrained(options.text)), folder / "checkpoint.pt"
    if checkpoint.exists():
        run.resume(checkpoint)
    seed = (options.seed, run.step, workers.rank)
    torch.manual_seed(hash(seed))
    vae = AutoencoderKL.from_pretrained(options.vae)
    pool = Pool(vae, tokenizer, np.random.default_rng(seed), options.pool)
    for _ in range(1 + options.first // 64):
        pool.add(64)
    diffusion = Diffusion(build_scheduler().alphas_cumprod, tokenize(tokenizer, [""]))
    mean, progress, saved = 0.0, 0.0, time.time()
    while progress < 1:
        set_rates(run, progress)
        pool.add(options.fresh)
        loss = diffusion.loss(run.model, *pool.batch(options.batch))
        run.model.zero_grad()
        loss.backward()
        now = (time.time() - run.started) / (options.until - run.started)
        progress = workers.average(run.parameters, now)
        nn.utils.clip_grad_norm_(run.parameters, 1.0)
        run.adam.step()
        run.muon.step()
        run.step += 1
        run.update_average()
        mean = float(loss.detach()) if mean == 0 else 0.98 * mean + 0.02 * float(loss.detach())
        if workers.leads and run.step % 50 == 0:
            print(
                f"{time.strftime('%H:%M:%S')} step {run.step} {progress:.1%} loss {mean:.4f}",
                flush=True,
            )
        if workers.leads and time.time() - saved > 120:
            run.save(checkpoint)
            saved = time.time()
    if workers.leads:
        run.save(checkpoint)
        print(f"done at step {run.step}")


def clock_time(text: str) -> float:
    """The next moment at which the clock shows HH:MM."""
    hour, minute = (int(part) for part in text.split(":"))
    now = time.localtime()
    ahead = (hour - now.tm_hour) * 3600 + (minute - now.tm_min) * 60 - now.tm_sec
    return time.time() + ahead % 86400


def main() -> None:
    """Trains the UNet and the text encoder on drawn scenes until a given time of day."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--vae", type=Path, required=True, help="folder of the trained VAE")
    parser.add_argument("--text", type=Path, required=True, help="folder of the text encoder")
    parser.add_argument("--until", type=clock_time, required=True, help="HH:MM, when to end")
    parser.add_argument("--batch", type=int, default=16, help="pictures a step and process")
    parser.add_argument("--pool", type=int, default=16000, help="scenes kept, a process")
    parser.add_argument("--first", type=int, default=2000, help="scenes drawn before step one")
    parser.add_argument("--fresh", type=int, default=3, help="new scenes a step and process")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    train(options.work, options)


if __name__ == "__main__":
    main()
