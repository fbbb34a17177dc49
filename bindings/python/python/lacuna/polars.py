"""Embeddings of a column of polars.

>>> import lacuna, polars
>>> from lacuna.polars import embed
>>> model = lacuna.SentenceTransformer()
>>> frame = polars.DataFrame({"text": ["A cat sits.", "A dog runs.", None]})
>>> frame.with_columns(embed("text", model).alias("embedding")).schema["embedding"]
Array(Float32, shape=(384,))
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._optional import require
from .errors import InvalidInputError
from .sentence_transformer import SentenceTransformer

__all__ = ["embed"]


def embed(column: Any, model: SentenceTransformer, **options: Any) -> Any:
    """An expression: one vector per text of a column, as ``Array(Float32, features)``. A null stays null.

    ``column`` is a name or an expression; ``options`` are those of :meth:`SentenceTransformer.encode`, but for those that give another type.
    """
    pl = require("polars", "lacuna.polars")
    forbidden = {"convert_to_numpy", "convert_to_tensor", "output_value", "precision"} & set(options)
    if forbidden:
        raise InvalidInputError(f"embed: found the options {sorted(forbidden)}; expected none of them, since the column holds f32")
    features = min(model.get_embedding_dimension(), options.get("truncate_dim") or model.get_embedding_dimension())
    kind = pl.Array(pl.Float32, features)

    def vectors(texts: Any) -> Any:
        if texts.dtype == pl.Null:
            return pl.Series(texts.name, [None] * len(texts), dtype=kind)
        if texts.dtype not in (pl.String, pl.Categorical):
            raise InvalidInputError(f"column {texts.name}: found {texts.dtype}; expected String")
        present = texts.drop_nulls().cast(pl.String)
        values = model.encode(present.to_list(), **options) if len(present) else np.zeros((0, features), np.float32)
        rows = pl.Series(texts.name, np.ascontiguousarray(values, np.float32), dtype=kind)
        if len(present) == len(texts):
            return rows
        places = np.cumsum(texts.is_not_null().to_numpy()) - 1
        index = pl.Series(places, dtype=pl.UInt32).zip_with(texts.is_not_null(), pl.Series([None], dtype=pl.UInt32).new_from_index(0, len(texts)))
        return rows.gather(index)

    expression = pl.col(column) if isinstance(column, str) else column
    return expression.map_batches(vectors, return_dtype=kind)
