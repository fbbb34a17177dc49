"""The compiled half of the package."""

import os
from collections.abc import Callable, Sequence
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

__all__ = ["CalibratedModel", "Encoder", "Model", "PackedModel", "Session", "__version__", "bench", "bench_defaults", "close", "compress", "compress_defaults", "shipped_name"]

__version__: str

def close() -> None: ...
def shipped_name() -> str: ...
def bench_defaults() -> tuple[list[int], list[int], int]: ...
def bench(
    encoder: Encoder,
    *,
    name: str,
    texts: Sequence[str] | None,
    batch: Sequence[int],
    seq: Sequence[int],
    repeats: int,
    threads: int,
) -> list[dict[str, Any]]: ...
def compress_defaults() -> dict[str, Any]: ...
def compress(
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    name: str,
    sparsity: float | None,
    block: str | None,
    speedup: float | None,
    target_ms: float | None,
    seq: int,
    keep_order: bool,
    start_sparsity: float | None,
    heads: int | None,
    ffn: int | None,
    activation: str | None,
    method: str,
    lock: bool,
    layers: int | None,
    labelled: str | os.PathLike[str] | None,
    labelled_dev: str | os.PathLike[str] | None,
    new_head: bool,
    temperature: float,
    data: Sequence[str | os.PathLike[str]],
    pairs: str | os.PathLike[str] | None,
    train_pairs: str | os.PathLike[str] | None,
    teacher: str | os.PathLike[str] | None,
    time: float | None,
    steps: int | None,
    batch: int,
    learning_rate: float | None,
    train_embeddings: bool,
    rounding: str,
    calibration_tokens: int,
    seed: int,
    small_tables: bool,
    resume: bool,
    threads: int | None,
    tier: str | None,
    command: str,
    progress: Callable[[Any], object] | None,
) -> dict[str, Any]: ...

@final
class Encoder:
    @staticmethod
    def open(
        path: str | os.PathLike[str] | None = None,
        *,
        compute: Literal["int8", "float32"] = "int8",
        threads: int | None = None,
        tier: str | None = None,
    ) -> Encoder: ...
    @property
    def compute(self) -> Literal["int8", "float32"]: ...
    @property
    def features(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def max_length(self) -> int: ...
    @property
    def max_position(self) -> int: ...
    @property
    def has_token_types(self) -> bool: ...
    @property
    def pad_id(self) -> int: ...
    @property
    def mask_id(self) -> int | None: ...
    @property
    def threads(self) -> int | None: ...
    @property
    def prompts(self) -> dict[str, str]: ...
    @property
    def default_prompt_name(self) -> str | None: ...
    @property
    def similarity(self) -> Any: ...
    @property
    def pooling(self) -> str: ...
    @property
    def remarks(self) -> list[str]: ...
    @property
    def head_class(self) -> str | None: ...
    @property
    def head_kind(self) -> str | None: ...
    @property
    def labels(self) -> list[str]: ...
    @property
    def problem(self) -> str | None: ...
    @property
    def score_function(self) -> str | None: ...
    def report(self) -> dict[str, Any]: ...
    def report_text(self) -> str: ...
    def embed(
        self,
        texts: Sequence[str],
        *,
        prompt: str | None = None,
        max_length: int | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> tuple[NDArray[np.float32], list[tuple[int, int, int]]]: ...
    def hidden_states(
        self,
        texts: Sequence[str],
        *,
        prompt: str | None = None,
        max_length: int | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> tuple[list[NDArray[np.float32]], list[tuple[int, int, int]]]: ...
    def tokenize(
        self, inputs: Sequence[str | tuple[str, str]], *, max_length: int | None = None
    ) -> list[tuple[NDArray[np.int64], NDArray[np.int64], int]]: ...
    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str: ...
    def logits(
        self,
        inputs: Sequence[str | tuple[str, str]],
        *,
        max_length: int | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> tuple[NDArray[np.float32], list[tuple[int, int, int]]]: ...
    def tag(
        self,
        texts: Sequence[str],
        *,
        aggregation: str = "simple",
        scheme: str | None = None,
        overlap: int | None = None,
    ) -> list[list[dict[str, Any]]]: ...
    def answer(
        self,
        inputs: Sequence[tuple[str, str]],
        *,
        top_k: int = 1,
        max_tokens: int = 30,
        overlap: int | None = None,
        allow_none: bool = False,
    ) -> list[list[dict[str, Any]]]: ...
    def fill(self, texts: Sequence[str], *, top_k: int = 5) -> list[list[dict[str, Any]]]: ...
    def session(self) -> Session: ...

@final
class Session:
    @property
    def encoder(self) -> Encoder: ...
    def embed(
        self,
        texts: Sequence[str],
        *,
        prompt: str | None = None,
        max_length: int | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> tuple[NDArray[np.float32], list[tuple[int, int, int]]]: ...
    def cancel(self) -> None: ...
    def reset(self) -> None: ...
    @property
    def cancelled(self) -> bool: ...

@final
class Model:
    @staticmethod
    def open(path: str | os.PathLike[str], *, weights: str | os.PathLike[str] | None = None) -> Model: ...
    def prune(self, block: str, sparsity: float) -> Model: ...
    def calibrate(
        self,
        texts: Sequence[str | tuple[str, str]] | None = None,
        *,
        range: str | None = None,
        smoothing: str | None = None,
        measured: bool = False,
        keep_below_db: float | None = None,
        at_most: int | None = None,
    ) -> CalibratedModel: ...
    def write(self, path: str | os.PathLike[str]) -> None: ...
    @property
    def sparsity(self) -> float: ...
    @property
    def remarks(self) -> list[str]: ...
    @property
    def head_class(self) -> str | None: ...

@final
class CalibratedModel:
    def compile(self, *, form: str = "auto", tier: str | None = None, threads: int | None = None) -> Encoder: ...
    def pack(self, *, form: str = "auto", tier: str | None = None, small_tables: bool = False) -> PackedModel: ...
    def precision(self) -> list[Any]: ...
    def basis(self) -> dict[str, Any]: ...
    @property
    def model(self) -> Model: ...

@final
class PackedModel:
    @staticmethod
    def open(path: str | os.PathLike[str] | None = None) -> PackedModel: ...
    def write(self, path: str | os.PathLike[str]) -> int: ...
    def compile(self, *, tier: str | None = None, threads: int | None = None) -> Encoder: ...
    @property
    def file_bytes(self) -> int: ...
    @property
    def head_class(self) -> str | None: ...
    @property
    def remarks(self) -> list[str]: ...
    @property
    def sections(self) -> list[tuple[str, int]]: ...
