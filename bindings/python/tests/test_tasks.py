"""Cross-encoders and pipelines, on tiny models with known answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lacuna
from lacuna.errors import InvalidInputError, InvalidOptionError, MissingError, UnsupportedError

PAIRS = [("the cat", "sat on a mat"), ("the dog", "ran in paris"), ("a mat", "a cat")]


def test_scores_of_pairs(heads: dict[str, Path]) -> None:
    model = lacuna.CrossEncoder(heads["reranker"])
    scores = model.predict(PAIRS)
    assert scores.shape == (3,) and scores.dtype == np.float32 and model.num_labels == 1
    assert (scores > 0).all() and (scores < 1).all()
    assert min(scores[0], scores[2]) > scores[1]
    assert model.predict(PAIRS[0]) == scores[0]
    assert np.array_equal(model.predict([list(pair) for pair in PAIRS]), scores)
    assert np.array_equal(model.predict(np.array(PAIRS)), scores)
    assert model.predict([]).shape == (0,)
    for wrong in ([("a",)], [("a", "b", "c")], ["a", "b", "c"], [("a", 1)]):
        with pytest.raises(InvalidInputError):
            model.predict(wrong)
    with pytest.raises(ValueError, match="nonsense"):
        model.predict(PAIRS, nonsense=1)


def test_ranking(heads: dict[str, Path]) -> None:
    model = lacuna.CrossEncoder(heads["reranker"])
    documents = ["ran in paris", "sat on a cat", "a mat"]
    ranking = model.rank("the dog", documents, return_documents=True)
    assert [row["corpus_id"] for row in ranking][0] == 1
    assert ranking[0]["text"] == documents[1] and isinstance(ranking[0]["score"], float)
    assert [row["score"] for row in ranking] == sorted((row["score"] for row in ranking), reverse=True)
    assert list(model.rank("the dog", documents, top_k=1)[0]) == ["corpus_id", "score"]
    assert model.rank("the dog", []) == []


def test_several_labels(heads: dict[str, Path]) -> None:
    model = lacuna.CrossEncoder(heads["classifier"])
    logits = model.predict(PAIRS)
    assert logits.shape == (3, 2)
    assert np.allclose(model.predict(PAIRS, apply_softmax=True).sum(axis=1), 1)
    with pytest.raises(ValueError, match="2 labels"):
        model.rank("a", ["b"])
    with pytest.raises(InvalidOptionError, match="num_labels"):
        lacuna.CrossEncoder(heads["classifier"], num_labels=1)


def test_a_model_without_the_head(heads: dict[str, Path]) -> None:
    with pytest.raises(MissingError, match="no head"):
        lacuna.CrossEncoder()
    with pytest.raises(MissingError, match="token classification"):
        lacuna.CrossEncoder(heads["tagger"])
    with pytest.raises(MissingError, match="question-answering"):
        lacuna.pipeline("question-answering", heads["tagger"])
    with pytest.raises(UnsupportedError, match="translation"):
        lacuna.pipeline("translation", heads["tagger"])


def test_text_classification(heads: dict[str, Path]) -> None:
    classify = lacuna.pipeline("text-classification", heads["classifier"])
    one = classify("a good cat")
    assert [label["label"] for label in one] == ["POSITIVE"] and one[0]["score"] > 0.5
    many = classify(["a good cat", "a bad dog"])
    assert [label["label"] for label in many] == ["POSITIVE", "NEGATIVE"] and many[0] == one[0]
    both = classify("a good cat", top_k=None)
    assert [label["label"] for label in both] == ["POSITIVE", "NEGATIVE"]
    assert sum(label["score"] for label in both) == pytest.approx(1)
    assert [len(found) for found in classify(["a", "b"], top_k=1)] == [1, 1]
    raw = classify("a good cat", top_k=None, function_to_apply="none")
    assert raw[0]["score"] > 1
    assert classify({"text": "a good", "text_pair": "cat"})["label"] == "POSITIVE"
    assert classify([]) == []
    with pytest.raises(InvalidOptionError, match="nonsense"):
        classify("a", nonsense=1)


def test_places_count_characters(heads: dict[str, Path]) -> None:
    text = "🙂 é Ada ran in 日本."
    tag = lacuna.pipeline("ner", heads["tagger"], aggregation_strategy="simple")
    entities = tag(text)
    assert [(e["entity_group"], e["word"], e["start"], e["end"]) for e in entities] == [("PER", "Ada", 4, 7), ("LOC", "日本", 15, 17)]
    assert all(text[e["start"] : e["end"]] == e["word"] for e in entities)
    tokens = tag([text], aggregation_strategy="none")[0]
    assert [e["entity"] for e in tokens] == ["B-PER", "B-LOC", "I-LOC"]
    assert tag(text, ignore_labels=["PER"])[0]["entity_group"] == "LOC"
    with pytest.raises(ValueError, match="aggregation"):
        tag(text, aggregation_strategy="nonsense")


def test_question_answering(heads: dict[str, Path]) -> None:
    answer: Any = lacuna.pipeline("question-answering", heads["answerer"])
    context = "🙂 the cat sat on the mat ."
    found = answer(question="the cat ?", context=context)
    assert found["answer"] == "on the mat" == context[found["start"] : found["end"]] and found["start"] == 14
    assert answer({"question": "the cat ?", "context": context}) == found
    assert answer([{"question": "the cat ?", "context": context}]) == [found]
    assert len(answer({"question": "the cat ?", "context": context}, top_k=2)) == 2
    with pytest.raises(InvalidInputError, match="context"):
        answer({"question": "a"})


def test_filling_in(heads: dict[str, Path]) -> None:
    fill = lacuna.pipeline("fill-mask", heads["filler"])
    found = fill("the [MASK] sat .", top_k=2)
    assert [candidate["token_str"] for candidate in found] == ["cat", "dog"]
    assert list(found[0]) == ["score", "token", "token_str", "sequence"]
    assert len(fill("[MASK] [MASK]")) == 2
    with pytest.raises(InvalidInputError):
        fill("the cat")


def test_the_task_of_a_model(heads: dict[str, Path]) -> None:
    tasks: dict[str, Any] = {name: lacuna.pipeline(model=folder).task for name, folder in heads.items()}
    assert tasks == {
        "classifier": "text-classification",
        "reranker": "text-classification",
        "tagger": "token-classification",
        "answerer": "question-answering",
        "filler": "fill-mask",
    }
    extract = lacuna.pipeline()
    states = np.array(extract("a cat"))
    assert extract.task == "feature-extraction" and states.shape == (1, 4, 384)


def test_a_head_survives_packing(heads: dict[str, Path], tmp_path: Path) -> None:
    calibrated = lacuna.Model.open(heads["reranker"]).calibrate(PAIRS)
    packed = calibrated.pack()
    assert packed.write(tmp_path / "reranker.lacuna") == (tmp_path / "reranker.lacuna").stat().st_size
    scores = lacuna.CrossEncoder(calibrated.compile()).predict(PAIRS)
    assert np.array_equal(lacuna.CrossEncoder(tmp_path / "reranker.lacuna").predict(PAIRS), scores)
