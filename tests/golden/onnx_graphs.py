#!/usr/bin/env python3
"""Makes the fixtures of tests/onnx_read: tiny seeded encoders as ONNX graphs, and what ONNX Runtime computes with them.

    python3 -m venv venv
    venv/bin/pip install -r tests/golden/requirements.txt
    venv/bin/python tests/golden/onnx_graphs.py

Every graph becomes a folder in `onnx/`:

    config.json         as `save_pretrained` writes it
    model.onnx          by the exporter of torch; then as it is, quantised by ONNX Runtime, or rewritten here
    golden.safetensors  ids.N, types.N (if the graph has them), states.N: the last hidden state of sequence N by ONNX Runtime;
                        logits.N of graphs with a head. Of quantised graphs, per linear layer L.NAME: codes.L.NAME, s8 [M][K] less
                        their zero point; scale.L.NAME, f32 [M]; input.L.NAME, f32 [scale, zero point] where the file has them

Linear layers are found by the names of the nodes here, by data flow in Lacuna. Needs no network but for the installation.
"""

import copy
import math
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from safetensors.numpy import save_file
from transformers import (
    BertConfig, BertForMaskedLM, BertForQuestionAnswering, BertForSequenceClassification, BertModel, DistilBertConfig,
    DistilBertForTokenClassification, DistilBertModel, ElectraConfig, ElectraForSequenceClassification, ElectraModel,
    RobertaConfig, RobertaForSequenceClassification, RobertaModel,
)

warnings.filterwarnings("ignore")
HERE = Path(__file__).resolve().parent / "onnx"
VOCAB, POSITIONS = 48, 24
PARTS = {"query": "q", "key": "k", "value": "v", "q_lin": "q", "k_lin": "k", "v_lin": "v", "out_lin": "o", "lin1": "up",
         "lin2": "down"}


def sizes(hidden=32, heads=2, inner=48, layers=2, **more):
    return dict(vocab_size=VOCAB, max_position_embeddings=POSITIONS, hidden_size=hidden, num_attention_heads=heads,
                num_hidden_layers=layers, intermediate_size=inner, **more)


def distil(layers=2, **more):
    return dict(vocab_size=VOCAB, max_position_embeddings=POSITIONS, dim=32, n_heads=2, n_layers=layers, hidden_dim=48, **more)


def randomise(model, generator):
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if "LayerNorm.weight" in name or "layer_norm.weight" in name:
            parameter.data = 1 + 0.1 * noise
        elif "_embeddings." in name:
            parameter.data = 0.3 * noise
        elif parameter.dim() == 2:
            parameter.data = noise / math.sqrt(parameter.shape[1])
        else:
            parameter.data = 0.1 * noise


def sequences(config, generator, lengths):
    allowed = torch.tensor([i for i in range(VOCAB) if i != config.pad_token_id])
    for length in lengths:
        ids = allowed[torch.randint(len(allowed), (1, length), generator=generator)]
        types = torch.zeros_like(ids)
        if config.model_type in ("bert", "electra"):
            types[:, length // 2 + 1:] = 1
        yield ids, types


class Export(torch.nn.Module):
    def __init__(self, model, names):
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs):
        out = self.model(**dict(zip(self.names, inputs)), return_dict=True, output_hidden_states=True)
        head = [out[name] for name in ("logits", "start_logits", "end_logits", "pooler_output") if name in out]
        return (out.hidden_states[-1], *head)


def exported(model, opset):
    """The graph as an exporter makes it, with names for its first outputs."""
    model.eval()
    config = model.config
    names = ["input_ids", "attention_mask"] + ["token_type_ids"] * (config.model_type in ("bert", "electra"))
    ids = torch.randint(6, VOCAB, (2, 7), generator=torch.Generator().manual_seed(3))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    inputs = (ids, mask, torch.zeros_like(ids))[:len(names)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(Export(model, names), inputs, str(path), input_names=names, output_names=["states"],
                          dynamic_axes={name: {0: "batch", 1: "sequence"} for name in names + ["states"]},
                          opset_version=opset, dynamo=False)
        graph = onnx.load(str(path))
    for info in (*graph.graph.value_info, *graph.graph.node):
        info.ClearField("doc_string")
    return graph


def feed(graph, ids, types):
    given = {"input_ids": ids.numpy(), "attention_mask": np.ones(ids.shape, np.int64), "token_type_ids": types.numpy()}
    return {i.name: given[i.name] for i in graph.graph.input if i.name in given}


def session(graph):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(graph.SerializeToString(), options)


def rename(graph):
    """Shorter names: fixtures are committed."""
    def short(name):
        for old, new in (("/model/", "/"), ("_output_0", ""), ("/intermediate_act_fn", ""), ("onnx::", ""), ("model.", "")):
            name = name.replace(old, new)
        return name
    g = graph.graph
    for node in g.node:
        node.name = short(node.name)
        for names in (node.input, node.output):
            names[:] = [short(name) for name in names]
    for part in (*g.initializer, *g.output):
        part.name = short(part.name)
    del g.value_info[:]


def part_of(name):
    """Layer and linear layer by the name of a node; none for heads and attention."""
    pieces = name.replace("_quant", "").split("/")
    layer = next((p.split(".")[1] for p in pieces if p.startswith("layer.")), None)
    if layer is None:
        return None
    for piece in pieces:
        if piece in PARTS:
            return f"{layer}.{PARTS[piece]}"
    if "dense" in pieces:
        before = pieces[pieces.index("dense") - 1]
        return f"{layer}." + ("up" if before == "intermediate" else "o" if "attention" in pieces else "down")
    return None


def expected(graph):
    """Codes, scales and inputs of a quantised graph, by the names of nodes and initialisers."""
    constants = {i.name: numpy_helper.to_array(i) for i in graph.graph.initializer}
    makers = {output: node for node in graph.graph.node for output in node.output}
    tensors = {}

    def spread(scale, codes):
        return np.broadcast_to(scale.reshape(-1), (codes.shape[1],)).astype(np.float32)

    def take(part, codes, zero, scale, given=None):
        whole = codes.astype(np.int64) - zero.astype(np.int64).reshape(1, -1)
        if whole.min() < -128 or whole.max() > 127:
            tensors[f"inexact.{part}"] = np.array([whole.min(), whole.max()], np.int64)
        else:
            tensors[f"codes.{part}"] = np.ascontiguousarray(whole.T.astype(np.int8))
            tensors[f"scale.{part}"] = spread(scale, codes)
        if given is not None:
            scale, zero = given
            shift = 128 if zero.dtype == np.int8 else 0
            tensors[f"input.{part}"] = np.array([float(scale), float(zero) + shift], np.float32)

    for node in graph.graph.node:
        layer = next((p.split(".")[1] for p in node.name.split("/") if p.startswith("layer.")), None)
        if layer is not None and node.op_type in ("MatMul", "QLinearMatMul") and part_of(node.name) is None:
            # Products of attention, in the order they run: queries and keys, then weights and values.
            scores = f"attention.{layer}.q" not in tensors
            for i, name in enumerate("qk" if scores else "-v"):
                if node.op_type == "QLinearMatMul":
                    given = [constants[name] for name in node.input[3 * i + 1:3 * i + 3]]
                elif node.input[i] in makers and makers[node.input[i]].op_type == "DequantizeLinear":
                    given = [constants[name] for name in makers[node.input[i]].input[1:]]
                else:
                    continue
                shift = 128 if given[1].dtype == np.int8 else 0
                tensors[f"attention.{layer}.{name}"] = np.array([float(given[0]), float(given[1]) + shift], np.float32)
            continue
        part = part_of(node.name)
        if part is None:
            continue
        if node.op_type == "MatMul" and node.input[1] in makers and makers[node.input[1]].op_type == "DequantizeLinear":
            codes, scale, zero = (constants.get(name) for name in makers[node.input[1]].input)
            if codes is None:  # rounded in the graph
                weight = constants[makers[makers[node.input[1]].input[0]].input[0]]
                codes = np.clip(np.rint(weight / scale) + zero.astype(np.float32), -128, 127).astype(np.int8)
            given = [constants[name] for name in makers[node.input[0]].input[1:]]
            take(part, codes, zero, scale, given)
        if node.op_type == "MatMulInteger":
            codes, zero = constants[node.input[1]], constants[node.input[3]]
            quantize = makers[node.input[0]]
            if quantize.op_type == "DynamicQuantizeLinear":
                scale = constants[node.input[1].replace("_quantized", "_scale")]
                take(part, codes, zero, scale)
            else:
                step, at = constants[quantize.input[1]], constants[quantize.input[2]]
                take(part, codes, zero, constants[f"{part}.weight_scale.golden"], (step, at))
    return tensors


def write(name, config, graph, generator, external=False):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config.save_pretrained(folder)
    tensors = expected(graph)
    if name not in ("bert", "bert-qdq"):  # names that no test needs
        for node in graph.graph.node:
            if "MatMul" not in node.op_type:
                node.name = ""
    del graph.graph.value_info[:]
    golden_only = [i for i in graph.graph.initializer if i.name.endswith(".golden")]
    for initializer in golden_only:
        graph.graph.initializer.remove(initializer)
    runtime = session(graph)
    names = [output.name for output in runtime.get_outputs()]
    # What is attended to by one token alone is an outlier in models this small: not for scales of a whole tensor.
    lengths = (5, 9, 17) if tensors else (1, 6, 17)
    for n, (ids, types) in enumerate(sequences(config, generator, lengths)):
        states, *rest = runtime.run(None, feed(graph, ids, types))
        tensors[f"ids.{n}"] = ids[0].numpy()
        if config.model_type in ("bert", "electra"):
            tensors[f"types.{n}"] = types[0].numpy()
        tensors[f"states.{n}"] = states[0]
        if rest and "pooler" not in config.architectures[0] and not config.architectures[0].endswith("Model"):
            logits = np.stack([part[0] for part in rest], -1) if len(rest) == 2 else rest[0][0]
            tensors[f"logits.{n}"] = np.ascontiguousarray(logits.reshape(-1, logits.shape[-1]))
    tensors = {key: np.ascontiguousarray(value) for key, value in tensors.items()}
    save_file(tensors, folder / "golden.safetensors", {"torch": torch.__version__, "onnxruntime": ort.__version__, "outputs": str(names)})
    if external:
        onnx.save_model(graph, str(folder / "model.onnx"), save_as_external_data=True, location="weights.bin",
                        size_threshold=256)
    else:
        (folder / "model.onnx").write_bytes(graph.SerializeToString())


class Reader(CalibrationDataReader):
    def __init__(self, graph, config, generator):
        self.rows = iter([feed(graph, *pair) for pair in sequences(config, generator, (4, 9, 16, 20))])

    def get_next(self):
        return next(self.rows, None)


def quantised(graph, config, generator, dynamic=False, **options):
    with tempfile.TemporaryDirectory() as folder:
        a, b = str(Path(folder) / "a.onnx"), str(Path(folder) / "b.onnx")
        onnx.save(graph, a)
        if dynamic:
            quantize_dynamic(a, b, **options)
        else:
            quantize_static(a, b, Reader(graph, config, generator), quant_format=QuantFormat.QDQ, **options)
        return onnx.load(b)


def half(config, graph):
    """Weights stored as f16, and cast."""
    nodes = []
    for initializer in graph.graph.initializer:
        if initializer.data_type == TensorProto.FLOAT and len(initializer.dims) >= 1:
            values = numpy_helper.to_array(initializer).astype(np.float16)
            name = initializer.name
            initializer.CopyFrom(numpy_helper.from_array(values, name + "_f16"))
            nodes.append(helper.make_node("Cast", [name + "_f16"], [name], to=TensorProto.FLOAT))
    for node in reversed(nodes):
        graph.graph.node.insert(0, node)
    return config, graph


def field_data(graph):
    """Weights in float_data instead of raw_data."""
    for initializer in graph.graph.initializer:
        if initializer.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(initializer)
            initializer.CopyFrom(helper.make_tensor(initializer.name, TensorProto.FLOAT, values.shape, values.ravel()))
    return graph


def ranges(graph, names, config, generator):
    """Least and largest values of some tensors."""
    probe = copy.deepcopy(graph)
    for name in names:
        probe.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    runtime = session(probe)
    low, high = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    for pair in sequences(config, generator, (4, 9, 16, 20)):
        for name, value in zip(names, runtime.run(names, feed(graph, *pair))):
            low[name], high[name] = min(low[name], float(value.min())), max(high[name], float(value.max()))
    return low, high


def converted(graph, config, generator, sparsity):
    """The form that published sparse families have: QuantizeLinear, MatMulInteger, Add (s32), Cast, Mul; attention in
    QLinearMatMul, an embedding table in u8. Weights are s8 with one scale, in blocks of 1 output x 4 inputs."""
    g = graph.graph
    constants = {i.name: i for i in g.initializer}
    makers = {output: node for node in g.node for output in node.output}
    linear = [n for n in g.node if n.op_type == "MatMul" and n.input[1] in constants and part_of(n.name)]
    products = [n for n in g.node if n.op_type == "MatMul" and n.input[1] not in constants]
    attended = [name for n in products for name in (*n.input, n.output[0])]
    low, high = ranges(graph, sorted({n.input[0] for n in linear} | set(attended)), config, generator)
    nodes, added, removed = [], {}, []

    def constant(name, values):
        g.initializer.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def rounded(value, symmetric=False):
        """QuantizeLinear of a value, once."""
        if value not in added:
            if symmetric:
                scale, zero = np.float32(max(-low[value], high[value]) / 127), np.int8(0)
            else:
                scale = np.float32((high[value] - low[value]) / 255)
                zero = np.uint8(round(-low[value] / scale))
            scale, zero = constant(value + ".scale", scale), constant(value + ".zero", zero)
            added[value] = (value + ".codes", scale, zero)
            nodes.append((value, helper.make_node("QuantizeLinear", [value, scale, zero], [value + ".codes"])))
        return added[value]

    for node in linear:
        part, weight = part_of(node.name), numpy_helper.to_array(constants[node.input[1]])
        k, m = weight.shape
        blocks = np.abs(weight).reshape(k // 4, 4, m).sum(1)
        keep = blocks > np.quantile(blocks, sparsity)
        weight = weight * np.repeat(keep, 4, 0)
        scale = np.float32(np.abs(weight).max() / 127)
        codes = np.clip(np.round(weight / scale), -127, 127).astype(np.int8)
        codes.ravel()[np.abs(codes).argmax()] = -128
        x, step, zero = rounded(node.input[0])
        step = numpy_helper.to_array(next(i for i in g.initializer if i.name == step))
        total = np.float32(step * scale)
        constant(f"{part}.weight_scale.golden", scale)
        bias_node = next(n for n in g.node if n.op_type == "Add" and node.output[0] in n.input)
        bias = numpy_helper.to_array(constants[next(i for i in bias_node.input if i in constants)])
        names = [f"{node.name}.{part}" for part in ("sums", "biased", "floats")]
        made = [
            helper.make_node("MatMulInteger", [x, constant(node.name + ".codes", codes), zero, constant(node.name + ".zero", np.int8(0))],
                             [names[0]], name=node.name + "_quant"),
            helper.make_node("Add", [names[0], constant(node.name + ".bias", np.round(bias / total).astype(np.int32))], [names[1]]),
            helper.make_node("Cast", [names[1]], [names[2]], to=TensorProto.FLOAT),
            helper.make_node("Mul", [names[2], constant(node.name + ".scale", total)], [bias_node.output[0]]),
        ]
        nodes.append((bias_node.output[0], made, bias_node))
        removed.append(node)
        g.initializer.remove(constants[node.input[1]])
    for node in products:
        scores = next((n for n in g.node if node.output[0] in n.input and n.op_type in ("Mul", "Div")), None) is not None
        a = rounded(node.input[0])
        b = rounded(node.input[1], symmetric=True)
        # QLinearMatMul wants both operands of one sign in some runtimes; s8 x u8 is what ONNX allows.
        y, out = node.output[0], node.output[0] + ".codes"
        scale = np.float32((high[y] - low[y]) / 255)
        zero = np.uint8(round(-low[y] / scale))
        scale, zero = constant(y + ".scale", scale), constant(y + ".zero", zero)
        made = [helper.make_node("QLinearMatMul", [*a, *b, scale, zero], [out], name=node.name + "_quant"),
                helper.make_node("DequantizeLinear", [out, scale, zero], [y])]
        nodes.append((y, made, node))
        del scores
    # A table in u8.
    word = next(n for n in g.node if n.op_type == "Gather" and n.input[1] == "input_ids")
    table = numpy_helper.to_array(constants[word.input[0]])
    scale = np.float32((table.max() - table.min()) / 255)
    zero = np.uint8(round(-table.min() / scale))
    codes = np.clip(np.round(table / scale) + int(zero), 0, 255).astype(np.uint8)
    g.initializer.remove(constants[word.input[0]])
    out = word.output[0]
    word.input[0], word.output[0] = constant("word.codes", codes), out + ".codes"
    scale, zero = constant("word.scale", scale), constant("word.zero", zero)
    dequantize = helper.make_node("DequantizeLinear", [word.output[0], scale, zero], [out])
    g.node.insert(list(g.node).index(word) + 1, dequantize)

    for node in removed:
        g.node.remove(node)
    replaced = {entry[2].output[0]: entry[1] for entry in nodes if len(entry) == 3}
    behind = {}
    for entry in nodes:
        if len(entry) == 2:
            behind.setdefault(entry[0], []).append(entry[1])
    order = []
    for node in list(g.node):
        order.extend(replaced.get(node.output[0], [node]))
        for output in node.output:
            order.extend(behind.get(output, []))
    del g.node[:]
    g.node.extend(order)
    return graph


def main():
    def build(model_class, config, seed, opset, attention="eager"):
        config._attn_implementation = attention
        config.architectures = [model_class.__name__]
        model = model_class(config)
        randomise(model, torch.Generator().manual_seed(seed))
        graph = exported(model, opset)
        rename(graph)
        return config, graph

    generator = torch.Generator().manual_seed(99)
    # f32: decomposed and whole layer normalisation, every activation, both forms of attention.
    bert_config, bert = build(BertModel, BertConfig(**sizes()), 1, 11)
    write("bert", bert_config, copy.deepcopy(bert), generator, external=True)
    write("bert-f16", *half(*build(BertModel, BertConfig(**sizes(layers=1)), 15, 14)), generator)
    write("bert-sdpa", *build(BertModel, BertConfig(**sizes(layers=1, hidden_act="gelu_new")), 2, 14, "sdpa"), generator)
    write("distilbert", *build(DistilBertModel, DistilBertConfig(**distil(activation="relu")), 3, 12), generator)
    config, roberta = build(RobertaModel, RobertaConfig(**sizes(layers=1, type_vocab_size=1, pad_token_id=1, layer_norm_eps=1e-5)), 4, 17)
    write("roberta", config, field_data(roberta), generator)
    write("electra", *build(ElectraModel, ElectraConfig(**sizes(layers=1, embedding_size=20)), 5, 18), generator)
    # Heads.
    labels = dict(num_labels=3)
    write("bert-classify", *build(BertForSequenceClassification, BertConfig(**sizes(layers=1), **labels), 6, 14, "sdpa"), generator)
    write("bert-answer", *build(BertForQuestionAnswering, BertConfig(**sizes(layers=1)), 7, 14), generator)
    write("bert-fill", *build(BertForMaskedLM, BertConfig(**sizes(layers=1)), 8, 14), generator)
    write("distilbert-tag", *build(DistilBertForTokenClassification, DistilBertConfig(**distil(layers=1), **labels), 9, 17), generator)
    write("roberta-classify", *build(RobertaForSequenceClassification, RobertaConfig(**sizes(layers=1, type_vocab_size=1, pad_token_id=1), **labels), 10, 17, "sdpa"), generator)
    write("electra-classify", *build(ElectraForSequenceClassification, ElectraConfig(**sizes(layers=1, embedding_size=32), **labels), 11, 17), generator)
    # int8 by ONNX Runtime.
    one_config, one = build(BertModel, BertConfig(**sizes(layers=1)), 14, 14)
    s8, u8 = QuantType.QInt8, QuantType.QUInt8
    write("bert-dynamic", bert_config, quantised(bert, bert_config, generator, dynamic=True, per_channel=True, weight_type=s8), generator)
    write("bert-dynamic-u8", one_config, quantised(one, one_config, generator, dynamic=True, weight_type=u8), generator)
    write("bert-qdq", one_config, quantised(one, one_config, generator, per_channel=True, activation_type=u8, weight_type=s8), generator)
    symmetric = dict(extra_options={"ActivationSymmetric": True})
    write("bert-qdq-s8", one_config, quantised(one, one_config, generator, per_channel=False, activation_type=s8, weight_type=s8, **symmetric), generator)
    # With weights in f32 that are rounded in the graph.
    distil_config, graph = build(DistilBertModel, DistilBertConfig(**distil(layers=1)), 12, 17)
    options = dict(per_channel=True, activation_type=u8, weight_type=s8, op_types_to_quantize=["MatMul"],
                   extra_options={"AddQDQPairToWeight": True})
    write("distilbert-qdq", distil_config, quantised(graph, distil_config, generator, **options), generator)
    # int8 as training libraries for sparse models convert it.
    config, graph = build(BertModel, BertConfig(**sizes(hidden=64, inner=128, layers=1)), 13, 14)
    write("bert-sparse", config, converted(graph, config, generator, 0.9), generator)


if __name__ == "__main__":
    main()
