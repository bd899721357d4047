"""A model for tests of what surrounds models: no weights, no work, and faults on demand."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sdrbee.plugins import ImageModel, Prompt

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[np.float32]

_TRAINED_STEPS = 1000
_TOKENS = 4

# Words of a prompt that make its picture fail, and the number that stands for each in its context.
FAULTS = {"!raise": 1.0, "!nan": 2.0, "!shape": 3.0, "!hang": 4.0}


class MockModel(ImageModel):
    """A plug-in whose pictures show one colour, which follows from the seed: ``"mock"``.

    The same request gives the same picture, whatever shares its steps. A prompt that holds
    ``!raise``, ``!nan``, ``!shape`` or ``!hang`` makes the network raise, answer NaN or a wrong
    shape, or hang until `hang_ends` is set.

    Example:
        >>> import sdrbee
        >>> models = {"mock": {"name": "mock", "options": {"step_ms": 1}}}
        >>> with sdrbee.Engine(models) as engine:
        ...     image = engine.submit("anything", seed=7).result()
        >>> image.width, image.seed
        (64, 7)
    """

    id = "mock"
    version = "1"
    capabilities = ("text_to_image", "image_to_image", "inpaint", "guidance", "negative_prompt")
    default_size = (64, 64)
    steps = 4

    hang_ends: ClassVar[threading.Event] = threading.Event()
    """Lets go what hangs, in all models of this class."""

    def __init__(self, *, step_ms: float = 0.0) -> None:
        """Args: step_ms: How long one call of the network takes, in milliseconds."""
        self._step_s = step_ms / 1000.0
        betas = np.linspace(0.00085**0.5, 0.012**0.5, _TRAINED_STEPS) ** 2  # as `scheduler` says
        self._signal = np.cumprod(1.0 - betas)

    def encode(self, prompt: Prompt) -> Array:
        """The fault that the text asks for, in all tokens."""
        text = prompt.text or ""
        asked = [number for word, number in FAULTS.items() if word in text]
        return np.full((_TOKENS, 1), asked[0] if asked else 0.0, np.float32)

    def denoise(self, latents: Array, timesteps: Array, context: Array) -> Array:
        """The noise that is left of a picture of one colour.

        The colour follows from where the noise is strongest, which a sampler's step does not
        change.
        """
        if self._step_s:
            time.sleep(self._step_s)
        asked = set(context[:, 0, 0].tolist())
        if FAULTS["!raise"] in asked:
            raise RuntimeError("the prompt asked for it")
        if FAULTS["!hang"] in asked:
            self.hang_ends.wait()
        if FAULTS["!shape"] in asked:
            return latents[:, :1]
        batch, channels, height, width = latents.shape
        strongest = latents.reshape(batch, channels, -1).argmax(2) / max(height * width - 1, 1)
        colour = (2.0 * strongest - 1.0).reshape(batch, channels, 1, 1)
        signal = np.interp(timesteps, np.arange(_TRAINED_STEPS), self._signal)
        signal = signal.reshape(-1, 1, 1, 1)
        clean = np.sqrt(signal) * colour
        noise: Array = ((latents - clean) / np.sqrt(1.0 - signal)).astype(np.float32)
        noise[context[:, 0, 0] == FAULTS["!nan"]] = np.nan
        return noise

    def decode(self, latents: Array) -> Array:
        """A cell of the first three channels fills its square of pixels."""
        side = self.latent_downscale
        pixels: Array = latents[:, :3].repeat(side, 2).repeat(side, 3)
        return pixels

    def encode_picture(self, picture: Array) -> Array:
        """Means of the squares; the fourth channel is 0."""
        side, (batch, _, height, width) = self.latent_downscale, picture.shape
        cells = picture.reshape(batch, 3, height // side, side, width // side, side).mean((3, 5))
        return np.concatenate([cells, np.zeros_like(cells[:, :1])], 1)
