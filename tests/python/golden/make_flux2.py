"""Makes the golden file of FLUX.2's network from diffusers.

Run it from the repository root: ``PYTHONPATH=tests/python python
tests/python/golden/make_flux2.py``. The file is laid out as those of make_networks.py.
"""

from __future__ import annotations

import torch
from diffusers import Flux2KleinPipeline, Flux2Transformer2DModel
from golden.make_networks import FOLDER, check_versions, normal, randomise, save

_TINY = {
    "in_channels": 12,
    "num_layers": 2,
    "num_single_layers": 2,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "joint_attention_dim": 10,
    "timestep_guidance_channels": 16,
    "axes_dims_rope": [2, 2, 2, 2],
    "guidance_embeds": False,
}


@torch.no_grad()
def main() -> None:
    """Flux2Transformer2DModel at two timesteps at once, with the tokens of a second picture."""
    check_versions()
    torch.set_num_threads(1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    model = Flux2Transformer2DModel(**_TINY)
    randomise(model, seed=31)
    latent, reference = normal((1, 12, 3, 4), seed=32), normal((1, 12, 2, 3), seed=33)
    positions = torch.cat(
        [
            Flux2KleinPipeline._prepare_latent_ids(latent)[0],
            Flux2KleinPipeline._prepare_image_ids([reference])[0],
        ]
    )
    context = normal((2, 7, 10), seed=34)
    inputs = {
        "tokens": normal((2, len(positions), 12), seed=35),
        "positions": positions.float(),
        "timesteps": torch.tensor([1.0, 0.256]),
        "context": context,
    }
    prediction = model(
        inputs["tokens"],
        context,
        inputs["timesteps"],
        positions,
        Flux2KleinPipeline._prepare_text_ids(context)[0],
        None,
    ).sample
    save("flux2", model, _TINY, inputs, {"prediction": prediction})


if __name__ == "__main__":
    main()
