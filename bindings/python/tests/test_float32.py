"""``compute="float32"``: the f32 reference in the place of int8 kernels, compared with NumPy."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy_bert import Bert

import lacuna
from lacuna.errors import CancelledError, InvalidOptionError, MissingError, UnsupportedError

TEXTS = ["the cat sat on a mat .", "a dog", "", "good , bad , fine " * 12, "Ada ran in 日本 ."]
PAIRS = [("the cat", "sat on a mat"), ("the dog", "ran in paris"), ("a mat", "a cat")]


def distance(found: Any, expected: Any) -> float:
    return float(np.abs(np.asarray(found) - np.asarray(expected)).max())


@pytest.mark.parametrize("head", ["classifier", "filler"])
def test_hidden_states_are_those_of_numpy(heads: dict[str, Path], head: str) -> None:
    bert = Bert(heads[head])
    encoder = lacuna.Encoder.open(heads[head], compute="float32")
    expected = [bert.states(ids, types) for ids, types, _ in encoder.tokenize(TEXTS)]
    found = encoder.hidden_states(TEXTS)[0]
    assert max(map(distance, found, expected)) < 1e-5
    # int8 is further away: the option chooses something else.
    rounded = lacuna.Encoder.open(heads[head]).hidden_states(TEXTS)[0]
    assert max(map(distance, rounded, expected)) > 2e-5


def test_vectors_are_those_of_numpy(heads: dict[str, Path]) -> None:
    bert = Bert(heads["classifier"])
    model = lacuna.SentenceTransformer(heads["classifier"], compute="float32")
    expected = [bert.states(ids, types).mean(axis=0) for ids, types, _ in model.encoder.tokenize(TEXTS)]
    vectors = model.encode(TEXTS)
    assert vectors.dtype == np.float32 and distance(vectors, expected) < 1e-5
    assert distance(model.encode(TEXTS[0]), expected[0]) < 1e-5
    assert model.encode([]).shape == (0,)
    # More texts than go through the model together.
    many = TEXTS * 300
    assert distance(model.encode(many), expected * 300) < 1e-5
    for threads in (1, 2):
        alone = lacuna.SentenceTransformer(heads["classifier"], compute="float32", threads=threads)
        assert distance(alone.encode(many), expected * 300) < 1e-5


def test_prompts_and_lengths(heads: dict[str, Path]) -> None:
    model = lacuna.SentenceTransformer(heads["classifier"], compute="float32")
    assert distance(model.encode("a cat", prompt="the "), model.encode("the a cat")) < 1e-6
    model.max_seq_length = 5
    assert distance(model.encode("a cat sat on the mat"), model.encode("a cat sat")) < 1e-6


@pytest.mark.parametrize("head", ["classifier", "reranker"])
def test_logits_are_those_of_numpy(heads: dict[str, Path], head: str) -> None:
    bert = Bert(heads[head])
    model = lacuna.CrossEncoder(heads[head], compute="float32")
    expected = np.array([bert.logits(ids, types) for ids, types, _ in model.encoder.tokenize(PAIRS)])
    assert distance(model.encoder.logits(PAIRS)[0], expected) < 1e-5
    if head == "reranker":
        assert distance(model.predict(PAIRS), 1 / (1 + np.exp(-expected[:, 0]))) < 1e-5
        assert model.rank("the dog", ["ran", "a cat"])[0]["corpus_id"] == 1


@pytest.mark.parametrize(
    ("task", "head", "inputs"),
    [
        ("text-classification", "classifier", ["a good cat", "a bad dog"]),
        ("token-classification", "tagger", ["🙂 é Ada ran in 日本.", "a cat"]),
        ("question-answering", "answerer", {"question": "the cat ?", "context": "🙂 the cat sat on the mat ."}),
        ("fill-mask", "filler", ["the [MASK] sat ."]),
    ],
)
def test_pipelines_agree_with_int8(heads: dict[str, Path], task: str, head: str, inputs: Any) -> None:
    exact, rounded = (lacuna.pipeline(task, heads[head], compute=compute) for compute in ("float32", "int8"))
    assert (exact.encoder.compute, rounded.encoder.compute) == ("float32", "int8")
    assert without_scores(exact(inputs)) == without_scores(rounded(inputs))


def without_scores(value: Any) -> Any:
    if isinstance(value, list):
        return [without_scores(item) for item in value]
    return {name: item for name, item in value.items() if name != "score"}


def test_a_packed_model_has_no_f32_weights(heads: dict[str, Path], tmp_path: Path) -> None:
    file = tmp_path / "tiny.lacuna"
    lacuna.Model.open(heads["filler"]).calibrate(TEXTS).pack().write(file)
    for path, named in ((file, "tiny.lacuna"), (None, "the shipped model")):
        with pytest.raises(MissingError, match=f'{named}: compute="float32" needs the f32 weights'):
            lacuna.SentenceTransformer(path, compute="float32")


def test_what_is_wrong_is_named(heads: dict[str, Path], tmp_path: Path) -> None:
    wrong: Any = "float16"
    with pytest.raises(InvalidOptionError, match="compute: found float16; expected int8 or float32"):
        lacuna.SentenceTransformer(heads["filler"], compute=wrong)
    with pytest.raises(InvalidOptionError, match="tier: found portable"):
        lacuna.Encoder.open(heads["filler"], compute="float32", tier="portable")
    with pytest.raises(FileNotFoundError):
        lacuna.Encoder.open(tmp_path / "nothing", compute="float32")
    encoder = lacuna.Encoder.open(heads["filler"], compute="float32")
    with pytest.raises(InvalidOptionError, match="compute: found float32; expected int8"):
        lacuna.bench(encoder, batch=1, seq=8, repeats=1)


def test_an_encoder_keeps_what_it_computes_with(heads: dict[str, Path]) -> None:
    exact, rounded = (lacuna.Encoder.open(heads["filler"], compute=compute) for compute in ("float32", "int8"))
    assert (exact.compute, rounded.compute) == ("float32", "int8")
    assert lacuna.SentenceTransformer(exact).encoder is exact
    assert lacuna.SentenceTransformer(exact, compute="float32").encoder is exact
    for encoder, other in ((exact, "int8"), (rounded, "float32")):
        asked: Any = other
        with pytest.raises(UnsupportedError, match=f"compute: found '{other}'"):
            lacuna.SentenceTransformer(encoder, compute=asked)


def test_model_kwargs_may_ask_for_float32(heads: dict[str, Path]) -> None:
    for name in ("dtype", "torch_dtype"):
        model = lacuna.SentenceTransformer(heads["filler"], model_kwargs={name: "float32"})
        assert model.encoder.compute == "float32"
    assert lacuna.SentenceTransformer(heads["filler"], model_kwargs={}).encoder.compute == "int8"
    with pytest.raises(UnsupportedError, match="dtype='float16'"):
        lacuna.SentenceTransformer(heads["filler"], model_kwargs={"dtype": "float16"})
    with pytest.raises(InvalidOptionError, match="compute: found 'int8'"):
        lacuna.CrossEncoder(heads["reranker"], compute="int8", model_kwargs={"dtype": "float32"})


def test_the_report(heads: dict[str, Path]) -> None:
    model = lacuna.SentenceTransformer(heads["filler"], compute="float32")
    report = model.load_report()
    assert report["compute"] == "float32" and report["layers"] == 1 and report["phases"][0]["name"] == "read"
    assert "float32, not compiled" in repr(report)
    assert repr(model.encoder).endswith("float32>")


def test_sessions_and_progress(heads: dict[str, Path]) -> None:
    encoder = lacuna.Encoder.open(heads["filler"], compute="float32")
    seen: list[int] = []
    encoder.embed(TEXTS * 500, progress=seen.append)
    assert seen == sorted(seen) and seen[-1] == 500 * len(TEXTS)
    session = encoder.session()
    threading.Timer(0.2, session.cancel).start()
    with pytest.raises(CancelledError):
        session.embed(TEXTS * 100_000)
    session.reset()
    assert distance(session.embed(TEXTS)[0], encoder.embed(TEXTS)[0]) < 1e-6
