"""``pipeline(task, model)``, with the dictionaries that transformers gives. Places count characters, as Python does."""

from __future__ import annotations

import os
from typing import Any, Literal, TypeAlias

import numpy as np

from ._inputs import as_list
from ._lacuna import Encoder
from ._loading import Compute, check_device, load
from .cross_encoder import sigmoid, softmax
from .errors import InvalidInputError, InvalidOptionError, MissingError, UnsupportedError
from .sentence_transformer import warn_of_cuts

__all__ = ["TASKS", "Pipeline", "pipeline"]

Task: TypeAlias = Literal[
    "feature-extraction", "fill-mask", "ner", "question-answering", "sentiment-analysis", "text-classification", "token-classification"
]

_ALIASES = {"ner": "token-classification", "sentiment-analysis": "text-classification"}
_HEADS = {
    "text-classification": "sequence classification",
    "token-classification": "token classification",
    "question-answering": "question answering",
    "fill-mask": "masked language model",
}

#: The tasks.
TASKS: tuple[str, ...] = ("feature-extraction", *_HEADS, *_ALIASES)


def pipeline(
    task: str | None = None,
    model: str | os.PathLike[str] | Encoder | None = None,
    *,
    revision: str | None = None,
    token: bool | str | None = None,
    device: Any = None,
    threads: int | None = None,
    compute: Compute | None = None,
    **options: Any,
) -> Pipeline:
    """A pipeline for a task. Without a task it is the one that the head of the model is for. ``options`` are defaults of its calls.

    ``threads`` and ``compute`` are as for :class:`lacuna.SentenceTransformer`.
    """
    check_device(device)
    name = None if task is None else _ALIASES.get(task, task)
    if name is not None and name not in _HEADS and name != "feature-extraction":
        raise UnsupportedError(f"task: found {task!r}; expected one of {TASKS}")
    encoder = load(model, revision=revision, token=token, threads=threads, compute=compute)
    found = next((of for of, head in _HEADS.items() if head == encoder.head_kind), "feature-extraction")
    name = name or found
    if name != "feature-extraction" and _HEADS[name] != encoder.head_kind:
        raise MissingError(f"{name}: found a model with {encoder.head_kind or 'no head'}; expected one with {_HEADS[name]}")
    return _CLASSES[name](encoder, options)


class Pipeline:
    """A task on one model. Called with one input it gives one result, and with a list of them a list."""

    task: str = ""
    _options: frozenset[str] = frozenset()

    def __init__(self, encoder: Encoder, options: dict[str, Any]) -> None:
        self.encoder = encoder
        self.defaults = self._checked(options)

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Runs the task."""
        return self._run(inputs, self.defaults | self._checked(options))

    def _checked(self, options: dict[str, Any]) -> dict[str, Any]:
        unknown = set(options) - self._options - {"batch_size"}
        if unknown:
            raise InvalidOptionError(
                f"{self.task}: found the options {sorted(unknown)}; expected {', '.join(sorted(self._options)) or 'none'}"
            )
        return {name: value for name, value in options.items() if name != "batch_size"}

    def _run(self, inputs: Any, options: dict[str, Any]) -> Any:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"lacuna.pipeline({self.task!r}, {self.encoder!r})"


class TextClassificationPipeline(Pipeline):
    """Labels: ``[{"label": "POSITIVE", "score": 0.99}]``."""

    task = "text-classification"
    _options = frozenset({"top_k", "function_to_apply", "truncation", "max_length"})

    def _run(self, inputs: Any, options: dict[str, Any]) -> Any:
        is_list = not isinstance(inputs, (str, dict))
        items = list(inputs) if is_list else [inputs]
        pairs = [_text_or_pair(index, item) for index, item in enumerate(items)]
        logits, cuts = self.encoder.logits(pairs, max_length=options.get("max_length"))
        if cuts:
            warn_of_cuts(cuts)
        scores = self._function(options.get("function_to_apply"))(logits)
        labels = self.encoder.labels
        results = []
        for row in scores.tolist():
            found = [{"label": label, "score": score} for label, score in zip(labels, row, strict=True)]
            found.sort(key=lambda label: label["score"], reverse=True)
            results.append(found)
        if "top_k" not in options:
            best = [found[0] for found in results]
            return best if is_list or isinstance(inputs, str) else best[0]
        top_k = _positive("top_k", options["top_k"])
        results = [found[:top_k] for found in results]
        return results if is_list else results[0]

    def _function(self, name: str | None) -> Any:
        problem = self.encoder.problem
        own = {"regression": "none", "multi_label_classification": "sigmoid"}.get(problem or "", "softmax")
        name = own if name is None else str(getattr(name, "value", name))
        functions = {"none": lambda logits: logits, "sigmoid": sigmoid, "softmax": softmax}
        if name not in functions:
            raise InvalidOptionError(f"function_to_apply: found {name!r}; expected one of {list(functions)}")
        return functions[name]


class TokenClassificationPipeline(Pipeline):
    """Spans with labels: ``[{"entity_group": "PER", "score": 0.99, "word": "Ada", "start": 0, "end": 3}]``.

    ``word`` is the part of the text. With ``aggregation_strategy="none"``, the default, every token is a span of its own with the key ``entity``.
    """

    task = "token-classification"
    _options = frozenset({"aggregation_strategy", "ignore_labels", "stride"})

    def _run(self, inputs: Any, options: dict[str, Any]) -> Any:
        is_list = not isinstance(inputs, str)
        texts = as_list(inputs) if is_list else [inputs]
        strategy = str(getattr(options.get("aggregation_strategy"), "value", options.get("aggregation_strategy") or "none"))
        ignored = options.get("ignore_labels") or ["O"]
        key = "entity" if strategy == "none" else "entity_group"
        results = []
        all_found = self.encoder.tag(texts, aggregation=strategy, overlap=options.get("stride"))
        for text, found in zip(texts, all_found, strict=True):
            results.append(
                [
                    {
                        key: entity["label"],
                        "score": entity["score"],
                        "word": text[entity["start_char"] : entity["end_char"]],
                        "start": entity["start_char"],
                        "end": entity["end_char"],
                    }
                    for entity in found
                    if entity["label"] not in ignored
                ]
            )
        return results if is_list else results[0]


class QuestionAnsweringPipeline(Pipeline):
    """Answers: ``{"score": 0.87, "start": 12, "end": 20, "answer": "on a mat"}``."""

    task = "question-answering"
    _options = frozenset({"top_k", "max_answer_len", "doc_stride", "handle_impossible_answer"})

    def __call__(self, inputs: Any = None, *, question: Any = None, context: Any = None, **options: Any) -> Any:
        """Takes ``{"question": ..., "context": ...}``, a list of those, or both as arguments."""
        if inputs is None:
            if isinstance(question, (list, tuple)):
                contexts = [context] * len(question) if isinstance(context, str) else list(context)
                inputs = [{"question": q, "context": c} for q, c in zip(question, contexts, strict=True)]
            else:
                inputs = {"question": question, "context": context}
        return super().__call__(inputs, **options)

    def _run(self, inputs: Any, options: dict[str, Any]) -> Any:
        is_list = not isinstance(inputs, dict)
        pairs = []
        for index, item in enumerate(inputs if is_list else [inputs]):
            question, context = (item.get("question"), item.get("context")) if isinstance(item, dict) else (None, None)
            if not isinstance(question, str) or not isinstance(context, str):
                raise InvalidInputError(f"input {index} (counted from 0): found {item!r:.80}; expected a question and a context")
            pairs.append((question, context))
        top_k = _positive("top_k", options.get("top_k", 1)) or 1
        rows = self.encoder.answer(
            pairs,
            top_k=top_k,
            max_tokens=options.get("max_answer_len", 15),
            overlap=options.get("doc_stride"),
            allow_none=bool(options.get("handle_impossible_answer", False)),
        )
        results: list[Any] = []
        for row in rows:
            found = [
                {
                    "score": answer["score"],
                    "start": answer["start_char"] or 0,
                    "end": answer["end_char"] or 0,
                    "answer": answer["answer"] or "",
                }
                for answer in row
            ]
            results.append(found[0] if top_k == 1 and found else found)
        return results if is_list else results[0]


class FillMaskPipeline(Pipeline):
    """Candidates for a mask: ``[{"score": 0.4, "token": 4937, "token_str": "cat", "sequence": "the cat sat."}]``; a list of those where a text has several.

    ``sequence`` is what the tokenizer makes of the filled tokens; of a text over the model's limit it is the text with the token in place.
    """

    task = "fill-mask"
    _options = frozenset({"top_k", "targets"})

    def _run(self, inputs: Any, options: dict[str, Any]) -> Any:
        if options.get("targets") is not None:
            raise UnsupportedError("targets: found a value; expected None, since candidates are those of the whole vocabulary")
        is_list = not isinstance(inputs, str)
        texts = as_list(inputs) if is_list else [inputs]
        top_k = _positive("top_k", options.get("top_k", 5)) or 5
        results: list[Any] = []
        for text, masks in zip(texts, self.encoder.fill(texts, top_k=top_k), strict=True):
            [(ids, _, tokens)] = self.encoder.tokenize([text])
            places = np.flatnonzero(ids == self.encoder.mask_id)
            is_whole = tokens == len(ids) and len(places) == len(masks)
            found = []
            for number, mask in enumerate(masks):
                candidates = []
                for candidate in mask["candidates"]:
                    sequence = candidate["sequence"]  # of a text that was read in windows
                    if is_whole:
                        filled = ids.copy()
                        filled[places[number]] = candidate["id"]
                        sequence = self.encoder.decode(filled.tolist(), skip_special_tokens=len(masks) == 1)
                    candidates.append(
                        {
                            "score": candidate["score"],
                            "token": candidate["id"],
                            "token_str": candidate["token"],
                            "sequence": sequence,
                        }
                    )
                found.append(candidates)
            results.append(found[0] if len(found) == 1 else found)
        return results if is_list else results[0]


class FeatureExtractionPipeline(Pipeline):
    """Hidden states as nested lists: ``[1][tokens][features]`` for each text."""

    task = "feature-extraction"

    def _run(self, inputs: Any, options: dict[str, Any]) -> Any:
        is_list = not isinstance(inputs, str)
        texts = as_list(inputs) if is_list else [inputs]
        states, cuts = self.encoder.hidden_states(texts)
        if cuts:
            warn_of_cuts(cuts)
        results = [[state.tolist()] for state in states]
        return results if is_list else results[0]


_CLASSES: dict[str, type[Pipeline]] = {
    of.task: of
    for of in (
        FeatureExtractionPipeline,
        FillMaskPipeline,
        QuestionAnsweringPipeline,
        TextClassificationPipeline,
        TokenClassificationPipeline,
    )
}


def _text_or_pair(index: int, item: Any) -> str | tuple[str, str]:
    if isinstance(item, str):
        return item
    if isinstance(item, dict) and isinstance(item.get("text"), str):
        pair = item.get("text_pair")
        if pair is None:
            return str(item["text"])
        if isinstance(pair, str):
            return (item["text"], pair)
    raise InvalidInputError(f"input {index} (counted from 0): found {item!r:.80}; expected a text, or a dict with text and text_pair")


def _positive(option: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidOptionError(f"{option}: found {value!r}; expected at least 1")
    return value
