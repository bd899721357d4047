"""Pictures made again from the recipes inside their files."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdrbee._native import CheckpointError, Image, InvalidRequest, control_pictures
from sdrbee.adapters import find_moved_loras
from sdrbee.embeddings import find_moved
from sdrbee.hub.local import LocalModels
from sdrbee.model import Model, load
from sdrbee.model_files import builtin_models, control_path, is_moved
from sdrbee.names import ModelNotFound

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from sdrbee.model_origin import ModelName
    from sdrbee.requests import Control, ImageSource


def replay(
    file: str | os.PathLike[str],
    *,
    image: ImageSource | None = None,
    mask: ImageSource | None = None,
    control_image: ImageSource | None = None,
    latents: npt.NDArray[np.floating[Any]] | None = None,
    controls: Sequence[ImageSource | Control] = (),
    model: Model | ModelName | None = None,
) -> Image:
    """Makes a picture again from the recipe inside its PNG file: bit-identical on this machine.

    Args:
        file: A PNG file that sdrbee wrote.
        image: The picture that it was made from, when there was one.
        mask: Its mask, when there was one.
        control_image: The control image, when there was one.
        latents: The latents that it was made from, when there were any.
        controls: The pictures that its ControlNets and adapters followed, in the order of the
            recipe, those with masks followed by these; or dicts of `model`, `image` and what else
            there was where a network isn't where the recipe says.
        model: The loaded model, or what `load` takes as a name; by default the one that the recipe
            names: a built-in model, one of the local store, or the path where it was. Pictures
            that a worker made name no paths.

    Raises:
        CheckpointError: The recipe's model is not here.
        InvalidRequest: The file has no recipe, an input is missing or another one than recorded,
            or model, ControlNets, dtype, threads, CPU or torch differ, so that the picture would
            not be the same. The message names what differs.

    Example:
        >>> import sdrbee
        >>> image = sdrbee.load("shapes").generate("a green ring", steps=2, seed=3)
        >>> image.save("ring.png")
        >>> bytes(sdrbee.replay("ring.png")) == bytes(image)
        True
    """
    recipe = Image(file).recipe
    if recipe is None:
        raise InvalidRequest(f"[replay] {os.fspath(file)} has no recipe of sdrbee inside")
    if not isinstance(model, Model):
        model = _load_for(recipe, model)
    find_moved((recipe.get("request") or {}).get("embeddings") or [])
    session = model._session
    pictures = {"image": image, "mask": mask, "control_image": control_image}
    shown = _with_controls(recipe, controls)
    find_moved_loras(recipe["request"].get("loras", []))
    request = session.replay_request(json.dumps(recipe), pictures, latents, shown)
    made: Image = session.generate([request], None, None)[0]
    return made


def _with_controls(
    recipe: dict[str, Any], controls: Sequence[ImageSource | Control]
) -> list[ImageSource]:
    """The pictures of the controls; the recipe then says where their networks are."""
    told = recipe["request"].get("controls", [])
    recorded = (recipe.get("inputs") or {}).get("controls", [])
    rest = list(controls)
    pictures: list[ImageSource] = []
    for control, hashes in zip_longest(told, recorded[: len(told)]):
        if rest and isinstance(rest[0], dict):
            control["model"] = os.fspath(rest[0]["model"])
            count = 1
        else:
            count = sum(map(len, hashes.values())) if isinstance(hashes, dict) else 1
        pictures += [picture for given in rest[:count] for picture in _pictures_of(given)]
        del rest[:count]
        control["model"] = control_path(control["model"])
    return pictures + [picture for given in rest for picture in _pictures_of(given)]


def _pictures_of(given: ImageSource | Control) -> list[ImageSource]:
    """The pictures of a control, in the order of recipes."""
    if not isinstance(given, dict):
        return [given]
    fields: dict[str, Any] = {**given}
    pictures: list[ImageSource] = []
    for one, several in control_pictures():
        pictures += [fields[one]] if one in fields else fields.get(several, [])
    return pictures


def _load_for(recipe: dict[str, Any], name: ModelName | None) -> Model:
    """The model of a recipe, or the named one, as the recipe wants it loaded."""
    told, environment = recipe["model"], recipe["environment"]
    try:
        return load(
            _place_of(told["source"]) if name is None else name,
            device=environment["device"],
            dtype=environment["dtype"],
            variant=told["variant"],
            **told.get("components", {}),
        )
    except CheckpointError as error:
        if name is not None:
            raise
        raise type(error)(
            f"[replay] the model {told['source']!r} with SHA-256 {told['sha256']} is needed: "
            f"{error}; give it as `model`"
        ) from None


def _place_of(source: str) -> str | os.PathLike[str]:
    """Where the model of a recipe is; a built-in one is found by name when the package moved."""
    path = Path(source)
    if path.is_absolute():
        return path.name if is_moved(path) else source
    if source in builtin_models():
        return source
    store = LocalModels()
    try:
        return store.path_of(store.find(source, "checkpoint"))
    except ModelNotFound:
        return source
