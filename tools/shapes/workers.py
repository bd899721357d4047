"""Data-parallel training in processes of one thread each.

On a busy machine one process per core is far quicker than one process with several threads: they
meet once a step instead of once an operation. Start with
`torchrun --standalone --nproc-per-node 2 -m tools.shapes.train_unet ...`; without torchrun the
script trains alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
from torch import Tensor, distributed


class Workers:
    """The processes of one run: `rank` is this one's number, `count` how many there are."""

    def __init__(self) -> None:
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        if self.count > 1:
            torch.set_num_threads(1)
            distributed.init_process_group("gloo")

    @property
    def leads(self) -> bool:
        """True in the one process that prints and saves."""
        return self.rank == 0

    def share(self, parameters: Iterable[Tensor]) -> None:
        """Gives every process the leader's values."""
        if self.count > 1:
            for parameter in parameters:
                distributed.broadcast(parameter.data, 0)

    def average(self, parameters: list[Tensor], number: float) -> float:
        """Replaces the gradients by their mean over the processes; returns the mean of `number`."""
        if self.count == 1:
            return number
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([*(g.flatten() for g in gradients), torch.tensor([number])])
        distributed.all_reduce(flat)
        flat /= self.count
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view(gradient.shape))
            start += gradient.numel()
        return float(flat[-1])
