"""A picture from a prompt, with a line for every step."""

from __future__ import annotations

import sdrbee

model = sdrbee.load("shapes")
image = model.generate(
    "a green star right of a purple ring on a white background",
    steps=12,
    seed=3,
    on_step=lambda step, total, _preview: print(f"step {step} of {total}"),
)
image.save("star.png")
print(f"wrote star.png, seed {image.seed}")
