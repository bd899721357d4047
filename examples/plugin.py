"""A model of one's own: its network knows one picture and finds it in any noise."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

import sdrbee
from sdrbee.plugins import ImageModel, Prompt

Array = npt.NDArray[np.float32]


class Sunset(ImageModel):
    """Predicts the clean picture itself: a sun whose height the prompt's length chooses."""

    id = "sunset"
    version = "1"
    capabilities = ("text_to_image",)
    scheduler: ClassVar = {
        **ImageModel.scheduler,
        "_class_name": "DDIMScheduler",
        "prediction_type": "sample",
    }
    default_size = (256, 256)
    steps = 4

    def encode(self, prompt: Prompt) -> Array:
        """The height of the sun, 0..1."""
        return np.full((1, 1), len(prompt.text or "") % 20 / 20, np.float32)

    def denoise(self, latents: Array, timesteps: Array, context: Array) -> Array:  # noqa: ARG002
        """The picture, whatever the noise."""
        batch, _, height, width = latents.shape
        y, x = np.mgrid[0 : 1 : height * 1j, -0.5 : 0.5 : width * 1j]
        clean = np.empty(latents.shape, np.float32)
        for row in range(batch):
            sun = (x**2 + (1 - y - context[row, 0, 0]) ** 2) < 0.03
            sky = np.stack([1 - y, 0.5 - y, y - 0.5, 0 * y])
            clean[row] = np.where(sun, np.array([1.0, 0.8, -0.5, 0.0])[:, None, None], sky)
        return clean

    def decode(self, latents: Array) -> Array:
        """Each cell is a square of pixels."""
        side = self.latent_downscale
        pixels: Array = latents[:, :3].repeat(side, 2).repeat(side, 3).clip(-1, 1)
        return pixels


if __name__ == "__main__":
    with sdrbee.Engine({"sunset": Sunset}) as engine:
        engine.submit("a low sun", seed=1).result().save("sunset.png")
