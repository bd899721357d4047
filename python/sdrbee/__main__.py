"""``python -m sdrbee`` is the command ``sdrbee``."""

from __future__ import annotations

from sdrbee.cli import main

main()
