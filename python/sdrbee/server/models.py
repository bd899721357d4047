"""Which of the engine's models a name on the wire means."""

from __future__ import annotations

from collections.abc import Mapping

import sdrbee
from sdrbee.server.errors import ApiError


def resolve_model(name: str, models: Mapping[str, sdrbee.ModelInfo]) -> str:
    """The engine's name for a model: its own, an alias of its variant, or a Hugging Face id whose
    last part is one; "" is the first model.

    Raises:
        ApiError: 404 when there is none.
    """
    if not name:
        return next(iter(models))
    if name in models:
        return name
    variants = {name.lower(), name.lower().rpartition("/")[2]}
    for family in sdrbee.families():
        for variant in family.variants:
            if variants & {variant.id, *(alias.lower() for alias in variant.aliases)}:
                for own, info in models.items():
                    if (info.family, info.variant) == (family.id, variant.id):
                        return own
    known = ", ".join(repr(model) for model in models)
    raise ApiError(
        404, "model_not_found", f"[model] expected one of {known} but got {name!r}", field="model"
    )
