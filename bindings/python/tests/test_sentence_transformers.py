"""Comparisons with sentence-transformers and transformers, where they are installed. Models of the hub are not needed: the model is a directory whose path is in
LACUNA_MINILM, or a tiny one that the tests make."""

from __future__ import annotations

import inspect
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TEXTS

import lacuna

st = pytest.importorskip("sentence_transformers", reason="the comparison needs sentence-transformers")

METHODS = [
    "encode",
    "encode_query",
    "encode_document",
    "similarity",
    "similarity_pairwise",
    "tokenize",
    "preprocess",
    "get_max_seq_length",
    "get_embedding_dimension",
    "get_sentence_embedding_dimension",
    "truncate_embeddings",
    "truncate_sentence_embeddings",
    "evaluate",
    "__init__",
]


def shape(function: Any) -> list[tuple[str, Any, Any]]:
    """Names, kinds and defaults of the parameters."""
    parameters = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, p.default) for p in parameters]


@pytest.mark.parametrize("method", METHODS)
def test_signatures_are_the_same(method: str) -> None:
    theirs, ours = shape(getattr(st.SentenceTransformer, method)), shape(getattr(lacuna.SentenceTransformer, method))
    added = [parameter for parameter in ours if parameter not in theirs]
    assert [parameter for parameter in ours if parameter in theirs] == theirs
    assert [name for name, *_ in added] == (["threads", "compute"] if method == "__init__" else [])


@pytest.mark.parametrize("method", ["__init__", "predict", "rank"])
def test_signatures_of_cross_encoders_are_the_same(method: str) -> None:
    theirs, ours = shape(getattr(st.CrossEncoder, method)), shape(getattr(lacuna.CrossEncoder, method))
    assert [parameter for parameter in ours if parameter[0] not in ("threads", "compute")] == theirs


@pytest.fixture(scope="module")
def minilm() -> tuple[Any, lacuna.SentenceTransformer]:
    path = os.environ.get("LACUNA_MINILM")
    if path is None:
        pytest.skip("LACUNA_MINILM does not name a directory with all-MiniLM-L6-v2")
    return st.SentenceTransformer(path, device="cpu"), lacuna.SentenceTransformer(path)


def same(theirs: Any, ours: Any) -> None:
    """The same type, shape and dtype."""
    assert type(theirs) is type(ours)
    if isinstance(theirs, list):
        assert len(theirs) == len(ours)
        for a, b in zip(theirs, ours, strict=True):
            same(a, b)
    elif hasattr(theirs, "shape"):
        assert tuple(theirs.shape) == tuple(ours.shape) and theirs.dtype == ours.dtype


INPUTS: list[Any] = ["A cat.", "", [], ["A cat."], TEXTS, tuple(TEXTS), np.array(TEXTS), np.array(TEXTS, dtype=object), ["\u200b", "日本語", "🙂" * 50]]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"convert_to_tensor": True},
    {"convert_to_numpy": False},
    {"normalize_embeddings": True},
    {"truncate_dim": 17},
    {"precision": "binary"},
    {"precision": "ubinary"},
    {"output_value": "token_embeddings"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("inputs", INPUTS, ids=lambda value: f"{type(value).__name__}-{len(value)}")
def test_shapes_and_types_are_the_same(minilm: tuple[Any, Any], inputs: Any, options: dict[str, Any]) -> None:
    theirs, ours = (model.encode(inputs, **options) for model in minilm)
    same(theirs, ours)


@pytest.mark.parametrize("precision", ["int8", "uint8"])
def test_codes_of_several_texts(minilm: tuple[Any, Any], precision: str) -> None:
    same(*(model.encode(TEXTS, precision=precision) for model in minilm))
    for model in minilm:
        with pytest.raises(ValueError):
            model.encode("one", precision=precision)


def test_vectors_are_within_the_distance_of_int8(minilm: tuple[Any, Any]) -> None:
    theirs, ours = (model.encode(TEXTS) for model in minilm)
    cosines = (theirs * ours).sum(axis=1) / np.linalg.norm(theirs, axis=1) / np.linalg.norm(ours, axis=1)
    print("cosines:", cosines)
    assert cosines.min() > 0.97


def test_vectors_of_float32_are_within_rounding(minilm: tuple[Any, Any]) -> None:
    ours = lacuna.SentenceTransformer(os.environ["LACUNA_MINILM"], compute="float32")
    texts = [*TEXTS, *(f"Sentence {n} is {'rather ' * n}long." for n in range(40)), "word " * 1000]
    difference = np.abs(minilm[0].encode(texts) - ours.encode(texts)).max()
    print("largest difference:", difference)
    assert difference < 1e-5
    states = (model.encode(texts, output_value="token_embeddings") for model in (minilm[0], ours))
    assert max(float((a - b).abs().max()) for a, b in zip(*states, strict=True)) < 1e-4


@pytest.mark.parametrize("head", ["reranker", "classifier"])
def test_logits_of_float32_are_within_rounding(heads: dict[str, Path], head: str) -> None:
    torch = pytest.importorskip("torch", reason="the comparison needs torch")
    pairs = [("the cat", "sat on a mat"), ("a good dog", "ran in paris"), ("poor", "a cat")]
    theirs = st.CrossEncoder(str(heads[head]), device="cpu")
    a = theirs.predict(pairs, activation_fn=torch.nn.Identity())
    b = lacuna.CrossEncoder(heads[head], model_kwargs={"dtype": torch.float32}).predict(pairs, activation_fn=torch.nn.Identity())
    assert a.shape == b.shape and np.abs(a - b).max() < 1e-5, (a, b)


def test_settings_are_the_same(minilm: tuple[Any, Any]) -> None:
    theirs, ours = minilm
    for name in ("prompts", "default_prompt_name", "max_seq_length", "similarity_fn_name", "truncate_dim", "device"):
        assert getattr(theirs, name) == getattr(ours, name), name
    features = [model.tokenize(["A cat.", "A cat sat on a mat."]) for model in minilm]
    for name in ("input_ids", "token_type_ids", "attention_mask"):
        theirs_of, ours_of = (np.asarray(feature[name]) for feature in features)
        assert np.array_equal(theirs_of, ours_of), name


def test_errors_are_of_the_same_kind(minilm: tuple[Any, Any]) -> None:
    wrong: list[dict[str, Any]] = [{"nonsense": 1}, {"precision": "int4"}, {"prompt_name": "nothing"}, {"batch_size": 0}]
    for options in wrong:
        for model in minilm:
            with pytest.raises(ValueError):
                model.encode("a", **options)


def test_similarities_are_the_same(minilm: tuple[Any, Any]) -> None:
    vectors = minilm[0].encode(TEXTS)
    for name in ("cosine", "dot", "euclidean", "manhattan"):
        for model in minilm:
            model.similarity_fn_name = name
        theirs, ours = (model.similarity(vectors, vectors[:2]) for model in minilm)
        same(theirs, ours)
        # The distance of a vector from itself is the root of a rounding error.
        assert np.allclose(theirs, ours, atol=1e-3 if name == "euclidean" else 1e-5), name
        theirs, ours = (model.similarity_pairwise(vectors, vectors[::-1].copy()) for model in minilm)
        same(theirs, ours)
        assert np.allclose(theirs, ours, atol=1e-5), name
    for model in minilm:
        model.similarity_fn_name = "cosine"


@pytest.mark.parametrize("precision", ["float32", "int8", "uint8", "binary", "ubinary"])
def test_quantized_embeddings_are_equal(precision: Any) -> None:
    random = np.random.default_rng(1)
    vectors = random.standard_normal((200, 36)).astype(np.float32)
    vectors[:, 3] = 0.5
    theirs = st.quantize_embeddings
    ranges = np.array([[-1.0] * 36, [1.5] * 36], np.float32)
    for options in ({}, {"ranges": ranges}, {"calibration_embeddings": vectors[:150]}):
        a, b = (function(vectors, precision, **options) for function in (theirs, lacuna.quantize_embeddings))
        assert a.dtype == b.dtype and np.array_equal(a, b), options


def test_evaluators_run_unmodified(model: lacuna.SentenceTransformer) -> None:
    from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator, InformationRetrievalEvaluator

    pairs = [("A cat sits.", "A kitten sits.", 0.9), ("It rains.", "A dog runs.", 0.1), ("The sun shines.", "It is sunny.", 0.8)]
    first, second, scores = (list(column) for column in zip(*pairs, strict=True))
    result: Any = EmbeddingSimilarityEvaluator(first, second, scores)(model)
    assert result["spearman_cosine"] > 0.4
    corpus = {"a": "A cat sits on a mat.", "b": "It rains at noon.", "c": "Stocks fell on Monday."}
    queries = {"1": "Where is the kitten?", "2": "weather forecast"}
    evaluator = InformationRetrievalEvaluator(queries, corpus, {"1": {"a"}, "2": {"b"}})
    found: Any = model.evaluate(evaluator)
    assert found["cosine_accuracy@1"] == 1.0, found


@pytest.mark.parametrize("head", ["reranker", "classifier"])
def test_cross_encoders_agree(heads: dict[str, Path], head: str) -> None:
    pairs = [("the cat", "sat on a mat"), ("a good dog", "ran in paris"), ("poor", "a cat")]
    theirs, ours = st.CrossEncoder(str(heads[head]), device="cpu"), lacuna.CrossEncoder(heads[head])
    inputs: list[Any] = [pairs, pairs[0], [], np.array(pairs), [list(pair) for pair in pairs]]
    for given in inputs:
        a, b = theirs.predict(given), ours.predict(given)
        assert np.shape(a) == np.shape(b) and np.allclose(a, b, atol=0.05), (given, a, b)
        assert getattr(a, "dtype", None) == getattr(b, "dtype", None)
    if head == "reranker":
        a, b = (model.rank("the dog", ["a cat", "a rug", "ran"], return_documents=True) for model in (theirs, ours))
        assert [list(row) for row in a] == [list(row) for row in b]
        assert [row["corpus_id"] for row in a][0] == [row["corpus_id"] for row in b][0]


@pytest.mark.parametrize(
    ("task", "head", "inputs"),
    [
        ("text-classification", "classifier", ["a good cat", "a bad dog"]),
        ("text-classification", "classifier", "a good cat"),
        ("token-classification", "tagger", "🙂 é Ada ran in 日本."),
        ("token-classification", "tagger", ["Ada", "a cat ran in Paris"]),
        ("fill-mask", "filler", "the [MASK] sat ."),
        ("fill-mask", "filler", "The [MASK] sat on [MASK]."),
        ("fill-mask", "filler", ["the [MASK]", "[MASK] 🙂"]),
    ],
)
def test_pipelines_give_the_same_dictionaries(heads: dict[str, Path], task: str, head: str, inputs: Any) -> None:
    transformers = pytest.importorskip("transformers", reason="the comparison needs transformers")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    theirs, ours = transformers.pipeline(task, str(heads[head]))(inputs), lacuna.pipeline(task, heads[head])(inputs)
    # transformers also gives the index of a token, and the spelling of the vocabulary.
    check(theirs, ours)


def check(theirs: Any, ours: Any) -> None:
    if isinstance(theirs, list):
        assert isinstance(ours, list) and len(theirs) == len(ours), (theirs, ours)
        for a, b in zip(theirs, ours, strict=True):
            check(a, b)
        return
    assert set(theirs) - {"index"} == set(ours)
    for name, value in theirs.items():
        if name == "score":
            assert abs(value - ours[name]) < 0.05, (theirs, ours)
        elif name not in ("index", "word"):
            assert value == ours[name], (theirs, ours)


def test_evaluators_of_cross_encoders_run_unmodified(heads: dict[str, Path]) -> None:
    """On our object as on theirs, with figures that rest on the order of scores."""
    from sentence_transformers.cross_encoder.evaluation import (
        CrossEncoderClassificationEvaluator,
        CrossEncoderCorrelationEvaluator,
        CrossEncoderRerankingEvaluator,
    )

    pairs = [["a cat sat", "on the mat"], ["a dog ran", "in paris"], ["the cat", "a cat"], ["a rug", "the dog sat in paris"]]
    samples = [
        {"query": "a cat", "positive": ["the cat sat on the mat"], "negative": ["a dog ran", "ada in paris"]},
        {"query": "the mat", "positive": ["cat cat cat"], "negative": ["the dog sat on the rug", "a rug"]},
    ]
    evaluators: list[tuple[str, Any]] = [
        ("reranker", CrossEncoderCorrelationEvaluator(pairs, [1.0, 0.0, 1.2, 0.1], name="pairs")),
        ("reranker", CrossEncoderClassificationEvaluator(pairs, [1, 0, 1, 0], name="pairs")),
        ("classifier", CrossEncoderClassificationEvaluator([["good cat", "fine"], ["bad dog", "poor"]], [1, 0], name="words")),
        ("reranker", CrossEncoderRerankingEvaluator(samples, name="samples")),
    ]
    for head, evaluator in evaluators:
        ours = evaluator(lacuna.CrossEncoder(str(heads[head])))
        theirs = evaluator(st.CrossEncoder(str(heads[head])))
        assert ours.keys() == theirs.keys() and ours
        for name, figure in theirs.items():
            if "threshold" in name:  # a score, which int8 moves
                assert ours[name] == pytest.approx(figure, abs=0.05), name
            elif "pearson" in name or "loss" in name:
                assert ours[name] == pytest.approx(figure, abs=0.02), name
            else:
                assert ours[name] == pytest.approx(figure), name
