"""Which submissions are known to fit their models: a full queue refuses them at little cost.

A submission is checked before the queue is. Clients of a full queue send the same again and again,
but for seeds and words, on which no check depends unless prompts have a syntax or must not be too
long.
"""

from __future__ import annotations

from typing import Any

import msgspec

from sdrbee.server.wire import Submission

# How many are known at the same time.
_MOST = 256

# Any value of these fits where one does; of the words, where these are not read.
_ANY = ("seed",)
_WORDS = ("prompt", "negative_prompt", "hires_prompt", "hires_negative_prompt")


class Fit:
    """Submissions that have passed all checks but that of the queue."""

    def __init__(self) -> None:
        self._known: set[bytes] = set()

    def add(self, submission: Submission, model: str) -> None:
        """Remembers one for the model; those with pictures are too different."""
        if not submission.pictures:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known.add(_key(submission, model))

    def has(self, submission: Submission, model: str) -> bool:
        """Whether one like it has passed."""
        return (
            bool(self._known) and not submission.pictures and _key(submission, model) in self._known
        )


def _key(submission: Submission, model: str) -> bytes:
    fields: dict[str, Any] = {**submission.fields}
    marked = fields.get("prompt_syntax") not in (None, "plain")
    read = marked or fields.get("long_prompt") == "error"
    for name in _ANY if read else _ANY + _WORDS:
        if name in fields:
            fields[name] = None
    others = (submission.priority, submission.deadline_s)
    return msgspec.msgpack.encode((model, others, fields), order="deterministic")
