"""BERT in f64 with NumPy: what the tests of float32 compare with. It shares no code with the library."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np


class Bert:
    """A model folder of ``tiny``."""

    def __init__(self, folder: Path) -> None:
        self.config = json.loads((folder / "config.json").read_text())
        raw = (folder / "model.safetensors").read_bytes()
        (length,) = struct.unpack("<Q", raw[:8])
        self.tensors: dict[str, Any] = {}
        for name, tensor in json.loads(raw[8 : 8 + length]).items():
            if name != "__metadata__":
                start, end = (8 + length + offset for offset in tensor["data_offsets"])
                values = np.frombuffer(raw[start:end], np.float32).astype(np.float64)
                self.tensors[name.removeprefix("bert.")] = values.reshape(tensor["shape"])

    def states(self, ids: Any, types: Any) -> Any:
        """The hidden states of one sequence."""
        tables = "embeddings.{}_embeddings.weight"
        x = self.tensors[tables.format("word")][ids] + self.tensors[tables.format("token_type")][types]
        x = self.norm("embeddings.LayerNorm", x + self.tensors[tables.format("position")][: len(ids)])
        for layer in range(self.config["num_hidden_layers"]):
            name = f"encoder.layer.{layer}."
            x = self.norm(name + "attention.output.LayerNorm", x + self.linear(name + "attention.output.dense", self.attend(name, x)))
            inner = self.linear(name + "intermediate.dense", x)
            inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
            x = self.norm(name + "output.LayerNorm", x + self.linear(name + "output.dense", inner))
        return x

    def attend(self, name: str, x: Any) -> Any:
        heads = self.config["num_attention_heads"]
        q, k, v = (
            np.stack(np.split(self.linear(f"{name}attention.self.{part}", x), heads, axis=1)) for part in ("query", "key", "value")
        )
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[2])
        weights = np.exp(scores - scores.max(axis=2, keepdims=True))
        return np.concatenate(list(weights / weights.sum(axis=2, keepdims=True) @ v), axis=1)

    def logits(self, ids: Any, types: Any) -> Any:
        """Of a sequence classification."""
        return self.linear("classifier", np.tanh(self.linear("pooler.dense", self.states(ids, types)[0])))

    def linear(self, name: str, x: Any) -> Any:
        return x @ self.tensors[name + ".weight"].T + self.tensors[name + ".bias"]

    def norm(self, name: str, x: Any) -> Any:
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + self.config["layer_norm_eps"])
        return x * self.tensors[name + ".weight"] + self.tensors[name + ".bias"]
