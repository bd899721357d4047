"""Which model a name means: ids, what variants are called, Hugging Face ids, revisions."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from sdrbee import _native

# Names that an error lists when none is near.
_SHOWN = 10


class ModelNotFound(_native.CheckpointError, _native.InvalidRequest):
    """No model has this name; the message lists those whose names are near."""


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A model that may be asked for."""

    name: str
    """The full name; may end in ``@revision``."""
    family: str = ""
    variant: str = ""
    revisions: tuple[str, ...] = ()
    """What its state is called: a branch or tag, a commit."""


def find_model(wanted: str, models: Sequence[NamedModel]) -> str:
    """The full name of the model that is meant; of several, the first.

    Args:
        wanted: A full name, its part behind the last "/", a name of its variant (see
            `sdrbee.families()`), or a Hugging Face id whose last part is one of these; in upper or
            lower case, and with ``@revision`` where a certain state is meant: its name, or the
            first seven or more characters of its commit.
        models: Those to choose from, the preferred first.

    Raises:
        ModelNotFound: None is called so.

    Example:
        >>> from sdrbee.names import NamedModel, find_model
        >>> find_model("SD1.5", [NamedModel("mine", "stable_diffusion", "v1-5")])
        'mine'
    """
    if any(model.name == wanted for model in models):
        return wanted
    name, _, revision = wanted.partition("@")
    for is_meant in (_is_base, _is_last_part, _is_variant):
        for model in models:
            if is_meant(name, model) and _has_revision(revision, model):
                return model.name
    raise not_found(wanted, models)


def not_found(wanted: str, models: Sequence[NamedModel], hint: str = "") -> ModelNotFound:
    """The error that lists the models whose names are nearest."""
    return ModelNotFound(f"[model] {_told(wanted, models)}{hint and '; '}{hint}")


def _is_base(name: str, model: NamedModel) -> bool:
    return name.lower() == _base(model).lower()


def _is_last_part(name: str, model: NamedModel) -> bool:
    return _last_part(name) == _last_part(_base(model))


def _is_variant(name: str, model: NamedModel) -> bool:
    return bool({name.lower(), _last_part(name)} & _variant_names(model))


def _variant_names(model: NamedModel) -> set[str]:
    """What the model's variant is called, in lower case."""
    return {
        called.lower()
        for family in _native.families()
        if family.id == model.family
        for variant in family.variants
        if variant.id == model.variant
        for called in (variant.id, *variant.aliases.split())
    }


def _has_revision(revision: str, model: NamedModel) -> bool:
    known = (*model.revisions, model.name.partition("@")[2])
    return not revision or any(
        revision == one or (len(revision) >= 7 and one.startswith(revision)) for one in known
    )


def _base(model: NamedModel) -> str:
    return model.name.partition("@")[0]


def _last_part(name: str) -> str:
    return name.rpartition("/")[2].lower()


def _told(wanted: str, models: Sequence[NamedModel]) -> str:
    """``expected ... but got ...``, with the models whose names are nearest."""
    near: dict[str, None] = {}
    for model in models:
        called = [_base(model).lower(), _last_part(_base(model)), *sorted(_variant_names(model))]
        if difflib.get_close_matches(_last_part(wanted.partition("@")[0]), called, n=1):
            near[model.name] = None
    if near:
        return f"expected a model's name but got {wanted!r}; did you mean {_listed(near)}?"
    known = _listed([one.name for one in models])
    return f"expected {f'one of {known}' if known else 'a model'} but got {wanted!r}"


def _listed(names: Sequence[str] | dict[str, None]) -> str:
    shown = ", ".join(repr(name) for name in list(names)[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
