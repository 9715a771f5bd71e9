"""Copies a bundle as a checkpoint that other servers read as the bundle says: 256 tokens, a sigmoid for each label.

    python3 checkpoint.py models/bedside-minilm /tmp/checkpoint
"""

import json
import shutil
import sys
import tomllib
from pathlib import Path


def copy_checkpoint(bundle: Path, to: Path) -> None:
    """Fills the folder `to`, which it makes."""
    window_tokens = tomllib.loads((bundle / "bundle.toml").read_text())["window_tokens"]
    to.mkdir(parents=True)
    for name in ("model.safetensors", "tokenizer.json"):
        shutil.copy(bundle / name, to)

    config = json.loads((bundle / "config.json").read_text())
    # Makes pipelines of transformers apply a sigmoid to each label instead of one softmax over all of them. The weights
    # are stored in f16, which most processors do not compute in.
    config |= {"problem_type": "multi_label_classification", "torch_dtype": "float32"}
    write(to / "config.json", config)

    # Where transformers looks for the limit, and where text-embeddings-inference does.
    write(to / "tokenizer_config.json", {"tokenizer_class": "BertTokenizerFast", "model_max_length": window_tokens})
    write(to / "sentence_bert_config.json", {"max_seq_length": window_tokens, "do_lower_case": False})


def write(file: Path, content: dict) -> None:
    file.write_text(json.dumps(content, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    copy_checkpoint(Path(sys.argv[1]), Path(sys.argv[2]))
