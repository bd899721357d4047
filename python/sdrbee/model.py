"""Loading models and making pictures with them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from sdrbee import _native
from sdrbee._native import (
    CancelToken,
    ComponentMemory,
    Generation,
    GenerationRequest,
    Image,
    ModelDescription,
    ModelInfo,
)
from sdrbee.model_origin import ModelName, model_origin

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from typing_extensions import Unpack

    from sdrbee.requests import OnStep, RequestFields


class Model:
    """A loaded model; get one from `sdrbee.load`.

    Calls from several threads run one after the other.
    """

    __slots__ = ("_session",)

    def __init__(self, session: _native.Session) -> None:
        self._session = session

    @property
    def info(self) -> ModelInfo:
        """Family, variant, capabilities, limits and defaults."""
        return self._session.info

    @property
    def memory(self) -> dict[str, ComponentMemory]:
        """What the components' weights take in memory, whether they are there now, how often each
        was loaded and used, and what is kept beside them to go back to other LoRAs.

        Example:
            >>> import sdrbee
            >>> model = sdrbee.load("shapes")
            >>> model.memory["unet"].loaded
            False
        """
        return self._session.memory

    def warm_up(self) -> None:
        """Loads all components now, as far as the memory limit allows, not at their first use."""
        self._session.warm_up()

    def __repr__(self) -> str:
        info = self.info
        return f"<sdrbee.Model {info.family}/{info.variant} {info.dtype} on {info.device}>"

    @overload
    def generate(
        self,
        prompt: str,
        *,
        output: Literal["image"] = ...,
        on_step: OnStep | None = ...,
        cancel: CancelToken | None = ...,
        **fields: Unpack[RequestFields],
    ) -> Image: ...
    @overload
    def generate(
        self,
        prompt: str,
        *,
        output: Literal["float", "latent"],
        on_step: OnStep | None = ...,
        cancel: CancelToken | None = ...,
        **fields: Unpack[RequestFields],
    ) -> npt.NDArray[np.float32]: ...
    @overload
    def generate(
        self,
        prompt: str,
        *,
        count: int,
        output: Literal["image"] = ...,
        on_step: OnStep | None = ...,
        cancel: CancelToken | None = ...,
        **fields: Unpack[RequestFields],
    ) -> list[Image]: ...
    @overload
    def generate(
        self,
        prompt: str,
        *,
        count: int,
        output: Literal["float", "latent"],
        on_step: OnStep | None = ...,
        cancel: CancelToken | None = ...,
        **fields: Unpack[RequestFields],
    ) -> list[npt.NDArray[np.float32]]: ...
    def generate(
        self,
        prompt: str,
        *,
        on_step: OnStep | None = None,
        cancel: CancelToken | None = None,
        **fields: Any,
    ) -> Any:
        """Makes a picture from a prompt, and from `image` and `mask` when they are given.

        Args:
            prompt: What the picture shows; may be empty.
            on_step: Called as ``on_step(step, total, preview)`` after every step; `total` is None
                where the sampler finds its steps on the way (dpm_adaptive), `preview` is an Image
                when ``preview="fast"`` or ``"full"`` asks for it. An exception that it
                raises ends the generation and comes out of this call.
            cancel: Its ``cancel()``, from any thread, ends the generation within one step.
            **fields: Any other field of `GenerationRequest`, which documents them.

        Returns:
            The picture; with `count` a list of that many. ``output="float"`` gives arrays
            [height, width, 3] of 0..1 before rounding, ``"latent"`` the latents
            [channels, height / 8, width / 8], both float32.

        Raises:
            TypeError: A field is unknown or of the wrong type.
            InvalidRequest: A value is out of range for this model.
            Cancelled: `cancel` was used.
            OutOfMemory: The picture does not fit; the model can go on with smaller ones.

        Example:
            >>> import sdrbee
            >>> model = sdrbee.load("shapes")
            >>> image = model.generate("a red circle left of a blue square", steps=4, seed=7)
            >>> image.width, image.height, image.seed
            (128, 128, 7)
        """
        request = GenerationRequest(prompt=prompt, **fields)
        made = self._session.generate([request], on_step, cancel)
        return made if "count" in fields else made[0]

    def generate_batch(
        self,
        requests: Sequence[GenerationRequest],
        *,
        on_step: OnStep | None = None,
        cancel: CancelToken | None = None,
    ) -> list[Any]:
        """Makes the pictures of several requests together, which is faster than one by one.

        They may differ in every field; those of equal size share the network's work.

        Args:
            requests: One or more; a request with `count` gives that many pictures.
            on_step: Called as ``on_step(step, total, preview)`` for every step of every picture.
            cancel: Its ``cancel()``, from any thread, ends all of them within one step.

        Returns:
            Images, or arrays where `output` asks for them, in the order of the requests.

        Raises:
            InvalidRequest: One of the requests is impossible; nothing is made then.

        Example:
            >>> import sdrbee
            >>> model = sdrbee.load("shapes")
            >>> red = sdrbee.GenerationRequest(prompt="a red star", steps=2, seed=1)
            >>> images = model.generate_batch([red, red.replace(prompt="a green star", steps=3)])
            >>> len(images)
            2
        """
        return self._session.generate(list(requests), on_step, cancel)

    def begin(self, request: GenerationRequest) -> Generation:
        """Starts one picture; `advance` takes its steps and `finish` hands it out.

        Example:
            >>> import sdrbee
            >>> model = sdrbee.load("shapes")
            >>> generation = model.begin(sdrbee.GenerationRequest(prompt="a ring", steps=2))
            >>> while not generation.done:
            ...     model.advance(generation)
            >>> model.finish(generation).width
            128
        """
        return self._session.begin(request)

    def advance(self, *generations: Generation) -> None:
        """Takes one step of each generation; finished ones are left alone."""
        self._session.advance(generations)

    def finish(self, generation: Generation) -> Any:
        """The picture of a generation, as its request's `output` asks for it."""
        return self._session.finish(generation)

    def save(self, generation: Generation) -> bytes:
        """The generation as bytes; `restore` goes on with it, also in another process."""
        return self._session.save(generation)

    def restore(self, saved: bytes) -> Generation:
        """A generation that `save` stored, with the bit-identical rest of its way.

        Raises:
            CheckpointError: The bytes are damaged or belong to another model.
        """
        return self._session.restore(saved)


def load(
    name: ModelName,
    *,
    device: str = "auto",
    dtype: str = "auto",
    variant: str | None = None,
    prediction: str | None = None,
    transformer: str | os.PathLike[str] | None = None,
    vae: str | os.PathLike[str] | None = None,
    text_encoder: str | os.PathLike[str] | None = None,
    text_encoder_2: str | os.PathLike[str] | None = None,
    text_encoder_3: str | os.PathLike[str] | None = None,
    memory_limit: int | str | None = None,
    prompt_cache: int | str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Model:
    """Loads a model.

    All files are checked now; weights are read at the first use of their component.

    Args:
        name: A built-in model ("shapes", "shapes-inpaint"), a diffusers folder, a
            ``.safetensors`` or ``.gguf`` checkpoint in the original naming, or the index of its
            shards. A file may hold the denoiser alone when the other components are given. A
            built-in name wins over a folder of that name in the working directory; write
            ``./shapes`` for the folder. Also a plug-in's name or class, see docs/plugins.md.
        device: "cpu", "cuda", "cuda:1", "mps", or "auto": the first GPU, else the CPU.
        dtype: "fp32", "bf16", "fp16", or "auto": bf16 on CPUs with AVX512-BF16 or AMX and on CUDA
            from compute capability 8.0, fp16 on other GPUs, else fp32.
        variant: Which variant of its family the model is (see `sdrbee.families()`), where the
            files do not tell: a warning names the option when they leave it open.
        prediction: What the network predicts, where the files are silent or wrong: "epsilon",
            "v_prediction", "sample" or "flow_prediction".
        transformer: The denoiser, from another place than the model: a component's folder, a
            model's folder (its component is taken), or a ``.safetensors`` or ``.gguf`` file.
        vae: The autoencoder, likewise.
        text_encoder: The first text encoder, likewise.
        text_encoder_2: The second text encoder, likewise.
        text_encoder_3: The third text encoder, likewise.
        memory_limit: What the weights may take in memory, in bytes or as "4GiB": components that
            did not run lately are released when all would be over it, and loaded again when they
            are needed. The pictures are the same. By default all stay.
        prompt_cache: What the encodings of the latest prompts may take, likewise; by default 64
            MiB, which is hundreds of prompts, or a dozen with T5. 0 keeps none.
        options: Arguments of a plug-in's class; it takes none of those above but `device`.

    Raises:
        CheckpointError: There is no such model, its files are damaged or incomplete, or its
            components do not belong together.
        UnsupportedModel: The model is of a kind that this build does not run.
        InvalidRequest: The device or dtype is unknown or not available, the family has no such
            variant, prediction or component, or the memory limit is less than one component takes.

    Example:
        >>> import sdrbee
        >>> sdrbee.load("shapes").info.family
        'stable_diffusion'
    """
    origin = model_origin(
        name,
        options=options,
        dtype=dtype,
        variant=variant,
        prediction=prediction,
        memory_limit=memory_limit,
        prompt_cache=prompt_cache,
        transformer=transformer,
        vae=vae,
        text_encoder=text_encoder,
        text_encoder_2=text_encoder_2,
        text_encoder_3=text_encoder_3,
    )
    session = _native.load(origin, device)
    for warning in session.info.warnings:
        warnings.warn(f"{name}: {warning}", stacklevel=2)
    return Model(session)


def describe(
    name: ModelName,
    *,
    device: str = "auto",
    dtype: str = "auto",
    variant: str | None = None,
    prediction: str | None = None,
    transformer: str | os.PathLike[str] | None = None,
    vae: str | os.PathLike[str] | None = None,
    text_encoder: str | os.PathLike[str] | None = None,
    text_encoder_2: str | os.PathLike[str] | None = None,
    text_encoder_3: str | os.PathLike[str] | None = None,
) -> ModelDescription:
    """Tells what a model is from the headers of its files, without reading its weights.

    The arguments are those of `load`. A file that lacks components is described too, with what
    it lacks.

    Returns:
        The family, the components as they are stored, those that are missing, and, when none is,
        the `info` that the loaded model has.

    Raises:
        CheckpointError: There is no such model, its files are damaged or incomplete, or its
            components do not belong together.
        UnsupportedModel: The model is of a kind that this build does not run.
        InvalidRequest: The family has no such variant, prediction or component.

    Example:
        >>> import sdrbee
        >>> sdrbee.describe("shapes").components["vae"].class_name
        'AutoencoderKL'
    """
    origin = model_origin(
        name,
        dtype=dtype,
        variant=variant,
        prediction=prediction,
        transformer=transformer,
        vae=vae,
        text_encoder=text_encoder,
        text_encoder_2=text_encoder_2,
        text_encoder_3=text_encoder_3,
    )
    return _native.describe(origin, device)
