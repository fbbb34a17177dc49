"""How embeddings are compared: with torch if it is installed, as sentence-transformers does, else with NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np

from ._optional import is_installed
from .errors import InvalidOptionError

__all__ = ["NAMES", "SimilarityName", "similarity", "similarity_pairwise"]

Array: TypeAlias = "np.ndarray[Any, Any]"
SimilarityName: TypeAlias = Literal["cosine", "dot", "euclidean", "manhattan"]

#: The functions by name. Larger is more similar; distances are negative.
NAMES: tuple[SimilarityName, ...] = ("cosine", "dot", "euclidean", "manhattan")


def check_name(name: Any) -> SimilarityName:
    """The name, also of a ``SimilarityFunction`` of sentence-transformers."""
    name = getattr(name, "value", name)
    if name not in NAMES:
        raise InvalidOptionError(f"similarity_fn_name: found {name!r}; expected one of {NAMES}")
    checked: SimilarityName = name
    return checked


def similarity(name: SimilarityName, first: Any, second: Any) -> Any:
    """Every embedding of ``first`` with every one of ``second``: ``[first, second]``."""
    a, b, wrap = _arrays(first, second)
    a, b = np.atleast_2d(a), np.atleast_2d(b)
    return wrap(_ALL[name](a, b))


def similarity_pairwise(name: SimilarityName, first: Any, second: Any) -> Any:
    """Each embedding of ``first`` with the one at the same place in ``second``."""
    a, b, wrap = _arrays(first, second)
    return wrap(np.asarray(_PAIRWISE[name](a, b)))


def _arrays(first: Any, second: Any) -> tuple[Array, Array, Callable[[Array], Any]]:
    return _array(first), _array(second), _tensor if is_installed("torch") else _as_is


def _array(values: Any) -> Array:
    if isinstance(values, (list, tuple)):
        values = np.stack([_array(value) for value in values])
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    array = np.asarray(values)
    return array if array.dtype.kind == "f" else array.astype(np.float32)


def _as_is(values: Array) -> Array:
    return values


def _tensor(values: Array) -> Any:
    import torch

    return torch.from_numpy(values)


def _unit(values: Array) -> Array:
    norms = np.linalg.norm(values, axis=-1, keepdims=True)
    unit: Array = values / np.maximum(norms, 1e-12)
    return unit


def _euclidean(a: Array, b: Array) -> Array:
    squares = (a * a).sum(axis=1)[:, None] - 2 * (a @ b.T) + (b * b).sum(axis=1)[None, :]
    distances: Array = np.sqrt(np.maximum(squares, 0))
    return -distances


def _manhattan(a: Array, b: Array) -> Array:
    return -np.stack([np.abs(row - b).sum(axis=1) for row in a]) if len(a) else np.zeros((0, len(b)), a.dtype)


_ALL: dict[str, Callable[[Array, Array], Array]] = {
    "cosine": lambda a, b: _unit(a) @ _unit(b).T,
    "dot": lambda a, b: a @ b.T,
    "euclidean": _euclidean,
    "manhattan": _manhattan,
}

_PAIRWISE: dict[str, Callable[[Array, Array], Array]] = {
    "cosine": lambda a, b: (_unit(a) * _unit(b)).sum(axis=-1),
    "dot": lambda a, b: (a * b).sum(axis=-1),
    "euclidean": lambda a, b: -np.linalg.norm(a - b, axis=-1),
    "manhattan": lambda a, b: -np.abs(a - b).sum(axis=-1),
}
