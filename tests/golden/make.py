#!/usr/bin/env python3
"""Makes the fixtures of tests/architectures: tiny seeded models of every architecture, with the hidden states that the
`transformers` library computes for them; and those of tests/heads, of which heads.py says more.

    python3 -m venv venv
    venv/bin/pip install -r tests/golden/requirements.txt
    venv/bin/python tests/golden/make.py

Needs no network but for the installation, no GPU, and a few seconds. Every model becomes a folder beside this script:

    config.json         as `save_pretrained` writes it
    model.safetensors   weights, under the names of the variant (prefix, gamma and beta, heads, buffers)
    golden.safetensors  ids.N, types.N (if the architecture has them) and states.N of sequence N: the last hidden states in f64
                        arithmetic, stored as f32; pooled.N where there is a pooler

The weights are seeded, and rounded to the type they are stored in before anything is computed. What was installed when the fixtures
were made stands in the metadata of every golden.safetensors and in requirements.txt. Other versions may draw other random numbers:
then all files change together, and the tests must still pass.
"""

import math
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from transformers import (
    BertConfig, BertForPreTraining, BertModel, CamembertConfig, CamembertForSequenceClassification, DistilBertConfig,
    DistilBertForMaskedLM, DistilBertModel, ElectraConfig, ElectraForPreTraining, ElectraModel, RobertaConfig,
    RobertaForMaskedLM, XLMRobertaConfig, XLMRobertaModel,
)

import heads

HERE = Path(__file__).resolve().parent
VOCAB = 48
POSITIONS = 24


def sizes(hidden, heads, inner, **more):
    return dict(vocab_size=VOCAB, max_position_embeddings=POSITIONS, hidden_size=hidden, num_attention_heads=heads,
                num_hidden_layers=2, intermediate_size=inner, **more)


def distil(hidden, heads, inner, **more):
    return dict(vocab_size=VOCAB, max_position_embeddings=POSITIONS, dim=hidden, n_heads=heads, n_layers=2,
                hidden_dim=inner, **more)


# name, class, configuration, storage type, what becomes of the names
VARIANTS = [
    # Heads of 32, erf GELU, a bare encoder with a pooler.
    ("bert", BertModel, BertConfig(**sizes(64, 2, 64)), torch.float16, {}),
    # Heads of 26, GELU in its first tanh spelling, an old checkpoint: `bert.`, gamma and beta, two heads, a buffer.
    ("bert-old", BertForPreTraining, BertConfig(**sizes(52, 2, 60, hidden_act="gelu_new")), torch.bfloat16,
     {"gamma": True, "buffer": "bert.embeddings.position_ids"}),
    # Sinusoidal positions, which are a table like any other.
    ("distilbert", DistilBertForMaskedLM, DistilBertConfig(**distil(52, 2, 64, sinusoidal_pos_embds=True)), torch.float16, {}),
    ("distilbert-relu", DistilBertModel, DistilBertConfig(**distil(32, 2, 48, activation="relu")), torch.float32, {}),
    # A head of 64, no pooler, positions from row 2.
    ("roberta", RobertaForMaskedLM, RobertaConfig(**sizes(64, 1, 64, type_vocab_size=1, pad_token_id=1)), torch.float16,
     {"buffer": "roberta.embeddings.position_ids"}),
    ("xlm-roberta", XLMRobertaModel,
     XLMRobertaConfig(**sizes(32, 2, 48, type_vocab_size=1, pad_token_id=1, layer_norm_eps=1e-5)), torch.float32, {}),
    # A classification head, and a padding index that is not 1.
    ("camembert", CamembertForSequenceClassification,
     CamembertConfig(**sizes(32, 1, 48, type_vocab_size=1, pad_token_id=5, hidden_act="gelu_pytorch_tanh")),
     torch.float32, {}),
    # Embeddings of 20 features, projected to 52.
    ("electra", ElectraForPreTraining, ElectraConfig(**sizes(52, 2, 64, embedding_size=20)), torch.float16, {}),
    ("electra-relu", ElectraModel, ElectraConfig(**sizes(32, 2, 48, embedding_size=32, hidden_act="relu")), torch.float32,
     {"prefix": "model."}),
]


def randomise(model, dtype, generator):
    """Outputs as large as inputs, scales about 1, and values that `dtype` holds."""
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if "LayerNorm.weight" in name or "layer_norm.weight" in name:
            values = 1 + 0.1 * noise
        elif "_embeddings." in name:
            # Sinusoidal tables are a matter of how training starts; these are trained ones.
            values = 0.3 * noise
        elif parameter.dim() == 2:
            values = noise / math.sqrt(parameter.shape[1])
        else:
            values = 0.1 * noise
        parameter.data = values.to(dtype).float()


def stored(model, dtype, names):
    """The state as it is stored: each tensor once, under the names of the variant."""
    tensors, seen = {}, set()
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() in seen or name.endswith("_ids"):
            continue  # tied weights; buffers
        seen.add(tensor.data_ptr())
        if names.get("gamma"):
            name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        tensors[names.get("prefix", "") + name] = tensor.to(dtype).contiguous()
    if "buffer" in names:
        tensors[names["buffer"]] = torch.arange(POSITIONS).unsqueeze(0)
    return tensors


def sequences(config, generator):
    """Token ids of some lengths up to the model's limit; none is the padding, which no sequence holds."""
    offset = config.pad_token_id + 1 if config.model_type in ("roberta", "xlm-roberta", "camembert") else 0
    allowed = torch.tensor([i for i in range(VOCAB) if i != config.pad_token_id])
    for length in (1, 6, POSITIONS - offset):
        yield allowed[torch.randint(len(allowed), (length,), generator=generator)]


def golden(encoder, generator):
    tensors = {}
    config = encoder.config
    for n, ids in enumerate(sequences(config, generator)):
        inputs = {"input_ids": ids.unsqueeze(0), "attention_mask": torch.ones(1, len(ids), dtype=torch.long)}
        if config.model_type != "distilbert":
            types = torch.arange(len(ids)) * config.type_vocab_size // len(ids)  # the first half 0, the second 1
            inputs["token_type_ids"] = types.unsqueeze(0)
            tensors[f"types.{n}"] = types
        with torch.no_grad():
            output = encoder(**inputs)
        tensors[f"ids.{n}"] = ids
        tensors[f"states.{n}"] = output.last_hidden_state[0].float().contiguous()
        if getattr(output, "pooler_output", None) is not None:
            tensors[f"pooled.{n}"] = output.pooler_output[0].float().contiguous()
    return tensors


def main():
    # One key: the order of several is not the same in every run.
    versions = {"made_with": f"torch {torch.__version__.split('+')[0]}, transformers {transformers.__version__}"}
    for seed, (name, model_class, config, dtype, names) in enumerate(VARIANTS):
        folder = HERE / name
        folder.mkdir(exist_ok=True)
        generator = torch.Generator().manual_seed(1000 + seed)
        config._attn_implementation = "eager"
        model = model_class(config).eval()
        randomise(model, dtype, generator)
        config.architectures = [model_class.__name__]
        config.save_pretrained(folder)
        save_file(stored(model, dtype, names), folder / "model.safetensors", metadata={"format": "pt"})
        encoder = getattr(model, model.base_model_prefix, model).double()
        expected = golden(encoder, generator)
        save_file(expected, folder / "golden.safetensors", metadata=versions)
        bytes_ = sum(file.stat().st_size for file in folder.iterdir())
        print(f"{name:<16} {bytes_ / 1000:6.1f} kB")
    heads.main(HERE, randomise, stored, versions)


if __name__ == "__main__":
    main()
