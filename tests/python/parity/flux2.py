"""Tiny random models of FLUX.2 klein, and their pipelines in diffusers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch
from parity.family_pair import FamilyPair
from parity.qwen import qwen_config, qwen_tokenizer, randomise_small
from parity.reference import Pixels
from transformers import Qwen3ForCausalLM

MAX_TOKENS = 64
_TRANSFORMER: dict[str, Any] = {
    "in_channels": 16,
    "num_layers": 1,
    "num_single_layers": 1,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": 3 * 16,
    "axes_dims_rope": [4, 4, 4, 4],
    "guidance_embeds": False,
}
_VAE: dict[str, Any] = {
    "block_out_channels": [4, 4, 4, 8],
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 2,
    "mid_block_add_attention": False,
}
# https://huggingface.co/black-forest-labs/FLUX.2-klein-4B/blob/main/scheduler/scheduler_config.json
_SCHEDULER: dict[str, Any] = {"shift": 3.0, "use_dynamic_shifting": True}


def write(folder: Path, *, distilled: bool) -> None:
    """Saves a random pipeline."""
    torch.manual_seed(0)
    vae = diffusers.AutoencoderKLFlux2(**_VAE)
    channels = len(vae.bn.running_mean)
    vae.bn.running_mean.copy_(0.3 * torch.randn(channels))
    vae.bn.running_var.copy_(0.5 + torch.rand(channels))
    network = diffusers.Flux2Transformer2DModel(**_TRANSFORMER)
    randomise_small(network)
    diffusers.Flux2KleinPipeline(
        transformer=network,
        vae=vae,
        text_encoder=Qwen3ForCausalLM(
            qwen_config(num_hidden_layers=28, tie_word_embeddings=True)
        ).eval(),
        tokenizer=qwen_tokenizer(),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(**_SCHEDULER),
        is_distilled=distilled,
    ).save_pretrained(folder)


class Flux2Pair(FamilyPair):
    """One variant, opened by diffusers and by sdrbee."""

    def __init__(self, folder: Path, device: str, *, distilled: bool) -> None:
        write(folder, distilled=distilled)
        super().__init__(folder, device, {"all": "Flux2KleinPipeline"})

    def reference(self, seed: int, **arguments: Any) -> tuple[Pixels, Pixels]:
        """diffusers' picture [H, W, 3] in 0..1, and final latents as the network has them."""
        pipeline = self.pipelines["all"]
        latents = self.final_latents("all", seed, max_sequence_length=MAX_TOKENS, **arguments)
        with torch.no_grad():
            picture = pipeline.vae.decode(latents, return_dict=False)[0]
        statistics = pipeline.vae.bn
        deviation = torch.sqrt(statistics.running_var + pipeline.vae.config.batch_norm_eps)
        packed = pipeline._patchify_latents(latents)
        scaled = (packed - statistics.running_mean.view(1, -1, 1, 1)) / deviation.view(1, -1, 1, 1)
        pixels: Pixels = pipeline.image_processor.postprocess(picture, output_type="np")
        return pixels[0], scaled[0].numpy()
