"""``CrossEncoder``, with the signatures and the semantics of sentence-transformers for pairs of texts."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from ._inputs import as_list
from ._lacuna import Encoder
from ._loading import Compute, check_device, compute_of, load, refuse
from ._optional import require
from ._progress import bar
from .errors import InvalidInputError, InvalidOptionError, MissingError
from .report import LoadReport
from .sentence_transformer import ModelCard, logger, warn_of_cuts

__all__ = ["CrossEncoder"]

Array: TypeAlias = "np.ndarray[Any, Any]"


def sigmoid(values: Array) -> Array:
    """``1 / (1 + exp(-x))`` without overflow."""
    small = np.exp(-np.abs(values))
    result: Array = np.where(values >= 0, 1 / (1 + small), small / (1 + small))
    return result


def softmax(values: Array) -> Array:
    """Of every row."""
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    result: Array = powers / powers.sum(axis=-1, keepdims=True)
    return result


class CrossEncoder:
    """A model that reads two texts together and gives scores: a file of ``lacuna pack``, a model directory, a name of the Hugging Face hub, or an
    :class:`lacuna.Encoder` of a model for sequence classification. ``threads`` and ``compute`` are as for :class:`lacuna.SentenceTransformer`.

    Arguments that lacuna has no use for are accepted with the values that change nothing, and refused with others.
    """

    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str] | Encoder | None = None,
        *,
        modules: None = None,
        device: Any = None,
        prompts: dict[str, str] | None = None,
        default_prompt_name: str | None = None,
        cache_folder: str | None = None,
        trust_remote_code: bool = False,
        revision: str | None = None,
        local_files_only: bool = False,
        token: bool | str | None = None,
        model_kwargs: dict[str, Any] | None = None,
        processor_kwargs: dict[str, Any] | None = None,
        config_kwargs: dict[str, Any] | None = None,
        model_card_data: Any = None,
        backend: Literal["torch", "onnx", "openvino"] = "torch",
        num_labels: int | None = None,
        max_length: int | None = None,
        activation_fn: Callable[[Any], Any] | None = None,
        keep_in_fp32_modules: list[str] | None = None,
        threads: int | None = None,
        compute: Compute | None = None,
    ) -> None:
        refuse(
            modules=(modules, None),
            trust_remote_code=(trust_remote_code, False),
            processor_kwargs=(processor_kwargs, None),
            config_kwargs=(config_kwargs, None),
            backend=(backend, "torch"),
            keep_in_fp32_modules=(keep_in_fp32_modules, None),
        )
        check_device(device)
        self._encoder = load(
            model_name_or_path,
            organisation="cross-encoder",
            cache_folder=cache_folder,
            revision=revision,
            token=token,
            local_files_only=local_files_only,
            threads=threads,
            compute=compute_of(compute, model_kwargs),
        )
        if self._encoder.head_kind != "sequence classification":
            found = self._encoder.head_kind or "no head"
            raise MissingError(f"CrossEncoder: found a model with {found}; expected one for sequence classification")
        if num_labels is not None and num_labels != self.num_labels:
            raise InvalidOptionError(f"num_labels: found {num_labels}; expected {self.num_labels}, as the model has")
        self.prompts: dict[str, str] = self._encoder.prompts | (prompts or {})
        self.default_prompt_name = default_prompt_name or self._encoder.default_prompt_name
        if self.default_prompt_name is not None and self.default_prompt_name not in self.prompts:
            raise InvalidOptionError(
                f"default_prompt_name: found {self.default_prompt_name!r}; expected one of {list(self.prompts)}"
            )
        self._max_length: int | None = None
        if max_length is not None:
            self.max_length = max_length
        #: What makes scores of logits; it takes and gives a tensor. ``None`` is the model's own function.
        self.activation_fn = activation_fn
        named = model_name_or_path if isinstance(model_name_or_path, (str, os.PathLike)) else "encoder"
        #: Evaluators of sentence-transformers write their figures to it.
        self.model_card_data = ModelCard(f"lacuna/{Path(named).name}") if model_card_data is None else model_card_data

    @property
    def num_labels(self) -> int:
        """Scores per pair."""
        return len(self._encoder.labels)

    @property
    def max_length(self) -> int:
        """The longest pair in tokens, special tokens included. Longer pairs are truncated."""
        return self._max_length or self._encoder.max_length

    @max_length.setter
    def max_length(self, value: int) -> None:
        most = self._encoder.max_position
        if isinstance(value, bool) or not isinstance(value, int) or not 3 <= value <= most:
            raise InvalidOptionError(f"max_length: found {value!r}; expected 3 to {most}, which the model has positions for")
        self._max_length = value

    def predict(
        self,
        inputs: Any,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Callable[[Any], Any] | None = None,
        apply_softmax: bool | None = False,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: Any = None,
        pool: None = None,
        chunk_size: None = None,
        **kwargs: Any,
    ) -> Any:
        """The scores of pairs: one number per pair of a model with one label, and a row of them per pair of a model with several.

        Batches are packed without padding: ``batch_size`` is checked and has no other effect. ``activation_fn`` takes and gives a tensor of torch.
        """
        if kwargs:
            raise InvalidOptionError(
                f"predict: found the arguments {sorted(kwargs)}; expected none besides those of its signature"
            )
        if batch_size <= 0:
            raise InvalidOptionError(f"batch_size: found {batch_size}; expected a positive integer")
        refuse(pool=(pool, None), chunk_size=(chunk_size, None))
        check_device(device)
        pairs, is_single = _pairs(inputs)
        text = self._prompt(prompt, prompt_name)
        if text:
            pairs = [(text + first, second) for first, second in pairs]
        with bar(show_progress_bar, len(pairs)) as progress:
            logits, cuts = self._encoder.logits(pairs, max_length=self._max_length, progress=progress)
        if cuts:
            warn_of_cuts(cuts)
        scores: Any = self._scores(logits, activation_fn)
        if apply_softmax and scores.ndim > 1:
            scores = softmax(scores)
        if convert_to_tensor or not convert_to_numpy:
            torch: Any = require("torch", "convert_to_tensor=True or convert_to_numpy=False")
            scores = torch.from_numpy(np.ascontiguousarray(scores)) if pairs else torch.tensor([])
            scores = scores if convert_to_tensor else list(scores)
        elif not pairs:
            scores = np.array([])
        return scores[0] if is_single else scores

    def rank(
        self,
        query: str,
        documents: Sequence[str],
        top_k: int | None = None,
        return_documents: bool = False,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Callable[[Any], Any] | None = None,
        device: Any = None,
        pool: None = None,
        chunk_size: None = None,
    ) -> list[dict[str, Any]]:
        """The documents with their scores, the best first: ``[{"corpus_id": 3, "score": 0.98}, ...]``, with ``"text"`` if ``return_documents`` says so."""
        if self.num_labels != 1:
            raise InvalidOptionError(
                f"rank: found a model with {self.num_labels} labels; expected one with 1. predict() gives the scores of pairs"
            )
        texts = as_list(documents)
        scores = self.predict(
            [(query, text) for text in texts],
            prompt_name=prompt_name,
            prompt=prompt,
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            activation_fn=activation_fn,
            device=device,
            pool=pool,
            chunk_size=chunk_size,
        ).tolist()
        results: list[dict[str, Any]] = []
        for index, score in enumerate(scores):
            result = {"corpus_id": index, "score": score}
            results.append(result | {"text": texts[index]} if return_documents else result)
        results.sort(key=lambda result: result["score"], reverse=True)
        return results[:top_k]

    @property
    def encoder(self) -> Encoder:
        """The encoder."""
        return self._encoder

    def load_report(self) -> LoadReport:
        """How the model was loaded: a dictionary that prints as a table."""
        return LoadReport.of(self._encoder)

    def __repr__(self) -> str:
        return f"lacuna.CrossEncoder({self.num_labels} labels, max_length {self.max_length})"

    def _scores(self, logits: Array, activation_fn: Callable[[Any], Any] | None) -> Array:
        function = activation_fn if activation_fn is not None else self.activation_fn
        scores = logits
        if function is not None:
            torch: Any = require("torch", "activation_fn")
            scores = function(torch.from_numpy(logits)).detach().cpu().numpy()
        elif self.num_labels == 1 and self._encoder.score_function == "sigmoid":
            scores = sigmoid(logits)
        return scores[:, 0] if self.num_labels == 1 and scores.ndim > 1 else scores

    def _prompt(self, prompt: str | None, name: str | None) -> str | None:
        if prompt is not None:
            if name is not None:
                logger.warning("prompt and prompt_name are both given: the name %r is ignored", name)
            return prompt
        name = self.default_prompt_name if name is None else name
        if name is None:
            return None
        if name not in self.prompts:
            raise InvalidOptionError(f"prompt_name: found {name!r}; expected one of {list(self.prompts)}")
        return self.prompts[name]


def _pairs(inputs: Any) -> tuple[list[tuple[str, str]], bool]:
    """Pairs, and whether there is one only."""
    if isinstance(inputs, np.ndarray):
        inputs = inputs.tolist()
    elif not isinstance(inputs, (list, tuple)):
        inputs = list(inputs)
    is_single = len(inputs) > 0 and isinstance(inputs[0], str)
    pairs = []
    for index, pair in enumerate([inputs] if is_single else inputs):
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise InvalidInputError(f"pair {index} (counted from 0): found {pair!r:.80}; expected two texts")
        pairs.append((pair[0], pair[1]))
    return pairs, is_single
