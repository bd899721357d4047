"""Models that are written in Python and meet the engine as its own do."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from sdrbee import _native
from sdrbee._native import Prompt, UnsupportedModel

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float32]

__all__ = ["ImageModel", "Prompt"]

# Packages offer their models by entry points of this group: name = "module:Class".
GROUP = "sdrbee.models"

# Those that come with sdrbee itself, in the same form.
_OWN = {"mock": "sdrbee.testing:MockModel"}


class ImageModel(ABC):
    """A diffusion model of one's own: derive from it and say what it is in the class attributes.

    The engine makes the schedule, the noise, the sampler's steps, guidance and masks; the three
    methods are what is left. They take and give float32 arrays (anything with the buffer protocol
    that numpy reads), are called from one thread at a time, and may raise: that, a wrong shape, or
    a NaN fails the job that it came from and no other one. Whatever is slow, like reading weights,
    belongs into ``__init__``, which runs when the first job needs the model; its arguments are
    those that users give as ``options``.
    """

    id: ClassVar[str]
    """Names the model: in recipes, and in messages."""
    version: ClassVar[str] = "0"
    """Another one says that the pictures may be other ones: recipes and checkpoints hold it."""
    capabilities: ClassVar[Collection[str]] = ("text_to_image", "guidance", "negative_prompt")
    """Which of these it can: text_to_image, image_to_image and inpaint (both need
    `encode_picture`), guidance, negative_prompt, prompt_2, prompt_3."""
    scheduler: ClassVar[Mapping[str, Any]] = {
        "_class_name": "EulerDiscreteScheduler",
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
    }
    """What a diffusers folder has in scheduler_config.json: how the network was trained, what it
    predicts, and the sampler that is used when a request names none."""
    latent_channels: ClassVar[int] = 4
    latent_downscale: ClassVar[int] = 8
    """Pixels per latent cell and side; sides of pictures are multiples of it."""
    default_size: ClassVar[tuple[int, int]] = (512, 512)
    """Width and height of pictures in pixels where a request says nothing."""
    maximum_side: ClassVar[int] = 4096
    """The longest side in pixels."""
    steps: ClassVar[int] = 20
    """Where a request says nothing, as are the next two."""
    guidance_scale: ClassVar[float] = 7.5
    strength: ClassVar[float] = 0.8

    @abstractmethod
    def encode(self, prompt: Prompt) -> Array:
        """A text as `denoise` takes it: [tokens, channels], as many tokens for every prompt."""

    @abstractmethod
    def denoise(self, latents: Array, timesteps: Array, context: Array) -> Array:
        """The network's prediction, [batch, channels, height, width].

        Args:
            latents: [batch, channels, height, width], scaled as the scheduler scales them. The
                rows may be of different pictures.
            timesteps: [batch].
            context: [batch, tokens, channels]: what `encode` gave for each row.
        """

    @abstractmethod
    def decode(self, latents: Array) -> Array:
        """Pictures [batch, 3, height, width] of -1..1."""

    def encode_picture(self, picture: Array) -> Array:  # noqa: ARG002
        """Latents of pictures [batch, 3, height, width] of -1..1.

        Raises:
            UnsupportedModel: The model has no such method of its own.
        """
        raise UnsupportedModel(
            f"[encode_picture] {type(self).__name__} starts from no picture: give it this method, "
            "or leave image_to_image and inpaint out of its capabilities"
        )


def plugin_names() -> list[str]:
    """The names of the plug-ins that installed packages offer."""
    return sorted({point.name for point in metadata.entry_points(group=GROUP)})


def find_plugin(name: str) -> Callable[[], Any] | None:
    """What imports the plug-in of that name; None when there is none."""
    if name in _OWN:
        return metadata.EntryPoint(name, _OWN[name], GROUP).load
    for point in metadata.entry_points(group=GROUP, name=name):
        return point.load
    return None


def plugin_of(name: str, find: Callable[[], Any], options: dict[str, Any]) -> _native.Plugin:
    """The plug-in that `find` imports, made with `options` when it is needed.

    One that cannot be imported, or does not say what it is, is described as a model that can
    everything; loading it tells why it can't: so its jobs fail, and those of others do not.
    """
    try:
        card = find()
        if not (isinstance(card, type) and issubclass(card, ImageModel)):
            raise TypeError(f"expected a class derived from sdrbee.plugins.ImageModel: {card!r}")
        return _native.Plugin(card, functools.partial(card, **options))
    except Exception as error:
        return _native.Plugin(_broken(name), functools.partial(_raise, error))


def _broken(name: str) -> type[ImageModel]:
    everything = ("text_to_image", "image_to_image", "inpaint", "guidance", "negative_prompt")
    told = {"id": name, "capabilities": (*everything, "prompt_2", "prompt_3")}
    return type("BrokenModel", (ImageModel,), {**told, "latent_downscale": 1})


def _raise(error: Exception) -> NoReturn:
    raise error
