"""The Muon optimizer for matrices and convolution kernels (https://arxiv.org/abs/2502.16982)."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor

# Coefficients of the quintic iteration (https://kellerjordan.github.io/posts/muon/).
_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalize(matrices: Tensor, iterations: int = 5) -> Tensor:
    """Moves all singular values of each [N, rows, columns] matrix near one, rows <= columns."""
    x = matrices.bfloat16()
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return x


class Muon(torch.optim.Optimizer):
    """Momentum whose step is orthogonalized, and scaled to the size of an AdamW step.

    Weights of the same shape are handled in one batch. Convolution kernels [out, in, h, w] count as
    matrices [out, in * h * w].
    """

    def __init__(self, params: list[Tensor], lr: float = 1e-3, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """One update of every weight that has a gradient."""
        for group in self.param_groups:
            shapes: defaultdict[tuple[int, int], list[Tensor]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    shapes[(weight.shape[0], weight[0].numel())].append(weight)
            for (rows, columns), weights in shapes.items():
                self._update(weights, rows, columns, group["lr"], group["momentum"])

    def _update(
        self, weights: list[Tensor], rows: int, columns: int, rate: float, momentum: float
    ) -> None:
        directions = []
        for weight in weights:
            state, gradient = self.state[weight], weight.grad
            assert gradient is not None
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(weight)
            state["momentum"].lerp_(gradient, 1 - momentum)
            direction = torch.lerp(gradient, state["momentum"], momentum)
            directions.append(direction.reshape(rows, columns))
        stack = torch.stack(directions)
        stack = stack.mT if rows > columns else stack
        update = orthogonalize(stack).float()
        update = update.mT if rows > columns else update
        scale = 0.2 * max(rows, columns) ** 0.5 * rate
        for weight, direction in zip(weights, update, strict=True):
            weight.sub_(direction.reshape(weight.shape), alpha=scale)
