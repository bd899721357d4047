"""Single files in the original naming give the pictures of the diffusers folder."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pytest

import sdrbee

if TYPE_CHECKING:
    import torch

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

TOKENIZER = Path(sdrbee.__file__).parent / "data" / "shapes" / "tokenizer"


def naming() -> ModuleType:
    """The script that knows the original names: tests/python/golden/make_single_file.py."""
    path = Path(__file__).parent / "golden" / "make_single_file.py"
    spec = importlib.util.spec_from_file_location("make_single_file", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tiny_pipeline() -> diffusers.StableDiffusionPipeline:
    """A random Stable Diffusion 1 with the built-in model's tokenizer."""
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        cross_attention_dim=64,
        attention_head_dim=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )
    vae = diffusers.AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        block_out_channels=[32, 64],
        layers_per_block=1,
        latent_channels=4,
        scaling_factor=0.18215,
    )
    tokenizer = transformers.CLIPTokenizer.from_pretrained(TOKENIZER)
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=1,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=1,
    )
    return diffusers.StableDiffusionPipeline(
        vae=vae,
        text_encoder=transformers.CLIPTextModel(config),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=diffusers.PNDMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            skip_prk_steps=True,
            steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def original_weights(pipeline: diffusers.StableDiffusionPipeline) -> dict[str, torch.Tensor]:
    names = naming()
    weights = {}
    for name, tensor in pipeline.unet.state_dict().items():
        original = names.original_unet_name(name, 1, [True, False])
        weights["model.diffusion_model." + original] = tensor
    for name, tensor in pipeline.vae.state_dict().items():
        original = names.original_vae_name(name, 2)
        # The only matrices are those of the attention, 1x1 convolutions in the original.
        stored = tensor[:, :, None, None] if tensor.dim() == 2 else tensor
        weights["first_stage_model." + original] = stored
    for name, tensor in names.flat_clip_state(pipeline.text_encoder).items():
        weights["cond_stage_model.transformer.text_model." + name] = tensor
    return {name: tensor.contiguous() for name, tensor in weights.items()}


def test_a_single_file_gives_the_picture_of_the_folder(tmp_path: Path) -> None:
    safetensors_torch = pytest.importorskip("safetensors.torch")
    pipeline = tiny_pipeline()
    pipeline.save_pretrained(tmp_path / "folder")
    file = tmp_path / "alone" / "model.safetensors"
    file.parent.mkdir()
    safetensors_torch.save_file(original_weights(pipeline), file)
    shutil.copytree(TOKENIZER, file.parent / "tokenizer")

    pictures = []
    for path in (tmp_path / "folder", file):
        model = sdrbee.load(str(path), device="cpu", dtype="fp32")
        fields = {"steps": 3, "seed": 1, "width": 32, "height": 32, "output": "float"}
        pictures.append(model.generate("a red circle", **fields))
    assert np.array_equal(pictures[0], pictures[1])
    assert pictures[0].std() > 0
