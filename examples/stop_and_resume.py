"""Stores a picture half-way and goes on later, with the bit-identical result."""

from __future__ import annotations

from pathlib import Path

import sdrbee

model = sdrbee.load("shapes")
request = sdrbee.GenerationRequest(prompt="a pink heart", steps=8, seed=2)

generation = model.begin(request)
while generation.step < 4:
    model.advance(generation)
Path("half-way.bin").write_bytes(model.save(generation))

resumed = model.restore(Path("half-way.bin").read_bytes())
while not resumed.done:
    model.advance(resumed)
model.finish(resumed).save("heart.png")
print("wrote heart.png")
