"""Writes tests/cpp/golden/bpe_tokenizer/: a small Qwen vocabulary and what Hugging Face makes of
texts with it.

Made with tokenizers 0.23.3 and transformers 5.23.0:
    PYTHONPATH=tests/python python -m golden.make_bpe_tokenizer
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from golden.clip_tokenizer_texts import WORDS, texts
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import Qwen2Tokenizer
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

TARGET = Path(__file__).parents[2] / "cpp" / "golden" / "bpe_tokenizer"
# Tokens of https://huggingface.co/Qwen/Qwen3-4B: special ones and, from <think> on, others.
MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_pad|>", "<think>", "</think>"]
SPECIAL = 4
CHAT = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)
# What tries the word pattern: white space, line breaks, and contractions in all letter cases.
PATTERN_TEXTS = [
    "a  b   c\t\td", "a\n\nb \n c\r\n\r\n  d  ", "  \n  \n  x", "x \u2028 y\u0085z", "\n", " \n ",
    "it's IT'S it'\u017f 'S'T'RE'Ve'M'Ll'D 'l 'r 'v 'x '", "a.b,c;!\n\n..\r\n.", " !? ?!x !?\n\n y",
    "   ", "1a2b33 \u0663\u0664 \u00bd \u2167x", "\u00a0a \u00a0 b", " \u0301a\u0301b",
    "cafe\u0301 \u212b \uac00\u1100\u1161", "<|im_start |> <|endoftext|>", "%a%%b%",
    "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
    "<|im_end|><|im_end|>x<think>y</think",
]  # fmt: skip


def train(folder: Path, merge_count: int = 250, missing: Collection[str] = ()) -> None:
    """Writes vocab.json, merges.txt and tokenizer_config.json, learnt from `WORDS`.

    `missing` are bytes, as the alphabet writes them, that the vocabulary lacks.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = sorted(set(pre_tokenizers.ByteLevel.alphabet()) - set(missing))
    size = len(alphabet) + merge_count
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, show_progress=False, special_tokens=[]
    )
    corpus = [" ".join(WORDS[i % len(WORDS) : i % len(WORDS) + 9]) for i in range(400)]
    if not missing:
        corpus += ["    \n\n\n!!!...???"] * 40
    tokenizer.train_from_iterator(corpus, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    rules = "\n".join(" ".join(rule) for rule in model["merges"])
    (folder / "merges.txt").write_text(f"#version: 0.2\n{rules}\n", encoding="utf-8")
    listed = {
        str(len(model["vocab"]) + i): {
            "content": mark,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": i < SPECIAL,
        }
        for i, mark in enumerate(MARKS)
    }
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "added_tokens_decoder": listed,
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": None,
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
        "model_max_length": 131072,
        "chat_template": CHAT,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def golden_rows(folder: Path) -> list[dict[str, Any]]:
    """Ids and text of the ids of each text."""
    tokenizer = Qwen2Tokenizer.from_pretrained(folder)
    rows = []
    for text in [*texts(140), *PATTERN_TEXTS]:
        ids = tokenizer(text).input_ids
        rows.append({"utf8": text.encode().hex(), "ids": ids, "text": tokenizer.decode(ids)})
    return rows


def main() -> None:
    train(TARGET)
    Qwen2Tokenizer.from_pretrained(TARGET).save_pretrained(TARGET / "saved")
    (TARGET / "saved" / "chat_template.jinja").unlink()
    lines = [json.dumps(row) for row in golden_rows(TARGET)]
    (TARGET / "golden.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
