"""_native.pyi says what the built extension has, no more and no less."""

from __future__ import annotations

import ast
from pathlib import Path

import sdrbee
from sdrbee import _native, requests

STUB = Path(sdrbee.__file__).parent / "_native.pyi"
DATA_MODEL = {"__init__", "__eq__", "__hash__", "__buffer__"}
PIXELS = ["image", "mask", "control_image", "latents", "controls", "ip_adapters"]


def stub_names() -> dict[str, set[str]]:
    """Public names of the stub; for classes with their members."""
    names: dict[str, set[str]] = {}
    for node in ast.parse(STUB.read_text()).body:
        if isinstance(node, ast.ClassDef):
            names[node.name] = {
                name for item in node.body for name in declared(item) if name not in DATA_MODEL
            }
        elif isinstance(node, ast.FunctionDef):
            names[node.name] = set()
    return names


def declared(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef):
        return [node.name]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []


def native_names() -> dict[str, set[str]]:
    names: dict[str, set[str]] = {}
    for name, value in vars(_native).items():
        if name.startswith("_"):
            continue
        members = vars(value) if isinstance(value, type) else {}
        names[name] = {
            member
            for member in members
            if not member.startswith("__") and not member.startswith("_pybind11")
        }
    return names


def test_stub_and_module_have_the_same_names() -> None:
    assert stub_names() == native_names()


def test_bound_bases_match_the_stub() -> None:
    for node in ast.parse(STUB.read_text()).body:
        if isinstance(node, ast.ClassDef) and node.bases:
            bases = [base.__name__ for base in getattr(_native, node.name).__bases__]
            assert bases == [ast.unparse(base) for base in node.bases]


def test_typed_fields_are_the_fields_of_the_request() -> None:
    typed = set(requests.RequestFields.__annotations__)
    fields = {field.name for field in sdrbee.request_fields()} | set(PIXELS)
    assert typed == fields - {"prompt", "count", "output"}


def declared_constructor() -> ast.FunctionDef:
    request = next(
        node
        for node in ast.parse(STUB.read_text()).body
        if isinstance(node, ast.ClassDef) and node.name == "GenerationRequest"
    )
    return next(node for node in request.body if isinstance(node, ast.FunctionDef))


def test_stub_and_typed_fields_agree_on_types() -> None:
    annotations = {
        argument.arg: ast.unparse(argument.annotation)
        for argument in declared_constructor().args.kwonlyargs
        if argument.annotation is not None
    }
    for name, typed in requests.RequestFields.__annotations__.items():
        assert annotations[name].removeprefix("_") == typed.__forward_arg__, name


def test_declared_constructor_takes_the_fields_of_the_request() -> None:
    init = declared_constructor()
    keywords = [argument.arg for argument in init.args.kwonlyargs]
    assert keywords == [*(field.name for field in sdrbee.request_fields()), *PIXELS]
