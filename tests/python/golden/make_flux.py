"""Makes the golden files of FLUX's network from diffusers.

Run it from the repository root: ``PYTHONPATH=tests/python python
tests/python/golden/make_flux.py``. The files are laid out as those of make_networks.py.
flux_original.safetensors is flux_dev.safetensors with its weights under their original names.
"""

from __future__ import annotations

import copy

import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from golden.flux_names import original_state
from golden.make_networks import FOLDER, check_versions, normal, randomise, save
from safetensors import safe_open
from safetensors.torch import load_file, save_file

_TINY = {
    "num_layers": 1,
    "num_single_layers": 2,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "joint_attention_dim": 12,
    "pooled_projection_dim": 10,
    "axes_dims_rope": [2, 2, 4],
    "in_channels": 16,
}


def flux(case: str, config: dict, *, size: tuple[int, int], reference: bool = False) -> None:
    """FluxTransformer2DModel at two timesteps at once; `reference` adds tokens of a second one."""
    config = _TINY | config
    model = FluxTransformer2DModel(**config)
    randomise(model, seed=11)
    positions = FluxPipeline._prepare_latent_image_ids(1, *size, "cpu", torch.float32)
    if reference:
        second = FluxPipeline._prepare_latent_image_ids(1, 2, 3, "cpu", torch.float32)
        second[..., 0] = 1
        positions = torch.cat([positions, second])
    inputs = {
        "tokens": normal((2, len(positions), config["in_channels"]), seed=12),
        "positions": positions,
        "timesteps": torch.tensor([1.0, 0.256]),  # whole in bf16 when scaled, ...
        "rough_timesteps": torch.tensor([0.7031, 0.2837]),  # ... and not
        "context": normal((2, 7, config["joint_attention_dim"]), seed=13),
        "pooled": normal((2, config["pooled_projection_dim"]), seed=14),
    }
    if config.get("guidance_embeds"):
        inputs["guidance"] = torch.tensor([4.096, 2.048])
        inputs["rough_guidance"] = torch.tensor([3.5, 30.0])

    def predict(prefix: str, dtype: torch.dtype) -> torch.Tensor:
        names = ("tokens", "context", "pooled")
        guidance = inputs.get(f"{prefix}guidance")
        prediction: torch.Tensor = (
            copy.deepcopy(model)
            .to(dtype)(
                *(inputs[name].to(dtype) for name in names),
                inputs[f"{prefix}timesteps"].to(dtype),
                positions,
                torch.zeros(7, 3),
                guidance,
            )
            .sample
        )
        return prediction.float()

    outputs = {"prediction": predict("", torch.float32)}
    outputs["rough"] = predict("rough_", torch.bfloat16)
    save(case, model, config, inputs, outputs)


def original(case: str, source: str) -> None:
    """The same golden with weights under their original names."""
    tensors = load_file(FOLDER / f"{source}.safetensors")
    with safe_open(FOLDER / f"{source}.safetensors", "pt") as file:
        metadata = file.metadata()
    prefix = "weights."
    weights = {name: value for name, value in tensors.items() if name.startswith(prefix)}
    rest = {name: value for name, value in tensors.items() if not name.startswith(prefix)}
    renamed = original_state({name.removeprefix(prefix): value for name, value in weights.items()})
    rest |= {prefix + name: value.contiguous() for name, value in renamed.items()}
    save_file(rest, FOLDER / f"{case}.safetensors", metadata)


@torch.no_grad()
def main() -> None:
    """Writes all files."""
    check_versions()
    torch.set_num_threads(1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    flux("flux_schnell", {}, size=(3, 4))
    guided = {"guidance_embeds": True}
    flux("flux_dev", guided | {"num_layers": 2, "num_single_layers": 1}, size=(4, 3))
    flux("flux_fill", guided | {"in_channels": 24, "out_channels": 8}, size=(2, 5))
    wide = {"num_attention_heads": 3, "attention_head_dim": 8, "axes_dims_rope": [4, 2, 2]}
    flux("flux_kontext", guided | wide | {"num_single_layers": 1}, size=(3, 3), reference=True)
    original("flux_original", "flux_dev")


if __name__ == "__main__":
    main()
