"""Embeddings of a column of polars: pip install polars."""

import polars as pl

import lacuna
from lacuna.polars import embed

model = lacuna.SentenceTransformer()
frame = pl.DataFrame({"text": ["A cat sits on the mat.", "It rains at noon.", None]})
print(frame.with_columns(embed("text", model).alias("embedding")))
