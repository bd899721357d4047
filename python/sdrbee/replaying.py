"""Pictures made again from the recipes inside their files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdrbee._native import Image, InvalidRequest
from sdrbee.model import Model, load
from sdrbee.model_files import BUILTIN_FOLDER

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from sdrbee.requests import ImageSource


def replay(
    file: str | os.PathLike[str],
    *,
    image: ImageSource | None = None,
    mask: ImageSource | None = None,
    control_image: ImageSource | None = None,
    latents: npt.NDArray[np.floating[Any]] | None = None,
    model: Model | None = None,
) -> Image:
    """Makes a picture again from the recipe inside its PNG file: bit-identical on this machine.

    Args:
        file: A PNG file that sdrbee wrote.
        image: The picture that it was made from, when there was one.
        mask: Its mask, when there was one.
        control_image: The control image, when there was one.
        latents: The latents that it was made from, when there were any.
        model: The loaded model, to save loading it again; by default the recipe's.

    Raises:
        InvalidRequest: The file has no recipe, an input is missing or another one than recorded,
            or model, dtype, threads, CPU or torch differ, so that the picture would not be the
            same. The message names what differs.

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
    if model is None:
        model = _load_for(recipe)
    session = model._session
    pictures = {"image": image, "mask": mask, "control_image": control_image}
    request = session.replay_request(json.dumps(recipe), pictures, latents)
    made: Image = session.generate([request], None, None)[0]
    return made


def _load_for(recipe: dict[str, Any]) -> Model:
    """The model of a recipe; a built-in one is found by name when the package moved."""
    source = Path(recipe["model"]["source"])
    environment = recipe["environment"]
    moved = not source.exists() and source.parent.name == BUILTIN_FOLDER.name
    name = source.name if moved else os.fspath(source)
    return load(
        name,
        device=environment["device"],
        dtype=environment["dtype"],
        variant=recipe["model"]["variant"],
        **recipe["model"].get("components", {}),
    )
