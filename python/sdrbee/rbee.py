"""Operations as rbee's contract knows them: what one is called, and which server takes it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sdrbee._native import InvalidRequest

# Operations whose names begin so are the hive's; all others are the queen's.
_OF_THE_HIVE = ("worker_", "model_")


class TargetServer(Enum):
    """A server of rbee that takes operations at ``POST /v1/jobs``."""

    QUEEN = "queen"
    HIVE = "hive"

    @property
    def url(self) -> str:
        """Its address on this machine; ``QUEEN_PORT`` and ``HIVE_PORT`` change the port.

        Raises:
            InvalidRequest: What the environment says is no port.

        Example:
            >>> from sdrbee.rbee import TargetServer
            >>> TargetServer.QUEEN.url
            'http://localhost:7833'
        """
        variable = f"{self.name}_PORT"
        port = os.environ.get(variable) or _PORTS[self]
        if not port.isdecimal() or not 1 <= int(port) <= 65_535:
            raise InvalidRequest(f"[{variable}] expected a port, 1..65535, but got {port!r}")
        return f"http://localhost:{port}"


_PORTS = {TargetServer.QUEEN: "7833", TargetServer.HIVE: "7835"}


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation as it is sent: one flat JSON object with the tag `operation`.

    Example:
        >>> from sdrbee.rbee import Operation
        >>> operation = Operation({"operation": "image_generation", "prompt": "a red star"})
        >>> operation.name(), operation.target_server().name
        ('image_generation', 'QUEEN')
    """

    body: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Raises InvalidRequest when the tag is not there."""
        name = self.body.get("operation")
        if not isinstance(name, str) or not name:
            raise InvalidRequest(f"[operation] expected an operation's name but got {name!r}")

    def name(self) -> str:
        """Its tag: ``image_generation``, ``worker_spawn``, ..."""
        return str(self.body["operation"])

    def hive_id(self) -> str | None:
        """The hive that it names, if any."""
        hive = self.body.get("hive_id")
        return None if hive is None else str(hive)

    def target_server(self) -> TargetServer:
        """Who takes it: the hive what is about workers and models, the queen all else, pictures
        too."""
        is_hives = self.name().startswith(_OF_THE_HIVE)
        return TargetServer.HIVE if is_hives else TargetServer.QUEEN
