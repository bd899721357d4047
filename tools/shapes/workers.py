"""Data-parallel training in processes of one thread each.

On a busy machine one process per core is far quicker than one process with several threads: they
meet once a step instead of once an operation. Start with
`torchrun --standalone --nproc-per-node 2 -m tools.shapes.train_unet ...`; without torchrun the
script trains alone.
"""

from __future__ import annotations

import os

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

    @torch.no_grad()
    def share(self, parameters: list[Tensor], source: int = 0) -> None:
        """Gives every process the values that process `source` has."""
        if self.count == 1:
            return
        flat = torch.cat([p.flatten() for p in parameters])
        distributed.broadcast(flat, source)
        if self.rank != source:
            _scatter(flat, parameters)

    def average(self, parameters: list[Tensor], number: float) -> float:
        """Replaces the gradients by their mean over the processes; returns the mean of `number`."""
        if self.count == 1:
            return number
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([*(g.flatten() for g in gradients), torch.tensor([number])])
        distributed.all_reduce(flat)
        flat /= self.count
        _scatter(flat, gradients)
        return float(flat[-1])


def _scatter(flat: Tensor, tensors: list[Tensor]) -> None:
    start = 0
    for tensor in tensors:
        tensor.copy_(flat[start : start + tensor.numel()].view(tensor.shape))
        start += tensor.numel()
