"""Changes a whole picture, then repaints one part of it."""

from __future__ import annotations

import numpy as np

import sdrbee

model = sdrbee.load("shapes")
source = model.generate("a red circle on a yellow background", steps=12, seed=5)
source.save("source.png")

changed = model.generate("a blue circle on a yellow background", image=source, strength=0.8, seed=6)
changed.save("changed.png")

mask = np.zeros((source.height, source.width), np.uint8)
mask[32:96, 32:96] = 255  # white is repainted
repainted = model.generate("a green star on a yellow background", image=source, mask=mask, seed=7)
repainted.save("repainted.png")
print("wrote source.png, changed.png, repainted.png")
