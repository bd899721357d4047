"""Files in the wrong place, parts of different models, and requests beyond a model's limits."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import diffusers
import gguf
import numpy as np
import pytest
import torch
from golden.flux_names import original_state as original_flux
from golden.sd3_names import original_transformer
from parity.pair import PROMPT
from parity.quantised import llama_t5
from parity.sd3 import Kind
from parity.test_flux_single_file import WIDE
from parity.test_sd3_single_file import HEADS, VAE
from parity.test_split_files import clip_file, original_vae, save
from safetensors.torch import load_file

import sdrbee

Files = dict[str, Path]
SIXTEEN = {"latent_channels": 16}
SD3 = Kind(HEADS, VAE, clip=(64, 128))


def write_gguf(path: Path, architecture: str, shapes: dict[str, tuple[int, ...]]) -> Path:
    writer = gguf.GGUFWriter(path, architecture)
    for name, shape in shapes.items():
        writer.add_tensor(name, np.zeros(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Files:
    root = tmp_path_factory.mktemp("misfits")
    SD3.write(root / "sd3")
    WIDE.write(root / "flux")
    return {"sd3": root / "sd3", "flux": root / "flux"}


@pytest.fixture(scope="module")
def files(folders: Files, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Every part of both models in a file of its own."""
    root = tmp_path_factory.mktemp("parts")
    sd3 = diffusers.StableDiffusion3Pipeline.from_pretrained(folders["sd3"])
    flux = diffusers.FluxPipeline.from_pretrained(folders["flux"])
    t5 = {name: tuple(value.shape) for name, value in llama_t5(sd3.text_encoder_3).items()}
    return {
        "sd3": save(root / "sd3.safetensors", original_transformer(sd3.transformer)),
        "flux": save(root / "flux.safetensors", original_flux(flux.transformer.state_dict())),
        "sd3_vae": save(root / "sd3_vae.safetensors", original_vae(sd3.vae)),
        "flux_vae": save(root / "ae.safetensors", original_vae(flux.vae)),
        "clip_l": clip_file(root / "clip_l.safetensors", sd3.text_encoder),
        "clip_g": clip_file(root / "clip_g.safetensors", sd3.text_encoder_2),
        "t5": save(root / "t5.safetensors", sd3.text_encoder_3.state_dict()),
        "t5_gguf": write_gguf(root / "t5.gguf", "t5encoder", t5),
        "flux_t5": save(root / "flux_t5.safetensors", flux.text_encoder_2.state_dict()),
    }


LANGUAGE_MODELS = {
    "llama": ("llama", ["token_embd.weight", "blk.0.attn_norm.weight", "blk.0.attn_q.weight"]),
    "a later part": ("qwen2", ["blk.7.attn_norm.weight", "blk.7.ffn_up.weight"]),
    "gemma": ("gemma3", ["token_embd.weight", "blk.0.attn_q_norm.weight"]),
    "mamba": ("mamba", ["token_embd.weight", "blk.0.ssm_a"]),
    "the part that sees": ("clip", ["v.blk.0.attn_q.weight", "mm.0.weight"]),
}


@pytest.mark.parametrize("kind", LANGUAGE_MODELS)
def test_a_language_model_is_told(folders: Files, tmp_path: Path, kind: str) -> None:
    architecture, names = LANGUAGE_MODELS[kind]
    file = write_gguf(tmp_path / "model.gguf", architecture, dict.fromkeys(names, (8, 8)))
    pattern = rf"model\.gguf\] this file is .*language model.* \({architecture}\)"
    with pytest.raises(sdrbee.UnsupportedModel, match=pattern):
        sdrbee.load(file)
    for component in ("transformer", "vae", "text_encoder_3"):
        with pytest.raises(sdrbee.UnsupportedModel, match=pattern):
            sdrbee.load(folders["sd3"], **{component: file})


def test_another_model_in_gguf_is_called_by_its_own_name(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "model.gguf", "wan", {"blocks.0.self_attn.q.weight": (8, 8)})
    with pytest.raises(sdrbee.UnsupportedModel, match=r"its metadata calls it 'wan'"):
        sdrbee.load(file)


OTHER_FILES = {
    "lora_unet_mid.lora_down.weight": "a LoRA",  # kohya
    "lora_te1_text_model.alpha": "a LoRA",
    "lora_unet_x.hada_w2_a": "a LoRA",
    "unet.mid.attn1.processor.to_q_lora.down.weight": "a LoRA",  # diffusers before 0.20
    "transformer.x.to_q.lora_A.weight": "a LoRA",  # diffusers
    "base_model.model.x.lora_B.weight": "a LoRA",  # PEFT
    "controlnet_cond_embedding.conv_in.weight": "a ControlNet",
    "control_model.input_hint_block.0.weight": "a ControlNet",
    "controlnet_blocks.0.weight": "a ControlNet",
    "lllite_unet_x.conditioning1.0.weight": "a ControlNet",
    "ip_adapter.1.to_k_ip.weight": "an IP-Adapter",
    "adapter.body.0.resnets.0.block1.weight": "a T2I-Adapter",
    "emb_params": "an embedding",
    "clip_g": "an embedding",
}


@pytest.mark.parametrize(("name", "kind"), OTHER_FILES.items())
def test_what_is_no_model_is_told(folders: Files, tmp_path: Path, name: str, kind: str) -> None:
    file = save(tmp_path / "given.safetensors", {name: torch.zeros(2, 2)})
    for place in ("model", "transformer", "text_encoder_3"):
        others = {} if place == "model" else {place: file}
        with pytest.raises(sdrbee.UnsupportedModel, match=f"this file is {kind}"):
            sdrbee.load(folders["sd3"] if others else file, **others)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("sd3_vae", r"holds an autoencoder alone; give it as vae= "),
        ("clip_l", r"holds a CLIP text encoder alone; give it as text_encoder= or "),
        ("t5", r"holds a T5 text encoder alone; give it as text_encoder_2= .*text_encoder_3= "),
        ("t5_gguf", r"holds a T5 text encoder alone; "),
    ],
)
def test_a_component_as_the_model_names_its_argument(files: Files, name: str, pattern: str) -> None:
    with pytest.raises(sdrbee.UnsupportedModel, match=pattern):
        sdrbee.load(files[name])


@pytest.mark.parametrize(
    ("model", "component", "name", "pattern"),
    [
        ("sd3", "transformer", "sd3_vae", r"this is a AutoencoderKL; give it as vae="),
        ("sd3", "transformer", "t5_gguf", r"this is a T5EncoderModel; give it as text_encoder_3="),
        ("sd3", "vae", "clip_l", r"; give it as text_encoder= or text_encoder_2="),
        ("sd3", "text_encoder", "t5", r"; give it as text_encoder_3="),
        ("sd3", "text_encoder_3", "clip_g", r"; give it as text_encoder= or text_encoder_2="),
        ("flux", "text_encoder", "flux_t5", r"; give it as text_encoder_2="),
        ("sd3", "vae", "sd3", r"expected a component 'vae' but there are only: transformer"),
        ("sd3", "transformer", "flux", r"a FluxTransformer2DModel, .* it is of another family"),
        ("flux", "transformer", "sd3", r"a SD3Transformer2DModel, .* it is of another family"),
        ("shapes", "transformer", "sd3", r"a SD3Transformer2DModel, .* it is of another family"),
        ("shapes", "text_encoder", "t5", r"a T5EncoderModel, .* it is of another family"),
        ("sd3", "vae", "flux_vae", r"'in_channels': expected 4, .*ae\.safetensors, but got 16"),
        ("flux", "vae", "sd3_vae", r"'out_channels': expected 64, .*sd3_vae\.safetensors, "),
        ("sd3", "text_encoder", "clip_g", r"'pooled_projection_dim': .* of \S*clip_g.* \(12\)"),
        ("flux", "text_encoder", "clip_g", r"'pooled_projection_dim': expected 128, .*clip_g"),
        ("shapes", "text_encoder", "clip_l", r"'cross_attention_dim': expected 64, .*clip_l"),
        ("sd3", "text_encoder_3", "flux_t5", r"'joint_attention_dim': expected 64, .*flux_t5"),
        ("flux", "text_encoder_2", "t5", r"'joint_attention_dim': expected 200, .*t5\.safetensors"),
    ],
)
def test_a_component_that_does_not_belong_is_named(
    folders: Files, files: Files, model: str, component: str, name: str, pattern: str
) -> None:
    with pytest.raises(sdrbee.CheckpointError, match=pattern):
        sdrbee.load(folders.get(model, model), **{component: files[name]})


def test_clip_encoders_in_each_others_place_are_named(folders: Files, files: Files) -> None:
    """Their sums fit."""
    with pytest.raises(sdrbee.CheckpointError, match=r"is text_encoder_2 in the place of text_enc"):
        sdrbee.load(folders["sd3"], text_encoder=files["clip_g"], text_encoder_2=files["clip_l"])


def test_latents_of_other_scale_are_warned_of(folders: Files, tmp_path: Path) -> None:
    """Autoencoders of SD 3 and FLUX.1 have the same shapes; only configurations tell them apart."""
    vae = shutil.copytree(folders["sd3"] / "vae", tmp_path / "vae")
    assert sdrbee.load(folders["sd3"], vae=vae).info.warnings == []
    config = json.loads((vae / "config.json").read_text())
    config |= {"scaling_factor": 0.3611, "shift_factor": 0.1159}
    (vae / "config.json").write_text(json.dumps(config))
    with pytest.warns(UserWarning, match=r"'shift_factor': expected 0.0609, .* but got 0.1159"):
        model = sdrbee.load(folders["sd3"], vae=vae)
    assert len(model.info.warnings) == 2
    file = vae / "diffusion_pytorch_model.safetensors"
    assert sdrbee.load(folders["sd3"], vae=file).info.warnings == []


def sharded(folders: Files, target: Path) -> Path:
    """A copy of the model with a transformer in shards."""
    folder = shutil.copytree(folders["sd3"], target)
    network = diffusers.SD3Transformer2DModel.from_pretrained(folder / "transformer")
    shutil.rmtree(folder / "transformer")
    network.save_pretrained(folder / "transformer", max_shard_size="400KB")
    return folder


def test_shards_that_do_not_belong_are_named(folders: Files, tmp_path: Path) -> None:
    folder = sharded(folders, tmp_path / "model")
    index = folder / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
    listed = json.loads(index.read_text())["weight_map"]
    shard = folder / "transformer" / listed["proj_out.weight"]
    own = load_file(shard)
    sdrbee.load(folder)
    sdrbee.load(folders["sd3"], transformer=index)

    def refused(pattern: str) -> None:
        with pytest.raises(sdrbee.CheckpointError, match=pattern):
            sdrbee.load(folder)
        with pytest.raises(sdrbee.CheckpointError, match=pattern):
            sdrbee.load(folders["sd3"], transformer=index)

    shard.unlink()
    refused(rf"{shard.name}")
    save(shard, {name: value for name, value in own.items() if name != "proj_out.weight"})
    refused(rf"{shard.name}\] missing tensor 'proj_out\.weight' that .*index\.json lists")
    save(shard, own | {"norm_out.linear.extra": torch.zeros(2)})
    refused(rf"{shard.name}\] tensor 'norm_out\.linear\.extra' is not what .* another model's")
    save(shard, own | {"proj_out.bias": torch.zeros(3)})
    refused(rf"{shard.name}\] tensor 'proj_out\.bias': expected shape \[64\] but got \[3\]")
    twice = next(name for name, file in listed.items() if file != shard.name)
    save(shard, own | {twice: torch.zeros(2)})
    refused(rf"{shard.name}\] tensor '{twice}' is not what")
    shard.write_bytes(shard.read_bytes()[:-8])
    refused(rf"{shard.name}")


@pytest.mark.parametrize(
    ("model", "size", "pattern"),
    [
        # 12 positions of 2 cells of 2 pixels: 48 pixels a side.
        ("sd3", {"width": 52}, r"\[width\] expected a multiple of 4 from 4 to 48 but got 52"),
        (
            "sd3",
            {"height": 18},
            r"\[height\] expected a multiple of 4 .* nearest .* is 20",
        ),
        ("flux", {"width": 40}, r"\[width\] expected a multiple of 16 from 16 .* but got 40"),
        ("flux", {"height": 0}, r"\[height\] expected a multiple of 16 "),
        ("flux", {"height": 1 << 20}, r"\[height\] expected a multiple of 16 from 16 to \d+ but"),
        ("sd3", {"width": 24, "hires_scale": 3.0}, r"\[hires_scale\] .*at most 48"),
        ("sd3", {"max_sequence_length": 513}, r"\[max_sequence_length\] .*1 to 512 but got 513"),
    ],
)
def test_sizes_beyond_the_model_are_named(
    folders: Files, model: str, size: dict[str, Any], pattern: str
) -> None:
    loaded = sdrbee.load(folders[model])
    with pytest.raises(sdrbee.InvalidRequest, match=pattern):
        loaded.generate(PROMPT, steps=1, **{"width": 32, "height": 32} | size)


@pytest.mark.parametrize("model", ["sd3", "flux"])
def test_a_prompt_over_the_limit_of_t5(folders: Files, model: str) -> None:
    loaded = sdrbee.load(folders[model])
    request: dict[str, Any] = {"steps": 1, "seed": 1, "width": 32, "height": 32}
    request |= {"max_sequence_length": 6, "output": "latent", "guidance_scale": 1.0}
    text = "a red circle left of a blue square"
    for rule in ("truncate", "chunk"):
        with pytest.warns(UserWarning, match=r"cut at 6 tokens for T5.*larger max_sequence"):
            loaded.generate(text, long_prompt=rule, **request)
    with pytest.raises(
        sdrbee.InvalidRequest, match=r"\[prompt\] .* at most 6 tokens for T5 but got \d+.*square"
    ):
        loaded.generate(text, long_prompt="error", **request)
    loaded.generate("a", long_prompt="error", **request)
    if model == "flux":  # what CLIP cuts off, T5 sees
        long = request | {"max_sequence_length": 512}
        loaded.generate("red " * 80, long_prompt="error", **long)


def test_the_command_tells_in_one_line(
    folders: Files, files: Files, tmp_path: Path, command: list[str]
) -> None:
    lora = save(tmp_path / "lora.safetensors", {"x.lora_A.weight": torch.zeros(2, 2)})
    cases = [
        (1, ["-m", str(lora)], "this file is a LoRA"),
        (1, ["-m", str(files["t5"])], "give it as text_encoder_2="),
        (1, ["-m", str(folders["sd3"]), "--vae", str(files["clip_l"])], "give it as text_encoder="),
        (2, ["-m", str(folders["sd3"]), "--width", "52"], "[width] expected a multiple of 4"),
    ]
    for code, arguments, text in cases:
        line = [*command, "generate", PROMPT, "--steps", "1", "-q", "-o", str(tmp_path / "x.png")]
        done = subprocess.run([*line, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        told = done.stderr.strip().splitlines()
        assert len(told) == 1, done.stderr
        assert told[0].startswith("error: [")
        assert text in told[0]
        assert done.stdout == ""
