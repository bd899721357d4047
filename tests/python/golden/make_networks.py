"""Makes the golden files of the network tests from diffusers and transformers.

Run it from the repository root: ``python tests/python/golden/make_networks.py``. Each file
``tests/cpp/golden/<case>.safetensors`` holds the configuration (in its metadata), the weights
(``weights.<name>``, rounded to half precision so that the file is small, used as they are read),
inputs (``in.<name>``) and what the reference computes from them in single precision
(``out.<name>``). Every parameter is random, so that a forgotten one changes the result.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    Qwen3Config,
    Qwen3Model,
    T5Config,
    T5EncoderModel,
)

PINNED = {"diffusers": "0.42.1", "transformers": "5.23.0", "torch": "2.13.0"}
FOLDER = Path(__file__).parents[2] / "cpp" / "golden"

Tensors = dict[str, torch.Tensor]


def randomise(module: torch.nn.Module, seed: int) -> None:
    """Fills every parameter: matrices by their fan-in, norms around one, biases around zero."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() > 1:
            fan_in = parameter[0].numel() if "embedding.weight" not in name else 1
            value = noise * fan_in**-0.5
        elif name.endswith("weight"):
            value = 1 + 0.3 * noise
        else:
            value = 0.3 * noise
        parameter.data = value.half().float()
    module.eval()


def normal(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Standard normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def save(
    case: str, module: torch.nn.Module, config: dict, inputs: Tensors, outputs: Tensors
) -> None:
    """Writes one golden file."""
    tensors = {
        f"weights.{name.removeprefix('text_model.')}": value.half().contiguous()
        for name, value in module.state_dict().items()
    }
    tensors |= {f"in.{name}": value.contiguous().clone() for name, value in inputs.items()}
    tensors |= {f"out.{name}": value.contiguous().clone() for name, value in outputs.items()}
    save_file(tensors, FOLDER / f"{case}.safetensors", {"config": json.dumps(config)})


def clip(case: str, config: dict, *, projected: bool, ids: list[list[int]]) -> None:
    """The text encoder: all hidden states, the pooled state and the projected one."""
    kind = CLIPTextModelWithProjection if projected else CLIPTextModel
    model = kind(CLIPTextConfig(**config))
    randomise(model, seed=1)
    tokens = torch.tensor(ids)
    result = model(tokens, output_hidden_states=True)
    outputs = {f"hidden_{i}": state for i, state in enumerate(result.hidden_states)}
    outputs["last"] = result.last_hidden_state
    if projected:
        outputs["text_embeds"] = result.text_embeds
    else:
        outputs["pooled"] = result.pooler_output
        outputs["skip_2"] = model.final_layer_norm(result.hidden_states[-3])
    save(case, model, config | {"architectures": [kind.__name__]}, {"ids": tokens}, outputs)


def make_clip() -> None:
    """CLIP-A (legacy end of text, quick_gelu) and CLIP-B (gelu, projection) with fewer tokens."""
    shape = {"vocab_size": 100, "hidden_size": 32, "intermediate_size": 37}
    shape |= {"num_attention_heads": 4, "num_hidden_layers": 5, "max_position_embeddings": 16}
    ids = [[0, 5, 17, 99, 2, 2, 2, 1, 1, 1], [0, 8, 8, 40, 31, 99, 1, 50, 3, 99]]
    legacy = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
    clip("clip_text", shape | legacy, projected=False, ids=ids)
    modern = {"bos_token_id": 0, "eos_token_id": 50, "pad_token_id": 50}
    modern |= {"hidden_act": "gelu", "projection_dim": 24, "num_hidden_layers": 3}
    ids = [[0, 5, 17, 99, 50, 50, 50, 50], [0, 8, 8, 40, 31, 99, 2, 50]]
    clip("clip_text_projected", shape | modern, projected=True, ids=ids)


def t5(case: str, config: dict, *, tokens: int) -> None:
    """The text encoder: its last hidden states."""
    model = T5EncoderModel(T5Config(feed_forward_proj="gated-gelu", **config))
    randomise(model, seed=11)
    ids = torch.randint(0, config["vocab_size"], (2, tokens), generator=torch.manual_seed(12))
    states = model(ids).last_hidden_state
    model.encoder.embed_tokens = torch.nn.Identity()  # the same tensor as `shared`
    save(
        case, model, config | {"feed_forward_proj": "gated-gelu"}, {"ids": ids}, {"states": states}
    )


def make_t5() -> None:
    """T5 1.1 with more heads than width allows for, and one with few buckets."""
    shape = {"vocab_size": 100, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_heads": 3}
    t5("t5_encoder", shape | {"num_layers": 2}, tokens=40)
    few = {"relative_attention_num_buckets": 8, "relative_attention_max_distance": 20}
    t5("t5_encoder_buckets", shape | few | {"num_layers": 1, "layer_norm_epsilon": 1e-3}, tokens=48)


def make_qwen3() -> None:
    """All hidden states of a text, padded and not; few heads of keys, wider than the network."""
    config = {"vocab_size": 100, "hidden_size": 16, "intermediate_size": 24}
    config |= {"num_hidden_layers": 3, "num_attention_heads": 6, "num_key_value_heads": 2}
    config |= {"head_dim": 8, "rope_parameters": {"rope_type": "default", "rope_theta": 1000.0}}
    model = Qwen3Model(Qwen3Config(**config))
    randomise(model, seed=13)
    ids = torch.randint(0, 100, (1, 40), generator=torch.manual_seed(14))
    mask = (torch.arange(40) < 25).long()[None]
    states = model(ids, output_hidden_states=True).hidden_states
    outputs = {f"state_{i}": state for i, state in enumerate(states)}
    states = model(ids, attention_mask=mask, output_hidden_states=True).hidden_states
    outputs |= {f"padded_{i}": state for i, state in enumerate(states)}
    save("qwen3_encoder", model, config, {"ids": ids}, outputs)


def vae(case: str, config: dict, *, side: int) -> None:
    """AutoencoderKL: the moments of a picture, a sample of them, and a decoded picture."""
    model = AutoencoderKL(**config)
    randomise(model, seed=2)
    cells = side // 2 ** (len(config["block_out_channels"]) - 1)
    picture = normal((2, 3, side, side + side // 4), seed=3)
    latents = normal((2, config["latent_channels"], cells, cells + cells // 4), seed=4)
    posterior = model.encode(picture).latent_dist
    noise = normal(tuple(posterior.mean.shape), seed=5)
    outputs = {"mean": posterior.mean, "logvar": posterior.logvar}
    outputs["sample"] = posterior.mean + posterior.std * noise
    outputs["picture"] = model.decode(latents).sample
    inputs = {"picture": picture, "latents": latents, "noise": noise}
    save(case, model, config, inputs, outputs)


def make_vae() -> None:
    """The parts of Stable Diffusion's autoencoder, and VAE-S of the FLUX tests (no attention)."""
    blocks = {"down_block_types": ["DownEncoderBlock2D"] * 3}
    blocks |= {"up_block_types": ["UpDecoderBlock2D"] * 3, "block_out_channels": [8, 8, 12]}
    full = {"layers_per_block": 2, "latent_channels": 4, "norm_num_groups": 2, "sample_size": 32}
    vae("vae_sd", blocks | full, side=32)
    plain = {"block_out_channels": [4], "latent_channels": 2, "norm_num_groups": 1}
    plain |= {"use_quant_conv": False, "use_post_quant_conv": False, "sample_size": 32}
    plain |= {"mid_block_add_attention": False, "shift_factor": 0.0609, "scaling_factor": 1.5035}
    vae("vae_plain", plain, side=8)


def unet(case: str, config: dict, *, size: tuple[int, int], tokens: int = 7) -> None:
    """UNet2DConditionModel at two timesteps at once."""
    model = UNet2DConditionModel(**config)
    randomise(model, seed=6)
    inputs = {"latents": normal((2, config["in_channels"], *size), seed=7)}
    inputs["context"] = normal((2, tokens, config["cross_attention_dim"]), seed=8)
    inputs["timesteps"] = torch.tensor([999.0, 12.5])
    added: Tensors = {}
    if config.get("addition_embed_type"):
        width = config["projection_class_embeddings_input_dim"]
        width -= 6 * config["addition_time_embed_dim"]
        added["text_embeds"] = normal((2, width), seed=9)
        added["time_ids"] = torch.tensor([[64.0, 48, 0, 8, 64, 64], [32.0, 32, 4, 0, 24, 40]])
    if "time_cond_proj_dim" in config:
        inputs["guidance"] = normal((2, config["time_cond_proj_dim"]), seed=10)
    result = model(
        inputs["latents"],
        inputs["timesteps"],
        inputs["context"],
        timestep_cond=inputs.get("guidance"),
        added_cond_kwargs=added or None,
    )
    save(case, model, config, inputs | added, {"prediction": result.sample})


def make_unet() -> None:
    """The dummy models of diffusers' pipeline tests, and one with the rarer options."""
    down, down_attn = "DownBlock2D", "CrossAttnDownBlock2D"
    up, up_attn = "UpBlock2D", "CrossAttnUpBlock2D"
    two = {"down_block_types": [down, down_attn], "up_block_types": [up_attn, up]}
    sd = {"block_out_channels": [4, 8], "layers_per_block": 1, "norm_num_groups": 2}
    sd |= {"in_channels": 4, "out_channels": 4, "cross_attention_dim": 8, "sample_size": 32}
    unet("unet_sd", two | sd, size=(16, 16))
    sd2 = {"block_out_channels": [8, 8, 16], "layers_per_block": 1, "norm_num_groups": 2}
    sd2 |= {"in_channels": 9, "out_channels": 4, "cross_attention_dim": 12, "sample_size": 32}
    sd2 |= {"attention_head_dim": [1, 2, 4], "use_linear_projection": True}
    sd2 |= {"upcast_attention": True, "down_block_types": [down_attn, down_attn, down]}
    sd2 |= {"up_block_types": [up, up_attn, up_attn]}
    unet("unet_sd2", sd2, size=(13, 10))
    xl = {"block_out_channels": [2, 4], "layers_per_block": 2, "norm_num_groups": 1}
    xl |= {"in_channels": 4, "out_channels": 4, "cross_attention_dim": 64, "sample_size": 32}
    xl |= {"attention_head_dim": [2, 4], "use_linear_projection": True}
    xl |= {"addition_embed_type": "text_time", "addition_time_embed_dim": 8}
    xl |= {"transformer_layers_per_block": [1, 2], "projection_class_embeddings_input_dim": 80}
    unet("unet_sdxl", two | xl, size=(16, 16))
    rare = {"block_out_channels": [8, 12], "layers_per_block": [1, 2], "norm_num_groups": 4}
    rare |= {"in_channels": 4, "out_channels": 3, "cross_attention_dim": 8, "norm_eps": 1e-3}
    rare |= {"down_block_types": [down_attn, down_attn], "up_block_types": [up_attn, up_attn]}
    rare |= {"only_cross_attention": [True, False], "attention_head_dim": 2}
    rare |= {"transformer_layers_per_block": [[1], [2, 1]], "mid_block_type": "UNetMidBlock2D"}
    rare |= {"reverse_transformer_layers_per_block": [[1, 2, 1], [1, 2]], "freq_shift": 1}
    rare |= {"time_cond_proj_dim": 6, "flip_sin_to_cos": False, "downsample_padding": 0}
    rare |= {"time_embedding_dim": 20, "conv_in_kernel": 5, "conv_out_kernel": 1}
    unet("unet_rare", rare, size=(8, 12))


def controlnet(case: str, config: dict, *, size: tuple[int, int]) -> None:
    """ControlNetModel at two timesteps at once: its residuals, and those of guess mode."""
    model = ControlNetModel(**config)
    randomise(model, seed=20)
    scale = 2 ** (len(config["conditioning_embedding_out_channels"]) - 1)
    inputs = {"latents": normal((2, 4, *size), seed=21)}
    inputs["context"] = normal((2, 7, config["cross_attention_dim"]), seed=22)
    inputs["timesteps"] = torch.tensor([999.0, 12.5])
    inputs["image"] = normal((2, 3, size[0] * scale, size[1] * scale), seed=23).sigmoid()
    added: Tensors = {}
    if config.get("addition_embed_type"):
        width = config["projection_class_embeddings_input_dim"]
        width -= 6 * config["addition_time_embed_dim"]
        added["text_embeds"] = normal((2, width), seed=24)
        added["time_ids"] = torch.tensor([[64.0, 48, 0, 8, 64, 64], [32.0, 32, 4, 0, 24, 40]])
    outputs: Tensors = {}
    for name, guess in (("", False), ("guessed_", True)):
        skips, middle = model(
            inputs["latents"],
            inputs["timesteps"],
            inputs["context"],
            inputs["image"],
            guess_mode=guess,
            added_cond_kwargs=added or None,
            return_dict=False,
        )
        outputs |= {f"{name}{index}": skip for index, skip in enumerate(skips)}
        outputs[f"{name}middle"] = middle
    save(case, model, config, inputs | added, outputs)


def make_controlnet() -> None:
    """One in the shape of Stable Diffusion 1, with images as BGR, and one in that of XL."""
    down, down_attn = "DownBlock2D", "CrossAttnDownBlock2D"
    sd = {"block_out_channels": [4, 8], "layers_per_block": 1, "norm_num_groups": 2}
    sd |= {"cross_attention_dim": 8, "down_block_types": [down_attn, down]}
    sd |= {"attention_head_dim": 2, "controlnet_conditioning_channel_order": "bgr"}
    sd |= {"conditioning_embedding_out_channels": [4, 6, 8]}
    controlnet("controlnet_sd", sd, size=(6, 10))
    xl = {"block_out_channels": [4, 8], "layers_per_block": 2, "norm_num_groups": 1}
    xl |= {"cross_attention_dim": 16, "down_block_types": [down, down_attn]}
    xl |= {"attention_head_dim": [2, 4], "use_linear_projection": True}
    xl |= {"addition_embed_type": "text_time", "addition_time_embed_dim": 8}
    xl |= {"transformer_layers_per_block": [1, 2], "projection_class_embeddings_input_dim": 60}
    xl |= {"conditioning_embedding_out_channels": [4, 6]}
    controlnet("controlnet_sdxl", xl, size=(8, 6))


def check_versions() -> None:
    """Refuses to write goldens with other versions than the documented ones."""
    for package, wanted in PINNED.items():
        found = version(package).split("+")[0]
        if found != wanted:
            sys.exit(f"{package} {wanted} is needed but {found} is installed")


CASES: list[Callable[[], None]] = [
    make_clip,
    make_t5,
    make_qwen3,
    make_vae,
    make_unet,
    make_controlnet,
]


@torch.no_grad()
def main() -> None:
    """Writes all files."""
    check_versions()
    torch.set_num_threads(1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for make in CASES:
        make()


if __name__ == "__main__":
    main()
