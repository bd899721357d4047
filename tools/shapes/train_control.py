"""Trains the built-in ControlNet: edges, as `sdrbee preprocess canny` gives them, to a picture.

It starts as a copy of the encoder of the built-in UNet, which stays as it is. Colours are not in
the edges; they still come from the text.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import numpy as np
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from numpy.typing import NDArray
from torch import Tensor

from sdrbee.preprocess.table import own_preprocessors
from tools.shapes.draw import draw_all
from tools.shapes.run import options_of_adapter, quick, start_run, train_until
from tools.shapes.scenes import PICTURE_SIZE, Scene
from tools.shapes.train_unet import Pool, learn_from

RATE = 1e-3
EDGE_WIDTHS = (16, 32, 64, 96)  # of the convolutions that bring the edges to the latents' size


def find_edges(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The edges [128, 128] of a picture, by the settings that `sdrbee preprocess canny` has."""
    canny = own_preprocessors()["canny"]
    return canny.function(picture, **canny.settings_of({}))


def build_control(unet: UNet2DConditionModel) -> ControlNetModel:
    """A ControlNet that changes nothing yet."""
    return ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=EDGE_WIDTHS)


class EdgePool(Pool):
    """Scenes with their edges [size, 1, 128, 128], 0 or 255."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        size = (len(self.latents), 1, PICTURE_SIZE, PICTURE_SIZE)
        self.edges = torch.empty(size, dtype=torch.uint8)

    def keep(self, places: Tensor, scenes: list[Scene]) -> None:
        """Puts the scenes' latents and edges into these places."""
        super().keep(places, scenes)
        edges = np.stack([find_edges(picture) for picture in draw_all(scenes)])
        self.edges[places] = torch.from_numpy(edges)[:, None]


def controlled(
    unet: UNet2DConditionModel,
    control: ControlNetModel,
    edges: Tensor,
    noisy: Tensor,
    timesteps: Tensor,
    features: Tensor,
) -> Any:
    """What the UNet says under control; `edges` are [N, 1, 128, 128], 0 or 255."""
    pictures = (edges.float() / 255).expand(-1, 3, -1, -1)
    pictures = pictures.contiguous(memory_format=torch.channels_last)
    down, middle = control(noisy, timesteps, features, controlnet_cond=pictures, return_dict=False)
    return unet(
        noisy,
        timesteps,
        features,
        down_block_additional_residuals=down,
        mid_block_additional_residual=middle,
    )


def train(options: argparse.Namespace) -> None:
    """Trains until `options.until`; a checkpoint in `options.work` is resumed."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel.from_pretrained(options.model / "unet", torch_dtype=torch.float32)
    unet = quick(unet.requires_grad_(False))
    run = start_run(options, build_control(unet).requires_grad_())
    model = options.model
    pool, diffusion = learn_from(EdgePool, run, options, model / "vae", model / "text_encoder")

    def loss_of_step() -> Tensor:
        pool.add(options.fresh)
        places = pool.places(options.batch)
        network = partial(controlled, unet, run.network, pool.edges[places])
        return diffusion.loss(network, *pool.batch(places))

    train_until(run, options, loss_of_step)


def main() -> None:
    """Trains a ControlNet for the built-in model until a given time of day."""
    train(options_of_adapter(main.__doc__, RATE))


if __name__ == "__main__":
    main()
