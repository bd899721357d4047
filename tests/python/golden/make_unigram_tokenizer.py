"""Writes tests/cpp/golden/unigram_tokenizer/: a small T5 vocabulary and what Hugging Face makes of
texts with it.

Made with sentencepiece 0.2.3, tokenizers 0.23.3 and transformers 5.23.0:
    PYTHONPATH=tests/python python -m golden.make_unigram_tokenizer
"""

from __future__ import annotations

import io
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import sentencepiece
from golden.clip_tokenizer_texts import WORDS, texts
from transformers import T5Tokenizer

TARGET = Path(__file__).parents[2] / "cpp" / "golden" / "unigram_tokenizer"
EXTRA_IDS = 3

# A normalisation table of a few rules instead of the 240 KB of NFKC: two characters to one, one to
# two, to nothing, to a space.
RULES = {"e\u0301": "\u00e9", "\ufb01": "fi", "\u00ad": "", "\u3000": " ", "\u2460": "1"}


def train(folder: Path, **options: Any) -> None:
    """Writes spiece.model and tokenizer_config.json, learnt from `WORDS`."""
    model = io.BytesIO()
    corpus = [" ".join(WORDS[i % len(WORDS) : i % len(WORDS) + 9]) for i in range(400)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus),
        model_writer=model,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        hard_vocab_limit=False,
        minloglevel=2,
        num_threads=1,
        **{"vocab_size": 260, "model_type": "unigram"} | options,
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spiece.model").write_bytes(model.getvalue())
    config = {"tokenizer_class": "T5Tokenizer", "extra_ids": EXTRA_IDS}
    (folder / "tokenizer_config.json").write_text(json.dumps(config) + "\n")


def write_rules(path: Path) -> None:
    """`RULES` as sentencepiece reads them: code points in hexadecimal, tabs between."""
    lines = [
        "\t".join(" ".join(f"{ord(c):04X}" for c in side) for side in rule)
        for rule in RULES.items()
    ]
    path.write_text("\n".join(lines) + "\n")


def golden_rows(folder: Path) -> list[dict[str, Any]]:
    """Ids, text of the ids, and the row of 12, of each text."""
    tokenizer = T5Tokenizer.from_pretrained(folder)
    rows = []
    for text in [*texts(160), *("".join(rule) for rule in RULES.items()), "x<extra_id_2> y</s>z"]:
        ids = tokenizer(text, add_special_tokens=False).input_ids
        row = tokenizer(text, padding="max_length", max_length=12, truncation=True).input_ids
        utf8 = text.encode().hex()
        rows.append({"utf8": utf8, "ids": ids, "text": tokenizer.decode(ids), "row": row})
    return rows


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_rules(folder / "rules.tsv")
        train(folder, normalization_rule_tsv=str(folder / "rules.tsv"))
        T5Tokenizer.from_pretrained(folder).save_pretrained(folder / "saved")
        TARGET.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "spiece.model", TARGET)
        shutil.copy(folder / "tokenizer_config.json", TARGET)
        shutil.copy(folder / "saved" / "tokenizer.json", TARGET)
    lines = [json.dumps(row) for row in golden_rows(TARGET)]
    (TARGET / "golden.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
