"""Teaches the text encoder to read captions before it meets the UNet: minutes instead of hours.

A head with one query a place (centre, left, right, top, bottom, upper and lower background) looks
at the token features by cross-attention, as the UNet will, and names what the caption puts there.
The head is thrown away. Without this the UNet and the text encoder need thousands of expensive
steps to find out together which colour belongs to which shape.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from tools.shapes.scenes import COLOURS, SHAPES, SIZES, Scene, caption, sample_scene
from tools.shapes.tokenizer import MAX_TOKENS, build_tokenizer, tokenize
from tools.shapes.workers import Workers

TEXT_WIDTH = 128
PLACES = ("centre", "left", "right", "top", "bottom", "upper", "lower")
FIRST_PLACE = {"left of": "left", "right of": "right", "above": "top", "below": "bottom"}
OPPOSITE = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}
# Each question has one more answer than names: "nothing here".
QUESTIONS: dict[str, tuple[str, ...]] = {
    "colour": tuple(COLOURS),
    "shape": SHAPES,
    "size": SIZES,
}
CAPTION_TOKENS = 32  # no caption is longer; training on fewer pad tokens is quicker


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """A CLIP text encoder of 3 layers x 128."""
    encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=4 * TEXT_WIDTH,
            projection_dim=TEXT_WIDTH,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    # In bf16 on a CPU the gradient of the fused attention is slower than plain products.
    encoder.set_attn_implementation("eager")
    return encoder


class Reader(nn.Module):
    """Token features [N, T, 128] to answers {question: logits [N, places, names + 1]}."""

    def __init__(self) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(len(PLACES), TEXT_WIDTH))
        self.attention = nn.MultiheadAttention(TEXT_WIDTH, 4, batch_first=True)
        self.heads = nn.ModuleDict(
            {name: nn.Linear(TEXT_WIDTH, len(names) + 1) for name, names in QUESTIONS.items()}
        )

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Answers every question about every place."""
        queries = self.queries.expand(len(features), -1, -1)
        read, _ = self.attention(queries, features, features, need_weights=False)
        return {name: head(read) for name, head in self.heads.items()}


def answers(scene: Scene) -> dict[str, list[int]]:
    """The right answer (an index) to each question about each place."""
    right = {name: [len(names)] * len(PLACES) for name, names in QUESTIONS.items()}
    first = "centre" if scene.relation is None else FIRST_PLACE[scene.relation]
    for thing, place in zip(scene.things, (first, OPPOSITE.get(first, "")), strict=False):
        for name, value in (("colour", thing.colour), ("shape", thing.shape), ("size", thing.size)):
            right[name][PLACES.index(place)] = QUESTIONS[name].index(value)
    for place, colour in (("upper", scene.background[0]), ("lower", scene.background[-1])):
        right["colour"][PLACES.index(place)] = QUESTIONS["colour"].index(colour)
    return right


def text_batch(
    rng: np.random.Generator, tokenizer: CLIPTokenizer, count: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """Tokens [N, 32] and answers {question: [N, places]}."""
    scenes = [sample_scene(rng, 2 if rng.random() < 0.8 else 1) for _ in range(count)]
    tokens = tokenize(tokenizer, [caption(scene, rng) for scene in scenes])[:, :CAPTION_TOKENS]
    found = [answers(scene) for scene in scenes]
    return tokens, {name: torch.tensor([a[name] for a in found]) for name in QUESTIONS}


def train(out: Path, minutes: float, batch: int) -> None:
    """Trains encoder and reader together for the given time and saves the encoder."""
    workers = Workers()
    torch.manual_seed(0)
    tokenizer, rng = build_tokenizer(), np.random.default_rng((11, workers.rank))
    encoder, reader = build_text_encoder(tokenizer).train(), Reader()
    parameters = [*encoder.parameters(), *reader.parameters()]
    optimizer = torch.optim.AdamW(parameters, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    start, step, done = time.time(), 0, 0.0
    while done < 1:
        optimizer.param_groups[0]["lr"] = 1.5e-3 * min((step + 1) / 100, 1.6 * (1 - done), 1)
        tokens, right = text_batch(rng, tokenizer, batch)
        with torch.autocast("cpu", torch.bfloat16):
            given = reader(encoder(tokens).last_hidden_state)
        losses = [
            nn.functional.cross_entropy(given[name].float().flatten(0, 1), right[name].flatten())
            for name in QUESTIONS
        ]
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        done = workers.average(parameters, (time.time() - start) / (60 * minutes))
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        step += 1
        if workers.leads and step % 50 == 0:
            hits = torch.stack([(given[n].argmax(-1) == right[n]).all(1) for n in QUESTIONS])
            share = hits.all(0).float().mean()
            print(
                f"text step {step} {done:.0%} loss {sum(losses):.3f} right {share:.0%}", flush=True
            )
    if workers.leads:
        with torch.no_grad():
            # The pad tokens beyond every caption start out like the last one that was trained.
            weight = encoder.embeddings.position_embedding.weight
            weight[CAPTION_TOKENS:] = weight[CAPTION_TOKENS - 1]
        encoder.save_pretrained(out)


def main() -> None:
    """Trains the text encoder alone and saves it as a transformers folder."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--batch", type=int, default=64, help="captions a step and process")
    options = parser.parse_args()
    train(options.out, options.minutes, options.batch)


if __name__ == "__main__":
    main()
