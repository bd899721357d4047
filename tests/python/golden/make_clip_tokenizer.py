"""Writes tests/cpp/golden/clip_tokenizer/: a small vocabulary and what Hugging Face makes of texts.

Made with tokenizers 0.23.3 and transformers 5.23.0:
    PYTHONPATH=tests/python python -m golden.make_clip_tokenizer tests/cpp/golden/clip_tokenizer
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from golden.clip_tokenizer_texts import HAND_WRITTEN, WORDS, texts
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
# A byte that the small vocabulary lacks, so that unknown tokens occur: "%".
UNKNOWN_BYTE = "%"


def train(folder: Path, merge_count: int = 250) -> None:
    """Writes vocab.json and merges.txt of a byte-level vocabulary learnt from `WORDS`."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(set(pre_tokenizers.ByteLevel.alphabet()) - {UNKNOWN_BYTE})
    size = 2 * len(alphabet) + merge_count
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    tokenizer.train_from_iterator([word.lower() for word in WORDS for _ in range(3)], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merges = [tuple(rule) for rule in model["merges"]]
    merged = {left + right for left, right in merges}
    ends = [byte + "</w>" for byte in alphabet]
    tokens = [*alphabet, *ends, *sorted(merged - set(ends) - set(alphabet)), START, END]
    folder.mkdir(parents=True, exist_ok=True)
    ids = {token: index for index, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(ids))
    rules = "\n".join(f"{left} {right}" for left, right in merges)
    (folder / "merges.txt").write_text(f"#version: 0.2\n{rules}\n", encoding="utf-8")
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def golden_rows(folder: Path) -> list[dict[str, object]]:
    """Ids, text of the ids, and the truncated row, of each text."""
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    ill_formed = [
        b"\xc3",
        b"a\xffb",
        b"\xed\xa0\x80",
        b"\xf0\x9f\x98",
        b"\xe2\x82(\xac",
        b"\x80\xc0\xaf",
    ]
    inputs = [text.encode() for text in texts(len(HAND_WRITTEN) + 60)] + ill_formed
    rows: list[dict[str, object]] = []
    for utf8 in inputs:
        text = utf8.decode(errors="replace")
        ids = tokenizer(text, add_special_tokens=False).input_ids
        row = tokenizer(text, padding="max_length", truncation=True).input_ids
        rows.append({"utf8": utf8.hex(), "ids": ids, "text": tokenizer.decode(ids), "row": row})
    return rows


def main(target: Path) -> None:
    train(target)
    saved = target / "saved"
    CLIPTokenizer.from_pretrained(target).save_pretrained(saved)  # tokenizer.json alone
    for name in ["tokenizer_config.json", "tokenizer.json"]:
        assert (saved / name).exists()
    padded = target / "pad_with_exclamation_mark"
    padded.mkdir(exist_ok=True)
    for name in ["vocab.json", "merges.txt"]:
        shutil.copy(target / name, padded / name)
    end = {"content": END, "normalized": True, "single_word": False, "__type": "AddedToken"}
    config = {"pad_token": "!", "eos_token": end, "unk_token": end, "model_max_length": 20}
    (padded / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    for folder in [target, padded]:
        lines = [json.dumps(row) for row in golden_rows(folder)]
        (folder / "golden.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
