"""Prints requirements of pyproject.toml, one a line, so that they are written down only once.

usage: extra_requirements.py torch | build | EXTRA
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def listed(name: str) -> list[str]:
    """The strings of the array ``name``. Python 3.10 has no TOML reader, so this finds quotes."""
    array = re.search(rf"^{re.escape(name)} = \[(.*?)\]$", PYPROJECT.read_text(), re.M | re.S)
    if array is None:
        raise SystemExit(f"extra_requirements.py: pyproject.toml has no list {name!r}")
    return re.findall(r'"([^"]+)"', array[1])


def main() -> None:
    wanted = sys.argv[1]
    if wanted == "torch":
        names = [name for name in listed("requires") if name.startswith("torch==")]
    else:
        names = listed("requires" if wanted == "build" else wanted)
    print("\n".join(names))


if __name__ == "__main__":
    main()
