"""Why a model could not be pulled."""

from __future__ import annotations

from sdrbee._native import Error


class PullError(Error):
    """A model could not be pulled; the message says why and what to do."""


class NeedsKey(PullError):
    """The publisher wants to know who asks."""


class NotThere(PullError):
    """The publisher has no such thing."""
