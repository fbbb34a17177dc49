"""``SentenceTransformer.encode``: shapes, types, edge cases, options."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TEXTS

import lacuna
from lacuna.errors import InvalidInputError, InvalidOptionError, MissingError, NotFoundError, UnsupportedError


def test_a_list_gives_a_matrix_and_a_text_gives_its_row(model: lacuna.SentenceTransformer) -> None:
    vectors = model.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), 384) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    for text, vector in zip(TEXTS, vectors, strict=True):
        assert np.array_equal(model.encode(text), vector), text
    assert model.encode("").shape == (384,)


def test_vectors_mean_something(model: lacuna.SentenceTransformer) -> None:
    scores = np.asarray(model.similarity(model.encode(TEXTS[:3]), model.encode(TEXTS[:3])))
    assert scores.shape == (3, 3)
    assert scores[0, 1] > 0.5 > scores[0, 2]


def test_arrays_come_out_without_a_copy(model: lacuna.SentenceTransformer) -> None:
    vectors, _ = model.encoder.embed(TEXTS)
    assert vectors.flags.c_contiguous and vectors.flags.writeable
    assert vectors.base is not None and type(vectors.base).__name__ == "PySliceContainer"  # the memory of Rust


@pytest.mark.parametrize("threads", [0, 1025, 10**9])
def test_impossible_numbers_of_threads_are_refused(threads: int) -> None:
    with pytest.raises(lacuna.errors.InvalidOptionError, match=f"threads: found {threads}; expected at least 1 and at most 1024"):
        lacuna.SentenceTransformer(threads=threads)


def test_damaged_packed_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "empty.lacuna"
    path.write_bytes(b"")
    with pytest.raises(lacuna.errors.InvalidFileError, match="not a packed model: found an empty file"):
        lacuna.SentenceTransformer(path)


def test_results_do_not_depend_on_batches_threads_or_runs(model: lacuna.SentenceTransformer) -> None:
    many = [f"{text} {n}" for n in range(40) for text in TEXTS]
    vectors = model.encode(many)
    assert np.array_equal(vectors, model.encode(many, batch_size=7))
    assert np.array_equal(vectors[11:13], model.encode(many[11:13]))
    for threads in (1, 2, 3):
        assert np.array_equal(vectors, lacuna.SentenceTransformer(threads=threads).encode(many))


@pytest.mark.parametrize("empty", [[], (), np.array([], dtype=object), np.array([], dtype="U1")])
def test_no_texts_give_no_vectors(model: lacuna.SentenceTransformer, empty: Any) -> None:
    vectors = model.encode(empty)
    assert vectors.shape == (0,)


def test_all_kinds_of_columns(model: lacuna.SentenceTransformer) -> None:
    expected = model.encode(TEXTS)
    assert np.array_equal(model.encode(tuple(TEXTS)), expected)
    assert np.array_equal(model.encode(np.array(TEXTS)), expected)
    assert np.array_equal(model.encode(np.array(TEXTS, dtype=object)), expected)
    assert np.array_equal(model.encode(text for text in TEXTS), expected)
    for package, make in (("pyarrow", "array"), ("polars", "Series"), ("pandas", "Series")):
        try:
            module = __import__(package)
        except ImportError:
            print(f"skipped: columns of {package}, which is not installed")
            continue
        assert np.array_equal(model.encode(getattr(module, make)(TEXTS)), expected), package


@pytest.mark.parametrize("wrong", [[1], ["a", None], [b"a"], [["a"]], b"a", np.array([1.0])])
def test_what_is_no_text_is_named(model: lacuna.SentenceTransformer, wrong: Any) -> None:
    with pytest.raises(InvalidInputError, match="found"):
        model.encode(wrong)


def test_a_lone_surrogate_is_an_error(model: lacuna.SentenceTransformer) -> None:
    with pytest.raises(UnicodeEncodeError):
        model.encode(["\ud800"])
    assert model.encode(["\x00", "a\x00b", "\u202e", "e\u0301" * 100]).shape == (4, 384)


def test_long_texts_are_truncated_and_said_so(model: lacuna.SentenceTransformer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "lacuna"):
        vectors = model.encode(["short", "word " * 1000])
    assert "1 of the texts were truncated" in caplog.text and "to 256 tokens" in caplog.text
    assert np.array_equal(vectors[1], model.encode("word " * 254))


def test_max_seq_length(model: lacuna.SentenceTransformer) -> None:
    other = lacuna.SentenceTransformer(model.encoder)
    assert other.max_seq_length == model.max_seq_length == other.get_max_seq_length() == 256
    other.max_seq_length = 5
    assert np.array_equal(other.encode("a cat sat on the mat"), model.encode("a cat sat"))
    assert other.tokenize(["a cat sat on the mat"])["input_ids"].shape == (1, 5)
    other.max_seq_length = 300
    assert not np.array_equal(other.encode("word " * 290), model.encode("word " * 290))
    for wrong in (0, 2, 513, True, "5", None):
        with pytest.raises(InvalidOptionError, match="max_seq_length"):
            other.max_seq_length = wrong  # type: ignore[assignment]


def test_prompts(model: lacuna.SentenceTransformer) -> None:
    prompts = {"query": "find: ", "passage": "text: "}
    prompted = lacuna.SentenceTransformer(model.encoder, prompts=prompts, default_prompt_name="passage")
    text = TEXTS[0]
    plain = model.encode(text)
    assert np.array_equal(prompted.encode(text), model.encode("text: " + text))
    assert np.array_equal(prompted.encode(text, prompt_name="query"), model.encode("find: " + text))
    assert np.array_equal(prompted.encode(text, prompt="now: "), model.encode("now: " + text))
    assert np.array_equal(prompted.encode(text, prompt=""), plain)
    assert np.array_equal(prompted.encode_query(text), model.encode("find: " + text))
    assert np.array_equal(prompted.encode_document(text), plain)  # the prompt "document", which is empty, goes before "passage"
    assert np.array_equal(model.encode_query([text])[0], plain)
    with pytest.raises(InvalidOptionError, match="'nothing'"):
        prompted.encode(text, prompt_name="nothing")
    with pytest.raises(InvalidOptionError, match="'nothing'"):
        lacuna.SentenceTransformer(model.encoder, default_prompt_name="nothing")


def test_dimensions_and_lengths(model: lacuna.SentenceTransformer) -> None:
    full = model.encode(TEXTS)
    assert np.array_equal(model.encode(TEXTS, truncate_dim=64), full[:, :64])
    short = model.encode(TEXTS, truncate_dim=64, normalize_embeddings=True)
    assert np.allclose(np.linalg.norm(short, axis=1), 1, atol=1e-6)
    assert model.encode(TEXTS, truncate_dim=1000).shape == (5, 384)
    with model.truncate_embeddings(32):
        assert model.encode("a").shape == (32,) and model.get_embedding_dimension() == 32
    assert model.get_sentence_embedding_dimension() == 384
    with pytest.raises(InvalidOptionError):
        model.encode("a", truncate_dim=0)


def test_precisions(model: lacuna.SentenceTransformer) -> None:
    full = model.encode(TEXTS)
    for precision, kind, width in (("int8", np.int8, 384), ("uint8", np.uint8, 384), ("binary", np.int8, 48), ("ubinary", np.uint8, 48)):
        codes = model.encode(TEXTS, precision=precision)  # type: ignore[call-overload]
        assert codes.dtype == kind and codes.shape == (5, width)
        assert np.array_equal(codes, lacuna.quantize_embeddings(full, precision))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one embedding"):
        model.encode("a", precision="int8")
    assert model.encode("a", precision="binary").shape == (48,)


def test_what_is_unknown_or_unsupported_is_refused(model: lacuna.SentenceTransformer) -> None:
    with pytest.raises(ValueError, match="nonsense"):
        model.encode("a", nonsense=1)
    with pytest.raises(TypeError):
        model.similarity("a")  # type: ignore[call-arg]
    options: Any
    arguments: Any
    for options in ({"precision": "int4"}, {"output_value": None}, {"output_value": "x"}, {"device": "cuda"}, {"pool": {}}, {"chunk_size": 3}):
        with pytest.raises(UnsupportedError):
            model.encode("a", **options)
    with pytest.raises(ValueError, match="batch_size"):
        model.encode("a", batch_size=0)
    for arguments in ({"trust_remote_code": True}, {"model_kwargs": {"a": 1}}, {"backend": "onnx"}, {"device": "cuda:0"}, {"modules": []}):
        with pytest.raises(UnsupportedError):
            lacuna.SentenceTransformer(model.encoder, **arguments)
    assert model.encode("a", task="query").shape == (384,)


def test_tokens(model: lacuna.SentenceTransformer) -> None:
    features = model.tokenize(["A cat.", "A cat sat on a mat."])
    assert list(features) == ["input_ids", "token_type_ids", "attention_mask"]
    ids, mask = np.asarray(features["input_ids"]), np.asarray(features["attention_mask"])
    assert ids.shape == mask.shape == (2, 9) and ids.dtype == np.int64
    assert ids[0].tolist()[:5] == [101, 1037, 4937, 1012, 102] and not ids[0, 5:].any()
    assert mask.sum(axis=1).tolist() == [5, 9]
    assert model.encoder.decode(ids[0], skip_special_tokens=True) == "a cat."
    assert model.tokenize([]) == {}


def test_similarities(model: lacuna.SentenceTransformer) -> None:
    a, b = model.encode(TEXTS[:2]), model.encode(TEXTS[2:])
    other = lacuna.SentenceTransformer(model.encoder)
    expected = {
        "cosine": a @ b.T,
        "dot": a @ b.T,
        "euclidean": -np.linalg.norm(a[:, None] - b[None], axis=2),
        "manhattan": -np.abs(a[:, None] - b[None]).sum(axis=2),
    }
    for name, scores in expected.items():
        other.similarity_fn_name = name  # type: ignore[assignment]
        assert np.allclose(np.asarray(other.similarity(a, b)), scores, atol=1e-5), name
        assert np.allclose(np.asarray(other.similarity_pairwise(a, b[:2])), np.diag(scores[:, :2]), atol=1e-5), name
        assert np.asarray(other.similarity(a[0], b)).shape == (1, 3)
    with pytest.raises(ValueError, match="hamming"):
        other.similarity_fn_name = "hamming"  # type: ignore[assignment]


def test_files_and_names(tmp_path: Path, model: lacuna.SentenceTransformer) -> None:
    file = tmp_path / "model.lacuna"
    lacuna.PackedModel.open().write(file)
    assert np.array_equal(lacuna.SentenceTransformer(file).encode(TEXTS), model.encode(TEXTS))
    assert np.array_equal(lacuna.SentenceTransformer(str(file)).encode(TEXTS), model.encode(TEXTS))
    for name in ("./nothing", "a/b/c", "nothing.lacuna", "/nothing"):
        with pytest.raises(FileNotFoundError, match="no such file"):
            lacuna.SentenceTransformer(name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError):
        lacuna.SentenceTransformer(tmp_path / "empty")
    damaged = tmp_path / "damaged.lacuna"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(lacuna.errors.InvalidFileError) as error:
        lacuna.SentenceTransformer(damaged)
    assert error.value.kind == "invalid_file" and "damaged.lacuna" in str(error.value)


def test_a_name_of_the_hub_needs_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(MissingError, match="pip install huggingface_hub"):
        lacuna.SentenceTransformer("all-MiniLM-L6-v2")


def test_the_load_report(model: lacuna.SentenceTransformer) -> None:
    report = model.load_report()
    assert report["layers"] == 6 and len(report["linears"]) == 36
    assert repr(report).startswith("model ") and "kernel" in repr(report)
    assert "384 features" in repr(model)
