"""A training run of or for the built-in UNet: its optimizers, its checkpoint, its options.

It stops at a given wall-clock time, can be stopped and resumed at any moment, and the learning rate
falls to zero towards its end.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import ModelMixin
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn

from tools.shapes.muon import Muon
from tools.shapes.workers import Workers

MUON_FACTOR = 1.5
CHECKPOINT = "checkpoint.pt"
# Not for Muon: the first and the last layers, and those that join a ControlNet to its network.
OUTER_LAYERS = ("conv_in", "conv_out", "controlnet_")


def is_inner_matrix(name: str, weight: Tensor) -> bool:
    """True for the weights that Muon trains: all but biases, norms and the outer layers."""
    return weight.ndim >= 2 and not name.startswith(OUTER_LAYERS)


def quick(network: ModelMixin) -> ModelMixin:
    """The network in the form that trains quickest on a CPU."""
    # In bf16 on a CPU the gradient of the fused attention is slower than plain products.
    network.set_attn_processor(AttnProcessor())
    return network.to(memory_format=torch.channels_last)


class Run:
    """The state of a training run: what a checkpoint holds, and how it is saved and resumed.

    Each process orthogonalizes its share of the matrices and then hands it to the others. Muon's
    momentum is not kept in the checkpoint: twenty steps make it anew.
    """

    def __init__(self, workers: Workers, network: ModelMixin) -> None:
        self.workers = workers
        self.network = quick(network)
        self.average = copy.deepcopy(self.network)
        trained = {n: w for n, w in self.network.named_parameters() if w.requires_grad}
        self.parameters: list[Tensor] = list(trained.values())
        averaged = dict(self.average.requires_grad_(False).named_parameters())
        self.averaged = [averaged[name] for name in trained]
        matrices = [w for name, w in trained.items() if is_inner_matrix(name, w)]
        taken = {id(w) for w in matrices}
        others = [w for w in self.parameters if id(w) not in taken]
        matrices.sort(key=lambda w: tuple(w.shape))
        self.parts = [matrices[rank :: workers.count] for rank in range(workers.count)]
        self.muon = Muon(self.parts[workers.rank])
        # As a group: a LoRA has nothing for this one.
        rest: list[dict[str, Any]] = [{"params": others}]
        self.adam = torch.optim.AdamW(rest, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
        self.step = 0
        self.started = time.time()

    def update(self) -> None:
        """One step of both optimizers, and of the averaged weights that are shipped."""
        self.adam.step()
        self.muon.step()
        for rank, part in enumerate(self.parts):
            self.workers.share(part, rank)
        self.step += 1
        keep = min(0.999, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self.averaged, self.parameters, 1 - keep)

    def save(self, path: Path) -> None:
        """Writes the checkpoint in one move, so that a stop leaves the old one or the new one."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "adam": self.adam.state_dict(),
            "step": self.step,
            "started": self.started,
        }
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)

    def start_from(self, path: Path) -> None:
        """Takes the averaged weights of another run; further input channels start at zero."""
        weights = torch.load(path, weights_only=True)["average"]
        missing = self.network.config.in_channels - weights["conv_in.weight"].shape[1]
        weights["conv_in.weight"] = nn.functional.pad(
            weights["conv_in.weight"], (0, 0, 0, 0, 0, missing)
        )
        self.network.load_state_dict(weights)
        self.average.load_state_dict(weights)

    def resume(self, path: Path) -> None:
        """Goes on from a checkpoint."""
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.adam.load_state_dict(state["adam"])
        self.step, self.started = state["step"], state["started"]


def set_rates(run: Run, peak: float, progress: float) -> None:
    """Warm-up, level, then linear to zero over the last 45 % of the time."""
    rate = peak * min(1.0, (run.step + 1) / 100, max(0.0, (1 - progress) / 0.45))
    run.adam.param_groups[0]["lr"] = rate
    run.muon.param_groups[0]["lr"] = MUON_FACTOR * rate


def train_until(run: Run, options: argparse.Namespace, loss_of_step: Callable[[], Tensor]) -> None:
    """Trains until `options.until`; every two minutes a checkpoint goes to `options.work`."""
    workers, checkpoint = run.workers, options.work / CHECKPOINT
    mean, progress, saved = 0.0, 0.0, time.time()
    while progress < 1:
        set_rates(run, options.rate, progress)
        loss = loss_of_step()
        run.network.zero_grad()
        loss.backward()
        now = (time.time() - run.started) / (options.until - run.started)
        progress = workers.average(run.parameters, now)
        nn.utils.clip_grad_norm_(run.parameters, 1.0)
        run.update()
        mean = float(loss.detach()) if mean == 0 else 0.98 * mean + 0.02 * float(loss.detach())
        if workers.leads and run.step % 50 == 0:
            clock = time.strftime("%H:%M:%S")
            print(f"{clock} step {run.step} {progress:.1%} loss {mean:.4f}", flush=True)
        if workers.leads and time.time() - saved > 120:
            run.save(checkpoint)
            saved = time.time()
    if workers.leads:
        run.save(checkpoint)
        print(f"done at step {run.step}")


def seed_of_run(run: Run, options: argparse.Namespace) -> tuple[int, int, int]:
    """A seed for each process and each resumption; torch's own generator starts from it."""
    seed = (options.seed, run.step, run.workers.rank)
    torch.manual_seed(hash(seed))
    return seed


def start_run(
    options: argparse.Namespace, network: ModelMixin, weights_of: Path | None = None
) -> Run:
    """A run that goes on from the checkpoint in `options.work`, or begins there.

    It begins with the averaged weights of the checkpoint `weights_of`, else with the network's own.
    """
    options.work.mkdir(parents=True, exist_ok=True)
    run, checkpoint = Run(Workers(), network), options.work / CHECKPOINT
    if checkpoint.exists():
        run.resume(checkpoint)
    elif weights_of:
        run.start_from(weights_of)
    return run


def clock_time(text: str) -> float:
    """The next moment at which the clock shows HH:MM."""
    hour, minute = (int(part) for part in text.split(":"))
    now = time.localtime()
    ahead = (hour - now.tm_hour) * 3600 + (minute - now.tm_min) * 60 - now.tm_sec
    return time.time() + ahead % 86400


def options_of_run(description: str | None, rate: float) -> argparse.ArgumentParser:
    """The options that all trainings of or for the UNet have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--until", type=clock_time, required=True, help="HH:MM, when to end")
    parser.add_argument("--rate", type=float, default=rate, help="highest learning rate")
    parser.add_argument("--batch", type=int, default=16, help="pictures a step and process")
    parser.add_argument("--pool", type=int, default=8000, help="scenes kept, a process")
    parser.add_argument("--first", type=int, default=1000, help="scenes drawn before step one")
    parser.add_argument("--fresh", type=int, default=3, help="new scenes a step and process")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def options_of_adapter(description: str | None, rate: float) -> argparse.Namespace:
    """The options of the training of an adapter, from the command line."""
    parser = options_of_run(description, rate)
    parser.add_argument("--model", type=Path, required=True, help="folder of the built-in model")
    return parser.parse_args()
