"""Texts in the forms that Python programs have them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np

from .errors import InvalidInputError

#: A list or tuple of texts, an array of NumPy, a column of pyarrow, polars or pandas, or anything else that gives texts.
Texts: TypeAlias = "Sequence[str] | Iterable[str] | np.ndarray[Any, Any]"


def as_list(texts: Any) -> list[str]:
    """The texts as a list of ``str``. Anything that is no text is an error that names its place."""
    if type(texts) is list:
        found = texts
    elif isinstance(texts, (str, bytes)):
        raise InvalidInputError(f"texts: found one {type(texts).__name__}; expected a list of texts")
    elif hasattr(texts, "to_pylist"):  # pyarrow
        found = texts.to_pylist()
    elif hasattr(texts, "tolist"):  # NumPy, pandas
        found = texts.tolist()
    elif hasattr(texts, "to_list"):  # polars
        found = texts.to_list()
    else:
        found = list(texts)
    if not isinstance(found, list):
        raise InvalidInputError(f"texts: found {type(texts).__name__} without a dimension; expected a list of texts")
    for index, text in enumerate(found):
        if not isinstance(text, str):
            raise InvalidInputError(f"text {index} (counted from 0): found {type(text).__name__}; expected str")
    return found
