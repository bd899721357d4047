"""Single files in the original naming give the pictures of the diffusers folder."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import sdrbee

if TYPE_CHECKING:
    import torch

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

TOKENIZER = Path(sdrbee.__file__).parent / "data" / "shapes" / "tokenizer"


@cache
def naming() -> ModuleType:
    """The script that knows the original names: tests/python/golden/make_single_file.py."""
    path = Path(__file__).parent / "golden" / "make_single_file.py"
    spec = importlib.util.spec_from_file_location("make_single_file", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tiny_vae(scaling_factor: float) -> Any:
    return diffusers.AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        block_out_channels=[32, 64],
        layers_per_block=1,
        latent_channels=4,
        scaling_factor=scaling_factor,
    )


def text_config(tokenizer: Any, hidden: int, hidden_act: str) -> Any:
    return transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        projection_dim=32,
        num_hidden_layers=2,
        num_attention_heads=hidden // 64,
        hidden_act=hidden_act,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=1,
    )


def tiny_pipeline() -> Any:
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
    tokenizer = transformers.CLIPTokenizer.from_pretrained(TOKENIZER)
    config = text_config(tokenizer, 64, "quick_gelu")
    return diffusers.StableDiffusionPipeline(
        vae=tiny_vae(0.18215),
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


def tiny_xl_pipeline(kind: str) -> Any:
    """A random Stable Diffusion XL: "xl", "xl-inpaint" or "xl-refiner"."""
    torch.manual_seed(0)
    refiner = kind == "xl-refiner"
    unet = diffusers.UNet2DConditionModel(
        in_channels=9 if kind == "xl-inpaint" else 4,
        block_out_channels=(64, 128),
        layers_per_block=1,
        cross_attention_dim=128 if refiner else 192,
        attention_head_dim=[1, 2],
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=(5 if refiner else 6) * 256 + 32,
        transformer_layers_per_block=[1, 2],
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    tokenizer = transformers.CLIPTokenizer.from_pretrained(TOKENIZER)
    padded = transformers.CLIPTokenizer.from_pretrained(TOKENIZER, pad_token="!")
    first = transformers.CLIPTextModel(text_config(tokenizer, 64, "quick_gelu"))
    second = transformers.CLIPTextModelWithProjection(text_config(padded, 128, "gelu"))
    classes = {"xl": "", "xl-inpaint": "Inpaint", "xl-refiner": "Img2Img"}
    flags = {"requires_aesthetics_score": True, "force_zeros_for_empty_prompt": False}
    return getattr(diffusers, f"StableDiffusionXL{classes[kind]}Pipeline")(
        vae=tiny_vae(0.13025),
        text_encoder=None if refiner else first,
        tokenizer=None if refiner else tokenizer,
        text_encoder_2=second,
        tokenizer_2=padded,
        unet=unet,
        scheduler=diffusers.EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            steps_offset=1,
            timestep_spacing="leading",
        ),
        **flags if refiner else {},
    )


def original_unet_and_vae(pipeline: Any, attention: list[bool]) -> dict[str, torch.Tensor]:
    names = naming()
    weights = {}
    for name, tensor in pipeline.unet.state_dict().items():
        original = names.original_unet_name(name, 1, attention)
        weights["model.diffusion_model." + original] = tensor
    for name, tensor in pipeline.vae.state_dict().items():
        original = names.original_vae_name(name, 2)
        # The only matrices are those of the attention, 1x1 convolutions in the original.
        stored = tensor[:, :, None, None] if tensor.dim() == 2 else tensor
        weights["first_stage_model." + original] = stored
    return weights


def original_clip(model: Any, prefix: str) -> dict[str, torch.Tensor]:
    state = naming().flat_clip_state(model)
    return {f"{prefix}transformer.text_model.{name}": tensor for name, tensor in state.items()}


def original_open_clip(model: Any, prefix: str) -> dict[str, torch.Tensor]:
    names = naming()
    state = names.flat_clip_state(model)
    weights = {}
    for name, tensor in state.items():
        if "k_proj." in name or "v_proj." in name:
            continue
        original = names.replace_all(name, names.OPEN_CLIP)
        if "q_proj." in name:
            original = original.replace("q_proj.", "in_proj_")
            parts = [state[name.replace("q_proj.", f"{part}_proj.")] for part in "qkv"]
            tensor = torch.cat(parts)
        if name == "text_projection.weight":
            original, tensor = "text_projection", tensor.T
        weights[f"{prefix}model.{original}"] = tensor
    return weights


def original_weights(pipeline: Any) -> dict[str, torch.Tensor]:
    if getattr(pipeline, "text_encoder_2", None) is None:
        weights = original_unet_and_vae(pipeline, [True, False])
        weights |= original_clip(pipeline.text_encoder, "cond_stage_model.")
    elif pipeline.text_encoder is None:
        weights = original_unet_and_vae(pipeline, [False, True])
        weights |= original_open_clip(pipeline.text_encoder_2, "conditioner.embedders.0.")
    else:
        weights = original_unet_and_vae(pipeline, [False, True])
        weights |= original_clip(pipeline.text_encoder, "conditioner.embedders.0.")
        weights |= original_open_clip(pipeline.text_encoder_2, "conditioner.embedders.1.")
    return {name: tensor.contiguous() for name, tensor in weights.items()}


def folder_and_file(pipeline: Any, root: Path) -> tuple[Path, Path]:
    """The pipeline saved as diffusers does and under its original names."""
    safetensors_torch = pytest.importorskip("safetensors.torch")
    pipeline.save_pretrained(root / "folder")
    file = root / "alone" / "model.safetensors"
    file.parent.mkdir()
    safetensors_torch.save_file(original_weights(pipeline), file)
    shutil.copytree(TOKENIZER, file.parent / "tokenizer")
    return root / "folder", file


def inputs_of(kind: str) -> dict[str, Any]:
    """What a model of this kind works on."""
    picture = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    mask = np.zeros((32, 32), np.uint8)
    mask[:, 16:] = 255
    if kind == "xl-inpaint":
        return {"image": picture, "mask": mask}
    return {"image": picture} if kind == "xl-refiner" else {"width": 32, "height": 32}


@pytest.mark.parametrize("kind", ["v1-5", "xl", "xl-inpaint", "xl-refiner"])
@pytest.mark.filterwarnings("ignore:.*the file can't tell xl from turbo")
def test_a_single_file_gives_the_picture_of_the_folder(
    tmp_path: Path, kind: str, record_parity: Callable[..., None]
) -> None:
    pipeline = tiny_pipeline() if kind == "v1-5" else tiny_xl_pipeline(kind)
    pictures = []
    for path in folder_and_file(pipeline, tmp_path):
        model = sdrbee.load(str(path), device="cpu", dtype="fp32")
        assert kind == "v1-5" or model.info.variant == kind
        fields = {"steps": 4, "seed": 1, "output": "float", **inputs_of(kind)}
        pictures.append(model.generate("a red circle!", negative_prompt="a ring", **fields))
    difference = float(np.abs(pictures[0] - pictures[1]).max())
    assert difference == 0
    assert pictures[0].std() > 0
    mode = "text_to_image" if "image" not in fields else "inpaint"
    mode = "image_to_image" if kind == "xl-refiner" else mode
    record_parity(kind, mode, stored="single file", pixels=difference)


def test_what_a_single_file_leaves_open_is_an_option(tmp_path: Path) -> None:
    _, file = folder_and_file(tiny_xl_pipeline("xl"), tmp_path)
    with pytest.warns(UserWarning, match="can't tell xl from turbo and xl-lightning.*variant='xl'"):
        base = sdrbee.load(file, device="cpu", dtype="fp32")
    assert base.info.defaults["text_to_image"].steps == 50
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        turbo = sdrbee.load(file, device="cpu", dtype="fp32", variant="turbo")
        velocity = sdrbee.load(
            file, device="cpu", dtype="fp32", variant="xl", prediction="v_prediction"
        )
    assert turbo.info.variant == "turbo"
    assert turbo.info.default_size == (128, 128)  # 64 cells
    assert turbo.info.defaults["text_to_image"].steps == 1
    fields: dict[str, Any] = {"steps": 2, "seed": 1, "width": 32, "height": 32}
    recipe = turbo.generate("a ring", **fields).recipe
    assert recipe is not None
    assert recipe["request"]["sampler"] == "euler_ancestral"
    assert recipe["request"]["spacing"] == "trailing"
    recipe = velocity.generate("a ring", **fields).recipe
    assert recipe is not None
    assert recipe["request"]["prediction"] == "v_prediction"


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        ({"variant": "flux-dev"}, r"\[variant\] expected one of .*'v2-1'.* but got 'flux-dev'"),
        ({"prediction": "noise"}, r"\[prediction\]"),
    ],
)
def test_an_unknown_option_names_what_there_is(options: dict[str, Any], pattern: str) -> None:
    with pytest.raises(sdrbee.InvalidRequest, match=pattern):
        sdrbee.load("shapes", **options)


def test_a_single_file_may_say_what_it_is(tmp_path: Path) -> None:
    """By its metadata, as published files and those of trainers do."""
    safetensors_torch = pytest.importorskip("safetensors.torch")
    _, file = folder_and_file(tiny_xl_pipeline("xl"), tmp_path)
    weights = safetensors_torch.load_file(file)
    safetensors_torch.save_file(
        weights, file, metadata={"modelspec.architecture": "stable-diffusion-xl-turbo-v1"}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sdrbee.load(file, device="cpu", dtype="fp32").info.variant == "turbo"
        named = sdrbee.load(file, device="cpu", dtype="fp32", variant="SDXL-Lightning")
    assert named.info.variant == "xl-lightning"
    with pytest.raises(sdrbee.InvalidRequest, match=r"'xl-inpaint' has a network of other inputs"):
        sdrbee.load(file, variant="xl-inpaint")


# A process that may see itself as root, with a network of nothing but a loopback that is down.
NAMESPACE = ["unshare", "--map-root-user", "--net"]
LOAD_AND_RENDER = """
import socket, sys
try:
    socket.create_connection(("1.1.1.1", 53), timeout=1)
except OSError:
    import sdrbee
    for path in sys.argv[1:]:
        model = sdrbee.load(path, device="cpu", dtype="fp32")
        model.generate("a red circle", steps=1, width=32, height=32)
else:
    sys.exit("this process has a network")
"""


def can_unshare() -> bool:
    if shutil.which(NAMESPACE[0]) is None:
        return False
    return subprocess.run([*NAMESPACE, "true"], check=False, capture_output=True).returncode == 0


@pytest.mark.skipif(not can_unshare(), reason="needs leave to make a network namespace")
def test_loading_never_touches_the_network(tmp_path: Path) -> None:
    """A built-in model, folders and single files, whose configuration is built in."""
    paths = ["shapes"]
    for kind in ("v1-5", "xl"):
        pipeline = tiny_pipeline() if kind == "v1-5" else tiny_xl_pipeline(kind)
        paths += map(str, folder_and_file(pipeline, tmp_path / kind))
    command = [*NAMESPACE, sys.executable, "-W", "ignore", "-c", LOAD_AND_RENDER, *paths]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
