"""What tiny models with a Qwen3 text encoder have in common."""

from __future__ import annotations

from typing import Any

import torch
from parity.reference import VOCABULARY
from transformers import Qwen2Tokenizer, Qwen3Config

QWEN_VOCABULARY = VOCABULARY.parent / "bpe_tokenizer"


def qwen_config(**changes: Any) -> Qwen3Config:
    """Few heads of keys, and heads wider than the network, as published ones have."""
    config: dict[str, Any] = {
        "vocab_size": 700,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
    }
    return Qwen3Config(**config | changes)


def qwen_tokenizer() -> Qwen2Tokenizer:
    return Qwen2Tokenizer.from_pretrained(QWEN_VOCABULARY)


def randomise_small(module: torch.nn.Module) -> None:
    """Fills what starts as zeros, or as ones."""
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        if parameter.dim() == 1 or parameter.shape[0] == 1:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data += 0.2 * noise
