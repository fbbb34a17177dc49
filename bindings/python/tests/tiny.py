"""Tiny models with known answers: the embedding of a token is a row of a Hadamard matrix, the layers add little to it, and heads are made of the same rows.

With ``mix`` the first token sees the mean of all tokens, which heads for whole texts read.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*"a the on in sat ran cat dog mat rug ada paris good bad fine poor . , ? é".split(), "日", "本", "🙂"]
HIDDEN = 64
POSITIONS = 64
VOCAB = {token: index for index, token in enumerate(SPECIALS + WORDS)}


def hadamard(size: int) -> Any:
    rows = np.ones((1, 1), np.float32)
    while len(rows) < size:
        rows = np.block([[rows, rows], [rows, -rows]])
    return rows


EMBEDDINGS = hadamard(HIDDEN)[1 : len(VOCAB) + 1]


def encoder(mix: bool) -> dict[str, Any]:
    random = np.random.default_rng(1)
    tensors: dict[str, Any] = {}

    def noise(*shape: int) -> Any:
        return (random.standard_normal(shape) * 0.02 / 8).astype(np.float32)

    def linear(name: str, base: Any = 0) -> None:
        tensors[name + ".weight"] = noise(HIDDEN, HIDDEN) + np.float32(1) * base
        tensors[name + ".bias"] = np.zeros(HIDDEN, np.float32)

    def norm(name: str) -> None:
        tensors[name + ".weight"], tensors[name + ".bias"] = np.ones(HIDDEN, np.float32), np.zeros(HIDDEN, np.float32)

    eye = np.eye(HIDDEN, dtype=np.float32)
    tensors["embeddings.word_embeddings.weight"] = EMBEDDINGS
    tensors["embeddings.position_embeddings.weight"] = noise(POSITIONS, HIDDEN)
    tensors["embeddings.token_type_embeddings.weight"] = noise(2, HIDDEN)
    norm("embeddings.LayerNorm")
    layer = "encoder.layer.0."
    linear(layer + "attention.self.query")
    linear(layer + "attention.self.key")
    linear(layer + "attention.self.value", 2 * eye if mix else 0)
    linear(layer + "attention.output.dense", 2 * eye if mix else 0)
    norm(layer + "attention.output.LayerNorm")
    linear(layer + "intermediate.dense")
    linear(layer + "output.dense")
    norm(layer + "output.LayerNorm")
    return tensors


def detector(groups: list[list[str]], strength: float) -> Any:
    """A linear layer whose output n is large for the tokens of group n."""
    weight = np.zeros((len(groups), HIDDEN), np.float32)
    for n, tokens in enumerate(groups):
        for token in tokens:
            weight[n] += EMBEDDINGS[VOCAB[token]] * strength / HIDDEN
    return weight


def tokenizer() -> dict[str, Any]:
    special = [
        {"id": VOCAB[t], "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        for t in SPECIALS
    ]

    def token(name: str, kind: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": name, "type_id": kind}}

    def text(name: str, kind: int) -> dict[str, Any]:
        return {"Sequence": {"id": name, "type_id": kind}}

    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": False, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [token("[CLS]", 0), text("A", 0), token("[SEP]", 0)],
            "pair": [token("[CLS]", 0), text("A", 0), token("[SEP]", 0), text("B", 1), token("[SEP]", 1)],
            "special_tokens": {t: {"id": t, "ids": [VOCAB[t]], "tokens": [t]} for t in ("[CLS]", "[SEP]")},
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": VOCAB,
        },
    }


def write(folder: Path, architecture: str, head: dict[str, Any], mix: bool = False, **config: Any) -> Path:
    """A model folder as the hub has it."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"bert.{name}": value for name, value in encoder(mix).items()} | head
    settings = {
        "architectures": [architecture],
        "model_type": "bert",
        "vocab_size": len(VOCAB),
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 2,
        "hidden_size": HIDDEN,
        "intermediate_size": HIDDEN,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        **config,
    }
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer()))
    tokenizer_config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": POSITIONS}
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    # As tokenizers of BERT have it. Without it transformers gives its models no token types.
    inputs = {"model_input_names": ["input_ids", "token_type_ids", "attention_mask"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config | names | inputs))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, value in tensors.items():
        raw = np.ascontiguousarray(value, np.float32).tobytes()
        header[name] = {"dtype": "F32", "shape": list(np.shape(value)), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    head_bytes = json.dumps(header).encode()
    head_bytes += b" " * (-len(head_bytes) % 8)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(head_bytes)) + head_bytes + data)
    return folder


def labels(names: list[str]) -> dict[str, Any]:
    return {
        "id2label": {str(index): name for index, name in enumerate(names)},
        "label2id": {name: index for index, name in enumerate(names)},
    }


def pooler() -> dict[str, Any]:
    return {"bert.pooler.dense.weight": np.eye(HIDDEN, dtype=np.float32), "bert.pooler.dense.bias": np.zeros(HIDDEN, np.float32)}


def classifier(folder: Path) -> Path:
    """Good or bad, by the words of a text."""
    head = pooler() | {
        "classifier.weight": detector([["bad", "poor"], ["good", "fine"]], 20),
        "classifier.bias": np.zeros(2, np.float32),
    }
    return write(folder, "BertForSequenceClassification", head, mix=True, **labels(["NEGATIVE", "POSITIVE"]))


def reranker(folder: Path) -> Path:
    """A pair is relevant if it has a cat in it."""
    head = pooler() | {"classifier.weight": detector([["cat"]], 20), "classifier.bias": np.zeros(1, np.float32)}
    return write(folder, "BertForSequenceClassification", head, mix=True, **labels(["LABEL_0"]))


def tagger(folder: Path) -> Path:
    """People and places; "日本" is a place of two tokens."""
    weight = detector([[], ["ada"], ["paris", "日"], ["本"]], 12)
    head = {"classifier.weight": weight, "classifier.bias": np.array([6, 0, 0, 0], np.float32)}
    return write(folder, "BertForTokenClassification", head, **labels(["O", "B-PER", "B-LOC", "I-LOC"]))


def answerer(folder: Path) -> Path:
    """Answers start at "on" or "in" and end at "mat", "rug" or "paris"."""
    head = {"qa_outputs.weight": detector([["on", "in"], ["mat", "rug", "paris"]], 12), "qa_outputs.bias": np.zeros(2, np.float32)}
    return write(folder, "BertForQuestionAnswering", head)


def filler(folder: Path) -> Path:
    """A mask is a cat, and less probably a dog, a mat, a rug, "ran" or "a"."""
    transform = np.eye(HIDDEN, dtype=np.float32)
    bias = np.zeros(len(VOCAB), np.float32)
    for place, word in enumerate(["cat", "dog", "mat", "rug", "ran", "a"]):
        bias[VOCAB[word]] = 200 - 2 * place
    head = {
        "cls.predictions.transform.dense.weight": transform,
        "cls.predictions.transform.dense.bias": np.zeros(HIDDEN, np.float32),
        "cls.predictions.transform.LayerNorm.weight": np.ones(HIDDEN, np.float32),
        "cls.predictions.transform.LayerNorm.bias": np.zeros(HIDDEN, np.float32),
        "cls.predictions.bias": bias,
        "cls.predictions.decoder.weight": EMBEDDINGS,
    }
    return write(folder, "BertForMaskedLM", head, tie_word_embeddings=True)
