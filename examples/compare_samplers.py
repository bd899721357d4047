"""The same prompt and seed with several samplers, in one strip."""

from __future__ import annotations

import numpy as np

import sdrbee

SAMPLERS = ["euler", "heun", "dpmpp_2m", "ddim"]

model = sdrbee.load("shapes")
requests = [
    sdrbee.GenerationRequest(prompt="a red heart", steps=8, seed=1, sampler=sampler)
    for sampler in SAMPLERS
]
strip = np.concatenate([np.asarray(image) for image in model.generate_batch(requests)], axis=1)
sdrbee.Image(strip).save("samplers.png")
print("wrote samplers.png:", ", ".join(SAMPLERS))
