"""A tiny model over text and picture, asked for pictures with LoRAs in both programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from parity.family_pair import FamilyPair
from parity.flow_loras import State
from parity.pair import PROMPT, SEED, compare
from parity.quantised import weights
from parity.reference import Pixels

import sdrbee

STEPS = 2
STRENGTH = 0.7
WIDTH, HEIGHT = 48, 32

Made = tuple[Pixels, Pixels]  # picture and latents


class Flow:
    """A tiny model, opened by both programs.

    Args:
        pair: The model.
        reference: What diffusers makes of a prompt, a number of steps and its own arguments.
        mode: Of its pipelines.
        fields: What of a request is another than usual.
    """

    def __init__(
        self,
        pair: FamilyPair,
        reference: Callable[..., Made],
        mode: str = "text_to_image",
        **fields: Any,
    ) -> None:
        self.pair = pair
        self.model = pair.model
        self.pipeline = pair.pipelines[mode]
        self._reference = reference
        self._fields = {"seed": SEED, "steps": STEPS, "width": WIDTH, "height": HEIGHT} | fields

    def ours(self, model: sdrbee.Model | None = None, **fields: Any) -> Made:
        request = self._fields | fields
        made = [
            np.asarray((model or self.model).generate(PROMPT, output=output, **request))
            for output in ("float", "latent")
        ]
        return made[0], made[1]

    def theirs(self, **arguments: Any) -> Made:
        return self._reference(prompt=PROMPT, num_inference_steps=STEPS, **arguments)

    @contextmanager
    def lora(self, state: State | Path, strength: float = STRENGTH) -> Iterator[None]:
        """A LoRA in diffusers."""
        self.pipeline.load_lora_weights(state, adapter_name="one")
        self.pipeline.set_adapters(["one"], [strength])
        try:
            yield
        finally:
            self.pipeline.unload_lora_weights()

    def check(self, ours: Made, theirs: Made) -> None:
        difference = compare(ours, theirs)
        assert difference.within_tolerance, difference

    def check_file(self, file: Path, like: State | Path, **fields: Any) -> None:
        """The file does here what `like` does in diffusers, and leaves nothing behind."""
        plain = self.ours(**fields)
        with self.lora(like):
            self.check(self.ours(loras=[(file, STRENGTH)], **fields), self.theirs())
        for before, after in zip(plain, self.ours(**fields), strict=True):
            np.testing.assert_array_equal(before, after)
        self.is_seen(file)

    def check_changes(
        self, file: Path, network: Any, changes: State, strength: float = STRENGTH
    ) -> None:
        """The file adds these differences [fp64] to the network, and leaves nothing behind."""
        plain = self.ours()
        with changed(network, changes, strength):
            self.check(self.ours(loras=[(file, strength)]), self.theirs())
        np.testing.assert_array_equal(self.ours()[1], plain[1])

    def is_seen(self, file: Path) -> None:
        loras = [(file, STRENGTH)]
        assert np.abs(self.ours(loras=loras)[0] - self.ours()[0]).max() > 1e-3


@contextmanager
def changed(network: Any, changes: State, strength: float = STRENGTH) -> Iterator[None]:
    """The network with differences [fp64] added to its weights."""
    own: dict[str, torch.Tensor] = network.state_dict()
    assert changes.keys() <= own.keys()
    with weights(
        network,
        {
            name: (value.double() + strength * changes[name]).float() if name in changes else value
            for name, value in own.items()
        },
    ):
        yield
