"""IP-Adapters for the tiny models: files of random weights, and diffusers with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import diffusers
import PIL.Image
import torch
from diffusers.image_processor import IPAdapterMaskProcessor
from parity.controls import STEPS, using
from parity.pair import NEGATIVE_PROMPT, PROMPT
from parity.pictures import HEIGHT, WIDTH
from parity.unet_families import KINDS, VariantPair, check
from safetensors.torch import load_file, save_file
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

SIDE = 32  # of the pictures that the encoder sees
HIDDEN, PROJECTED = 16, 12


def picture_encoder(seed: int = 3, projected: int = PROJECTED) -> Any:
    torch.manual_seed(seed)
    config = CLIPVisionConfig(
        hidden_size=HIDDEN,
        intermediate_size=24,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=8,
        projection_dim=projected,
        hidden_act="gelu",
    )
    return CLIPVisionModelWithProjection(config).eval()


def _base(context: int) -> dict[str, tuple[int, ...]]:
    return {
        "proj.weight": (4 * context, PROJECTED),
        "proj.bias": (4 * context,),
        "norm.weight": (context,),
        "norm.bias": (context,),
    }


def _plus(context: int, width: int = 20, tokens: int = 5) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"latents": (1, tokens, width)}
    for name, out, inside in (("proj_in", width, HIDDEN), ("proj_out", context, width)):
        shapes |= {f"{name}.weight": (out, inside), f"{name}.bias": (out,)}
    norms = {"norm_out": context}
    for layer in range(4):
        place = f"layers.{layer}."
        shapes[place + "0.to_q.weight"] = (128, width)
        shapes[place + "0.to_kv.weight"] = (256, width)
        shapes[place + "0.to_out.weight"] = (width, 128)
        shapes[place + "1.1.weight"] = (4 * width, width)
        shapes[place + "1.3.weight"] = (width, 4 * width)
        norms |= {place + name: width for name in ("0.norm1", "0.norm2", "1.0")}
    for name, width_of in norms.items():
        shapes |= {f"{name}.weight": (width_of,), f"{name}.bias": (width_of,)}
    return shapes


PROJECTIONS = {"base": _base, "plus": _plus}


def ip_adapter(pair: VariantPair, path: Path, kind: str, seed: int = 3) -> Path:
    """A random adapter beside the pair's UNet."""
    return adapter_for(next(iter(pair.pipelines.values())).unet, path, kind, seed)


def adapter_for(unet: Any, path: Path, kind: str, seed: int = 3) -> Path:
    """A random adapter beside a UNet."""
    context = unet.config.cross_attention_dim
    shapes = {f"image_proj.{name}": shape for name, shape in PROJECTIONS[kind](context).items()}
    widths = [
        unet.get_submodule(name.removesuffix(".processor")).to_k.out_features
        for name in unet.attn_processors
    ]
    for index, width in enumerate(widths):
        if index % 2 == 1:
            for part in ("to_k_ip", "to_v_ip"):
                shapes[f"ip_adapter.{index}.{part}.weight"] = (width, context)
    generator = torch.Generator().manual_seed(seed)
    save_file(
        {name: torch.randn(shape, generator=generator) * 0.3 for name, shape in shapes.items()},
        path,
    )
    return path


def with_encoder(folder: Path, encoder: Any) -> Path:
    encoder.save_pretrained(folder / "image_encoder")
    return folder


def _parts(path: Path) -> dict[str, dict[str, torch.Tensor]]:
    parts: dict[str, dict[str, torch.Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for name, value in load_file(path).items():
        part, _, rest = name.partition(".")
        parts[part][rest] = value
    return parts


def _pictures_of(adapter: dict[str, Any], one: str) -> list[PIL.Image.Image]:
    given = [adapter[one]] if one in adapter else adapter.get(f"{one}s", [])
    return [PIL.Image.fromarray(picture) for picture in given]


def _masks_of(adapter: dict[str, Any], width: int, height: int) -> torch.Tensor | None:
    """[1, pictures, H, W]"""
    masks = _pictures_of(adapter, "mask")
    if not masks:
        return None
    processed = IPAdapterMaskProcessor().preprocess(masks, height=height, width=width)
    return processed.reshape(1, len(masks), height, width)


def _scale_of(adapter: dict[str, Any]) -> Any:
    def times(scale: Any) -> Any:
        if isinstance(scale, dict):
            return {name: times(value) for name, value in scale.items()}
        if isinstance(scale, list):
            return [times(value) for value in scale]
        return scale * adapter.get("strength", 1.0)

    return times(adapter.get("blocks", 1.0))


def compare_prompted(
    pair: VariantPair,
    kind: str,
    mode: str,
    encoder: Any,
    adapters: Sequence[dict[str, Any]],
    **more: Any,
) -> float:
    """Both sides with the same IP-Adapters; `more` goes to both."""
    # A pipeline of its own, because loading changes the UNet.
    own = {} if kind.startswith("xl") else {"safety_checker": None}
    pipeline = getattr(diffusers, KINDS[kind].pipelines[mode]).from_pretrained(
        pair.folder,
        image_encoder=encoder,
        feature_extractor=CLIPImageProcessor(size=SIDE, crop_size=SIDE),
        **own,
    )
    pipeline.set_progress_bar_config(disable=True)
    nothing = [""] * len(adapters)
    pipeline.load_ip_adapter(
        [_parts(one["model"]) for one in adapters],
        subfolder=nothing,
        weight_name=nothing,
        low_cpu_mem_usage=False,
    )
    pipeline.set_ip_adapter_scale([_scale_of(one) for one in adapters])
    given: dict[str, Any] = {"guidance_scale": 4.3, "negative_prompt": NEGATIVE_PROMPT}
    if mode != "text_to_image":
        given["strength"] = 0.75
    given |= more
    theirs: dict[str, Any] = {"ip_adapter_image": [_pictures_of(one, "image") for one in adapters]}
    masks = [_masks_of(one, WIDTH, HEIGHT) for one in adapters]
    if any(mask is not None for mask in masks):
        theirs["cross_attention_kwargs"] = {"ip_adapter_masks": masks}
    with using(pair, mode, pipeline):
        return check(
            pair,
            mode,
            {"steps": STEPS, "ip_adapters": list(adapters), **given},
            {
                "prompt": PROMPT,
                "num_inference_steps": STEPS,
                **theirs,
                **given,
            },
        )
