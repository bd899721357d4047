"""Which of the engine's models a name on the wire means."""

from __future__ import annotations

from collections.abc import Mapping

import sdrbee
from sdrbee.names import NamedModel, find_model


def resolve_model(name: str, models: Mapping[str, sdrbee.ModelInfo]) -> str:
    """The engine's name for a model, by any of those that `find_model` knows; "" is the first one.

    Raises:
        ModelNotFound: There is none.
    """
    if not name:
        return next(iter(models))
    return find_model(
        name, [NamedModel(own, info.family, info.variant) for own, info in models.items()]
    )
