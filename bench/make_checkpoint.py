"""Writes a Stable Diffusion 1.5, or XL, of full size with random weights: fp16, diffusers folder.

Speed and memory do not depend on what the weights are, as long as activations stay finite; the
layers' usual initialisation sees to that. The vocabulary has the real one's size, but only bytes.
Tensors are named as in the published checkpoint, which not only diffusers can read.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

_VOCABULARY_SIZE = 49408
_UNET = {
    "sample_size": 64,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
_VAE = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 512,
    "scaling_factor": 0.18215,
}
_TEXT = {
    "vocab_size": _VOCABULARY_SIZE,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
    "hidden_act": "quick_gelu",
    "bos_token_id": 49406,
    "eos_token_id": 49407,
    "pad_token_id": 1,
}
# https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0
_XL_UNET = _UNET | {
    "sample_size": 128,
    "down_block_types": ["DownBlock2D"] + ["CrossAttnDownBlock2D"] * 2,
    "up_block_types": ["CrossAttnUpBlock2D"] * 2 + ["UpBlock2D"],
    "block_out_channels": [320, 640, 1280],
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
_XL_TEXT_2 = _TEXT | {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
    "hidden_act": "gelu",
}
_SCHEDULER = {
    "_class_name": "PNDMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "clip_sample": False,
    "trained_betas": None,
}
_INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "feature_extractor": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


_XL_INDEX = {
    "_class_name": "StableDiffusionXLPipeline",
    "force_zeros_for_empty_prompt": True,
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "tokenizer_2": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def _write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _byte_letters() -> list[str]:
    """The letter that byte-level BPE writes for each byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(others))]


def _write_tokenizer(folder: Path) -> None:
    letters = _byte_letters()
    words = letters + [letter + "</w>" for letter in letters]
    words += [f"unused{i}</w>" for i in range(_VOCABULARY_SIZE - 2 - len(words))]
    words += ["<|startoftext|>", "<|endoftext|>"]
    _write_json(folder / "vocab.json", {word: i for i, word in enumerate(words)})
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "CLIPTokenizer",
            "model_max_length": 77,
            "bos_token": "<|startoftext|>",
            "eos_token": "<|endoftext|>",
            "unk_token": "<|endoftext|>",
            "pad_token": "<|endoftext|>",
        },
    )


def _name_as_published(text_encoder: Path) -> None:
    """transformers 5 leaves out the "text_model." that its predecessors wrote."""
    prefix = "text_model."
    tensors = safetensors.torch.load_file(text_encoder)
    named = {
        name if name.startswith("text_projection.") else prefix + name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
    }
    safetensors.torch.save_file(named, text_encoder, metadata={"format": "pt"})


def _networks(xl: bool) -> dict[str, Callable[[], Any]]:
    """What makes each network, one at a time."""
    if not xl:
        return {
            "unet": lambda: UNet2DConditionModel(**_UNET),
            "vae": lambda: AutoencoderKL(**_VAE),
            "text_encoder": lambda: CLIPTextModel(CLIPTextConfig(**_TEXT)),
        }
    return {
        "unet": lambda: UNet2DConditionModel(**_XL_UNET),
        "vae": lambda: AutoencoderKL(**_VAE | {"sample_size": 1024, "scaling_factor": 0.13025}),
        "text_encoder": lambda: CLIPTextModel(CLIPTextConfig(**_TEXT)),
        "text_encoder_2": lambda: CLIPTextModelWithProjection(CLIPTextConfig(**_XL_TEXT_2)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="a folder outside the repository")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--xl", action="store_true", help="a Stable Diffusion XL, of 7 GB")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    if options.xl:  # in fp32 it would need 10 GB of memory
        torch.set_default_dtype(torch.float16)
    for name, make in _networks(options.xl).items():
        make().half().save_pretrained(
            options.dir / name, variant="fp16", max_shard_size="10GB", safe_serialization=True
        )
    for text_encoder in options.dir.glob("text_encoder*/model.fp16.safetensors"):
        _name_as_published(text_encoder)
    index = _XL_INDEX if options.xl else _INDEX
    for name in index:
        if name.startswith("tokenizer"):
            _write_tokenizer(options.dir / name)
    _write_json(options.dir / "scheduler" / "scheduler_config.json", _SCHEDULER)
    _write_json(options.dir / "model_index.json", index)
    print(options.dir)


if __name__ == "__main__":
    main()
