"""The types of request fields for type checkers; values and defaults live in the C++ struct."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

from sdrbee._native import Image

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import PIL.Image

    from sdrbee.adapters import LoraSource
    from sdrbee.embeddings import EmbeddingSource

    ImageSource: TypeAlias = (
        str
        | PathLike[str]
        | bytes
        | bytearray
        | memoryview
        | npt.NDArray[np.uint8]
        | PIL.Image.Image
        | Image
    )
    OnStep = Callable[[int, int | None, Image | None], object]


Factors: TypeAlias = float | Sequence[float]
"""A factor of all attentions of a block, or one for each."""
BlockFactors: TypeAlias = Mapping[str, Factors | Mapping[str, Factors]]
"""Factors of "mid", "down" and "up", or of blocks of the latter two: "block_1"."""


class _ControlOptions(TypedDict, total=False):
    image: ImageSource
    """What it follows: edges, depths, a pose, a style. `type` "inpaint" needs none."""
    images: Sequence[ImageSource]
    """Of an IP-Adapter: several in the place of `image`."""
    mask: ImageSource
    """Of an IP-Adapter: where the picture acts is white."""
    masks: Sequence[ImageSource]
    """The same for each of `images`."""
    strength: float
    start: float
    end: float
    guess_mode: bool
    type: str
    mode: str
    """'balanced', 'prompt' or 'control': whose details win, as A1111's extension has it."""
    preprocessor: str
    """The name of what made `image` of another picture, for the recipe and A1111's infotext."""
    blocks: BlockFactors | None
    """Of an IP-Adapter: factors of `strength` by block, 0 where there is none."""


class Control(_ControlOptions):
    """A ControlNet, T2I-Adapter or IP-Adapter that a picture follows."""

    model: str | PathLike[str]
    """Its name in the local store, its folder or its file."""


class RequestFields(TypedDict, total=False):
    """Every field of GenerationRequest but ``prompt``, ``count`` and ``output``."""

    prompt_2: str | None
    prompt_3: str | None
    negative_prompt: str | None
    negative_prompt_2: str | None
    negative_prompt_3: str | None
    prompt_syntax: str
    embeddings: Sequence[EmbeddingSource] | None
    embeddings_dir: str | None
    long_prompt: str
    max_sequence_length: int | None
    clip_skip: int
    width: int | None
    height: int | None
    original_size: Sequence[int] | None
    target_size: Sequence[int] | None
    crop: Sequence[int] | None
    seed: int | None
    steps: int | None
    guidance_scale: float | None
    true_guidance_scale: float | None
    guidance_rescale: float
    guidance_start: float
    guidance_end: float
    skip_guidance_layers: Sequence[int] | None
    skip_layer_guidance_scale: float
    skip_layer_guidance_start: float
    skip_layer_guidance_stop: float
    sampler: str | None
    schedule: str | None
    spacing: str | None
    sigmas: Sequence[float] | None
    rho: float | None
    prediction: str | None
    eta: float | None
    s_churn: float
    s_noise: float
    strength: float | None
    denoising_start: float | None
    denoising_end: float | None
    keep_unmasked: bool
    inpaint_area: str
    mask_padding: int
    mask_blur: float
    outpaint: Sequence[int] | None
    hires_scale: float | None
    hires_steps: int | None
    hires_denoising_strength: float
    hires_upscaler: str
    hires_prompt: str | None
    hires_negative_prompt: str | None
    tiling: str
    loras: Sequence[LoraSource] | None
    preview: str
    exact: bool
    image: ImageSource | None
    mask: ImageSource | None
    control_image: ImageSource | None
    latents: npt.NDArray[np.floating[Any]] | None
    controls: Sequence[Control] | None
    ip_adapters: Sequence[Control] | None
