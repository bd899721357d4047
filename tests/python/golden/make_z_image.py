"""Makes the golden file of Z-Image's network from diffusers.

Run it from the repository root: ``PYTHONPATH=tests/python python
tests/python/golden/make_z_image.py``. The file is laid out as those of make_networks.py.
"""

from __future__ import annotations

import torch
from diffusers import ZImageTransformer2DModel
from golden.make_networks import FOLDER, check_versions, normal, randomise, save

_TINY = {
    "in_channels": 4,
    "dim": 24,
    "n_layers": 1,
    "n_refiner_layers": 1,
    "n_heads": 2,
    "n_kv_heads": 2,
    "cap_feat_dim": 10,
    "axes_dims": [4, 4, 4],
    "axes_lens": [128, 16, 16],
}
COUNTS = [5, 32, 40]  # of text; the first two fill up to 32 tokens, the last to 64


@torch.no_grad()
def main() -> None:
    """ZImageTransformer2DModel on three texts at once."""
    check_versions()
    torch.set_num_threads(1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    model = ZImageTransformer2DModel(**_TINY)
    randomise(model, seed=21)
    inputs = {
        "latents": normal((3, 4, 6, 14), seed=22),
        "timesteps": torch.tensor([0.0, 0.256, 0.9]),
        "context": normal((3, max(COUNTS), 10), seed=23),
        "counts": torch.tensor(COUNTS),
    }
    prediction = model(
        list(inputs["latents"].unsqueeze(2)),
        inputs["timesteps"],
        [text[:count] for text, count in zip(inputs["context"], COUNTS, strict=True)],
        return_dict=False,
    )[0]
    outputs = {"prediction": torch.stack(prediction).squeeze(2)}
    save("z_image", model, _TINY, inputs, outputs)


if __name__ == "__main__":
    main()
