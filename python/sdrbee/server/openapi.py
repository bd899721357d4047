"""The OpenAPI document, made from the routes and from the types that requests are read with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

import sdrbee

_REF = "#/components/schemas/{name}"
# What any route may answer, beside its own: who may not ask, what is no HTTP request of a client.
_ALWAYS = (400, 401, 403)


class ErrorDetail(msgspec.Struct):
    """What went wrong."""

    code: str
    message: str
    field: str | None


class ErrorAnswer(msgspec.Struct):
    """An answer other than success."""

    error: ErrorDetail


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What the document tells of a route."""

    summary: str
    answer: Any = None
    """The type of a successful answer; None: no JSON of a fixed form."""
    content_type: str = "application/json"
    """Of that answer."""
    body: Any = None
    """The type of the request's body."""
    body_content_type: str = "application/json"
    query: Mapping[str, str] = field(default_factory=dict)
    """Descriptions of the parameters in the query, by name."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """The same of headers."""
    errors: tuple[int, ...] = ()
    """Statuses of its own errors."""
    error: Any = ErrorAnswer
    """The type of all its errors."""
    open: bool = False
    """Whether it answers without a key."""


@dataclass(frozen=True, slots=True)
class DescribedRoute:
    """A route that tells of itself."""

    method: str
    path: str
    endpoint: Endpoint


def document(routes: Iterable[DescribedRoute]) -> dict[str, Any]:
    """The document of these routes, OpenAPI 3.1."""
    routes = list(routes)
    types: list[Any] = []
    for route in routes:
        own = (route.endpoint.body, route.endpoint.answer, route.endpoint.error)
        types += [one for one in own if one is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    schema_of = {id(one): schema for one, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        operation = _operation(route, schema_of)
        path = route.path.replace("*}", "}")
        paths.setdefault(path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "sdrbee", "version": sdrbee.__version__},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
        "security": [{}, {"bearer": []}, {"key": []}, {"basic": []}],
    }


def _operation(route: DescribedRoute, schema_of: Mapping[int, Any]) -> dict[str, Any]:
    endpoint = route.endpoint
    schema = {} if endpoint.answer is None else {"schema": schema_of[id(endpoint.answer)]}
    error = {"application/json": {"schema": schema_of[id(endpoint.error)]}}
    responses: dict[str, Any] = {
        "200": {"description": "Done", "content": {endpoint.content_type: schema}}
    }
    for status in sorted({*_ALWAYS, *endpoint.errors}):
        responses[str(status)] = {"description": "Refused", "content": error}
    operation: dict[str, Any] = {"summary": endpoint.summary, "responses": responses}
    parameters = [
        *(_parameter("path", name, "") for name in re.findall(r"\{(\w+)\*?\}", route.path)),
        *(_parameter("query", name, text) for name, text in endpoint.query.items()),
        *(_parameter("header", name, text) for name, text in endpoint.headers.items()),
    ]
    if parameters:
        operation["parameters"] = parameters
    if endpoint.body is not None:
        content = {endpoint.body_content_type: {"schema": schema_of[id(endpoint.body)]}}
        operation["requestBody"] = {"required": True, "content": content}
    if endpoint.open:
        operation["security"] = [{}]
    return operation


def _parameter(place: str, name: str, text: str) -> dict[str, Any]:
    described = {"description": text} if text else {}
    schema = {"type": "string"}
    return {"name": name, "in": place, "required": place == "path", "schema": schema, **described}
