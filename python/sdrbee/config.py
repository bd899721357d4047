"""The configuration file: what flags and the environment leave open."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from sdrbee._native import InvalidRequest


def config_path() -> Path:
    """``$SDRBEE_CONFIG``, else ``$XDG_CONFIG_HOME/sdrbee/config.toml``, else
    ``~/.config/sdrbee/config.toml``."""
    own = os.environ.get("SDRBEE_CONFIG")
    if own:
        return Path(own).expanduser()
    folder = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(folder).expanduser() / "sdrbee" / "config.toml"


def read_config() -> dict[str, Any]:
    """What the file says; nothing where there is none.

    Raises:
        InvalidRequest: It is not TOML, or ``$SDRBEE_CONFIG`` names a file that is not there.
    """
    path = config_path()
    if not path.is_file():
        if os.environ.get("SDRBEE_CONFIG"):
            raise InvalidRequest(f"[SDRBEE_CONFIG] there is no file {path}")
        return {}

    # Most runs have no such file, so that they need no parser.
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"[{path}] expected TOML but got {error}") from None
