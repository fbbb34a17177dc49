"""``SentenceTransformer``, with the signatures and the semantics of sentence-transformers for what encoders of text can do."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias, overload

import numpy as np

from ._inputs import Texts, as_list
from ._lacuna import Encoder
from ._loading import Compute, check_device, compute_of, load, refuse
from ._optional import is_installed, require
from ._progress import bar
from .errors import InvalidOptionError, UnsupportedError
from .quantization import PRECISIONS, Precision, quantize_embeddings
from .report import LoadReport
from .similarity import SimilarityName, check_name, similarity, similarity_pairwise

__all__ = ["SentenceTransformer"]

Array: TypeAlias = "np.ndarray[Any, Any]"
OutputValue: TypeAlias = Literal["sentence_embedding", "token_embeddings"]

logger = logging.getLogger("lacuna")


class SentenceTransformer:
    """A sentence encoder.

    ``model_name_or_path`` is a file of ``lacuna pack``, a model directory, a name of the Hugging Face hub, or an :class:`lacuna.Encoder`. Without it the
    model that comes with the package is taken. A directory is calibrated when it is opened, which takes seconds; a packed file opens in milliseconds.

    ``threads`` is the number of threads of each call. Without it all calls share threads of the process, one for each CPU.

    ``compute="float32"`` runs the f32 weights of a directory as they are, slowly: vectors are those of sentence-transformers but for rounding. ``"int8"`` is the
    default, or what an ``Encoder`` has.

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
        use_auth_token: bool | str | None = None,
        model_kwargs: dict[str, Any] | None = None,
        processor_kwargs: dict[str, Any] | None = None,
        config_kwargs: dict[str, Any] | None = None,
        model_card_data: Any = None,
        backend: Literal["torch", "onnx", "openvino"] = "torch",
        similarity_fn_name: SimilarityName | None = None,
        truncate_dim: int | None = None,
        threads: int | None = None,
        compute: Compute | None = None,
    ) -> None:
        refuse(
            modules=(modules, None),
            trust_remote_code=(trust_remote_code, False),
            use_auth_token=(use_auth_token, None),
            processor_kwargs=(processor_kwargs, None),
            config_kwargs=(config_kwargs, None),
            backend=(backend, "torch"),
        )
        check_device(device)
        self._encoder = load(
            model_name_or_path,
            organisation="sentence-transformers",
            cache_folder=cache_folder,
            revision=revision,
            token=token,
            local_files_only=local_files_only,
            threads=threads,
            compute=compute_of(compute, model_kwargs),
        )
        self.prompts: dict[str, str] = {"query": "", "document": ""} | self._encoder.prompts | (prompts or {})
        self.default_prompt_name = default_prompt_name or self._encoder.default_prompt_name
        if self.default_prompt_name is not None and self.default_prompt_name not in self.prompts:
            raise InvalidOptionError(
                f"default_prompt_name: found {self.default_prompt_name!r}; expected one of {list(self.prompts)}"
            )
        own = similarity_fn_name if similarity_fn_name is not None else self._encoder.similarity
        self._similarity_fn_name: SimilarityName = check_name(own or "cosine")
        self.truncate_dim = _check_dim(truncate_dim)
        self._max_seq_length: int | None = None
        named = model_name_or_path if isinstance(model_name_or_path, (str, os.PathLike)) else "model"
        #: What programs that evaluate models ask for; nothing here reads it.
        self.model_card_data = ModelCard(f"lacuna/{Path(named).name}") if model_card_data is None else model_card_data

    @overload
    def encode(
        self,
        inputs: str | Texts,
        prompt_name: str | None = ...,
        prompt: str | None = ...,
        batch_size: int = ...,
        show_progress_bar: bool | None = ...,
        output_value: Literal["sentence_embedding"] = ...,
        precision: Precision = ...,
        convert_to_numpy: Literal[True] = ...,
        convert_to_tensor: Literal[False] = ...,
        device: Any = ...,
        normalize_embeddings: bool = ...,
        truncate_dim: int | None = ...,
        pool: None = ...,
        chunk_size: None = ...,
        **kwargs: Any,
    ) -> Array: ...
    @overload
    def encode(
        self,
        inputs: str | Texts,
        prompt_name: str | None = ...,
        prompt: str | None = ...,
        batch_size: int = ...,
        show_progress_bar: bool | None = ...,
        output_value: OutputValue | None = ...,
        precision: Precision = ...,
        convert_to_numpy: bool = ...,
        convert_to_tensor: bool = ...,
        device: Any = ...,
        normalize_embeddings: bool = ...,
        truncate_dim: int | None = ...,
        pool: None = ...,
        chunk_size: None = ...,
        **kwargs: Any,
    ) -> Any: ...
    def encode(
        self,
        inputs: str | Texts,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: OutputValue | None = "sentence_embedding",
        precision: Precision = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: Any = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        pool: None = None,
        chunk_size: None = None,
        **kwargs: Any,
    ) -> Any:
        """One embedding per text: a vector for a ``str``, and a matrix for anything that holds several.

        Batches are packed without padding, and results do not depend on them: ``batch_size`` is checked and has no other effect. A text over
        ``max_seq_length`` is truncated, with a warning in the log.
        """
        if kwargs:
            inputs = _check_kwargs(inputs, kwargs)
        if batch_size <= 0:
            raise InvalidOptionError(f"batch_size: found {batch_size}; expected a positive integer")
        if pool is not None or chunk_size is not None:
            refuse(pool=(pool, None), chunk_size=(chunk_size, None))
        if device is not None:
            check_device(device)
        if precision is not None and precision not in PRECISIONS:
            raise UnsupportedError(f"precision: found {precision!r}; expected one of {PRECISIONS}")
        if output_value not in ("sentence_embedding", "token_embeddings"):
            raise UnsupportedError(
                f"output_value: found {output_value!r}; expected 'sentence_embedding' or 'token_embeddings'"
            )
        text = self._prompt(prompt, prompt_name)
        is_single = isinstance(inputs, str)
        texts: list[str] = [inputs] if isinstance(inputs, str) else as_list(inputs)
        dim = self.truncate_dim if truncate_dim is None else _check_dim(truncate_dim)
        if output_value == "token_embeddings":
            return self._token_embeddings(texts, text, show_progress_bar, is_single)

        values = self._embed(texts, text, show_progress_bar)
        if dim is not None:
            values = values[:, :dim]
        if normalize_embeddings:
            norms = np.sqrt(np.einsum("ij,ij->i", values, values))
            values = values / np.maximum(norms, 1e-12)[:, None]
        if precision is not None and precision != "float32" and texts:
            values = quantize_embeddings(values, precision)

        if convert_to_tensor or not convert_to_numpy:
            torch = _torch("convert_to_tensor=True" if convert_to_tensor else "convert_to_numpy=False")
            if convert_to_tensor:
                tensor = torch.from_numpy(np.ascontiguousarray(values)) if texts else torch.tensor([])
                return tensor[0] if is_single else tensor
            tensors = list(torch.from_numpy(np.ascontiguousarray(values)))
            return tensors[0] if is_single else tensors
        if not texts:
            return np.array([])
        return values[0] if is_single else values

    def encode_query(
        self,
        inputs: str | Texts,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: OutputValue | None = "sentence_embedding",
        precision: Precision = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: Any = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        pool: None = None,
        chunk_size: None = None,
        **kwargs: Any,
    ) -> Any:
        """As :meth:`encode`, with the prompt ``query`` unless another is named."""
        if prompt_name is None and prompt is None and "query" in self.prompts:
            prompt_name = "query"
        return self.encode(
            inputs,
            prompt_name,
            prompt,
            batch_size,
            show_progress_bar,
            output_value,
            precision,
            convert_to_numpy,
            convert_to_tensor,
            device,
            normalize_embeddings,
            truncate_dim,
            pool,
            chunk_size,
            **kwargs,
        )

    def encode_document(
        self,
        inputs: str | Texts,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: OutputValue | None = "sentence_embedding",
        precision: Precision = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: Any = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        pool: None = None,
        chunk_size: None = None,
        **kwargs: Any,
    ) -> Any:
        """As :meth:`encode`, with the prompt ``document``, ``passage`` or ``corpus``, the first that there is, unless another is named."""
        if prompt_name is None and prompt is None:
            prompt_name = next((name for name in ("document", "passage", "corpus") if name in self.prompts), None)
        return self.encode(
            inputs,
            prompt_name,
            prompt,
            batch_size,
            show_progress_bar,
            output_value,
            precision,
            convert_to_numpy,
            convert_to_tensor,
            device,
            normalize_embeddings,
            truncate_dim,
            pool,
            chunk_size,
            **kwargs,
        )

    @property
    def similarity_fn_name(self) -> SimilarityName:
        """How embeddings are compared: cosine, dot, euclidean or manhattan."""
        return self._similarity_fn_name

    @similarity_fn_name.setter
    def similarity_fn_name(self, value: SimilarityName) -> None:
        self._similarity_fn_name = check_name(value)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """The similarity of each embedding with each: a tensor if torch is installed, else an array of NumPy."""
        return similarity(self._similarity_fn_name, embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """The similarity of the embeddings at the same places: a tensor if torch is installed, else an array of NumPy."""
        return similarity_pairwise(self._similarity_fn_name, embeddings1, embeddings2)

    def preprocess(self, inputs: Any, prompt: str | None = None, **kwargs: Any) -> dict[str, Any]:
        """Token ids, types and mask, padded to the longest text: tensors if torch is installed, else arrays of NumPy."""
        refuse(**{name: (value, None) for name, value in kwargs.items()})
        items = [(prompt or "") + text for text in as_list(inputs)]
        if not items:
            return {}
        tokens = self._encoder.tokenize(items, max_length=self._max_seq_length)
        longest = max(len(ids) for ids, _, _ in tokens)
        shape = (len(tokens), longest)
        ids = np.full(shape, self._encoder.pad_id, dtype=np.int64)
        types, mask = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        for row, (these, kinds, _) in enumerate(tokens):
            ids[row, : len(these)], types[row, : len(these)], mask[row, : len(these)] = these, kinds, 1
        features = {"input_ids": ids, "token_type_ids": types, "attention_mask": mask}
        if not self._encoder.has_token_types:
            del features["token_type_ids"]
        if is_installed("torch"):
            torch = _torch("preprocess")
            return {name: torch.from_numpy(values) for name, values in features.items()}
        return dict(features)

    def tokenize(self, texts: Any, **kwargs: Any) -> dict[str, Any]:
        """As :meth:`preprocess`."""
        return self.preprocess(texts, **kwargs)

    @property
    def max_seq_length(self) -> int:
        """The longest sequence in tokens, special tokens included. Longer texts are truncated."""
        return self._max_seq_length or self._encoder.max_length

    @max_seq_length.setter
    def max_seq_length(self, value: int) -> None:
        most = self._encoder.max_position
        if isinstance(value, bool) or not isinstance(value, int) or not 3 <= value <= most:
            raise InvalidOptionError(f"max_seq_length: found {value!r}; expected 3 to {most}, which the model has positions for")
        self._max_seq_length = value

    def get_max_seq_length(self) -> int:
        """As :attr:`max_seq_length`."""
        return self.max_seq_length

    def get_embedding_dimension(self) -> int:
        """Features of an embedding."""
        features = self._encoder.features
        return features if self.truncate_dim is None else min(features, self.truncate_dim)

    def get_sentence_embedding_dimension(self) -> int:
        """As :meth:`get_embedding_dimension`."""
        return self.get_embedding_dimension()

    @contextmanager
    def truncate_embeddings(self, truncate_dim: int | None) -> Iterator[None]:
        """Within this context embeddings have their first ``truncate_dim`` features only."""
        before = self.truncate_dim
        self.truncate_dim = _check_dim(truncate_dim)
        try:
            yield
        finally:
            self.truncate_dim = before

    @contextmanager
    def truncate_sentence_embeddings(self, truncate_dim: int | None) -> Iterator[None]:
        """As :meth:`truncate_embeddings`."""
        with self.truncate_embeddings(truncate_dim):
            yield

    def evaluate(self, evaluator: Any, output_path: str | None = None) -> Any:
        """Runs an evaluator of sentence-transformers on this model."""
        if output_path is not None:
            os.makedirs(output_path, exist_ok=True)
        return evaluator(self, output_path)

    @property
    def device(self) -> Any:
        """The CPU: a ``torch.device`` if torch is installed, else ``"cpu"``."""
        return _torch("device").device("cpu") if is_installed("torch") else "cpu"

    @property
    def encoder(self) -> Encoder:
        """The encoder."""
        return self._encoder

    def load_report(self) -> LoadReport:
        """How the model was loaded: a dictionary that prints as a table."""
        return LoadReport.of(self._encoder)

    def __repr__(self) -> str:
        return (
            f"lacuna.SentenceTransformer({self.get_embedding_dimension()} features, max_seq_length {self.max_seq_length}, "
            f"{self._encoder.pooling}, {self._similarity_fn_name})"
        )

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

    def _embed(self, texts: list[str], prompt: str | None, show: bool | None) -> Array:
        if len(texts) == 1 and not show:
            values, cuts = self._encoder.embed(texts, prompt=prompt, max_length=self._max_seq_length)
        else:
            with bar(show, len(texts)) as progress:
                values, cuts = self._encoder.embed(
                    texts, prompt=prompt, max_length=self._max_seq_length, progress=progress
                )
        if cuts:
            warn_of_cuts(cuts)
        return values

    def _token_embeddings(self, texts: list[str], prompt: str | None, show: bool | None, is_single: bool) -> Any:
        torch = _torch("output_value='token_embeddings'")
        with bar(show, len(texts)) as progress:
            states, cuts = self._encoder.hidden_states(
                texts, prompt=prompt, max_length=self._max_seq_length, progress=progress
            )
        if cuts:
            warn_of_cuts(cuts)
        tensors = [torch.from_numpy(state) for state in states]
        return tensors[0] if is_single else tensors


def warn_of_cuts(cuts: list[tuple[int, int, int]]) -> None:
    """Says which texts were truncated."""
    index, tokens, limit = cuts[0]
    logger.warning(
        "%s of the texts were truncated, the first of them text %s (counted from 0) from %s to %s tokens",
        len(cuts),
        index,
        tokens,
        limit,
    )


def _check_kwargs(inputs: Any, kwargs: dict[str, Any]) -> Any:
    """Refuses unknown arguments. ``task`` chooses a module of models that have several, which none of these has."""
    unknown = set(kwargs) - {"task"}
    if unknown == {"processing_kwargs"} and not kwargs["processing_kwargs"]:
        unknown = set()
    if unknown:
        raise InvalidOptionError(f"encode: found the arguments {sorted(unknown)}; expected none besides those of its signature")
    return inputs


def _check_dim(dim: int | None) -> int | None:
    if dim is not None and (isinstance(dim, bool) or not isinstance(dim, int) or dim < 1):
        raise InvalidOptionError(f"truncate_dim: found {dim!r}; expected a positive integer or None")
    return dim


def _torch(why: str) -> Any:
    return require("torch", why)


class ModelCard:
    """What programs that evaluate models ask of one: names. It takes what evaluators report, and keeps nothing."""

    def __init__(self, name: str) -> None:
        self.model_name: str | None = name
        self.model_id: str | None = None
        self.base_model: str | None = None
        self.base_model_revision: str | None = None

    def set_evaluation_metrics(self, *_: Any, **__: Any) -> None:
        """Keeps nothing."""
