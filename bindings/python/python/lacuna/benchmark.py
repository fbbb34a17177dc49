"""How long a model takes from texts to vectors, as ``lacuna bench text`` measures it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from . import _lacuna
from ._inputs import as_list
from ._lacuna import Encoder
from ._loading import load
from .sentence_transformer import SentenceTransformer

__all__ = ["BenchReport", "bench"]


class BenchReport(list[dict[str, Any]]):
    """The rows that ``lacuna bench text --json`` prints, one for each batch. A list of dictionaries that prints as a table."""

    def __repr__(self) -> str:
        columns = ("batch", "seq", "threads", "tokens", "median_ms", "p95_us", "texts_per_s", "tokens_per_s")
        if not self or not all(key in row for row in self for key in columns):
            return super().__repr__()
        headings = ("batch", "seq", "threads", "tokens", "median ms", "p95 ms", "texts/s", "tokens/s")
        rows: list[tuple[str, ...]] = [headings]
        for row in self:
            figures = (f"{row['median_ms']:.3f}", f"{row['p95_us'] / 1e3:.3f}", f"{row['texts_per_s']:.0f}", f"{row['tokens_per_s']:.0f}")
            rows.append((*(str(row[key]) for key in columns[:4]), *figures))
        widths = [max(len(row[column]) for row in rows) for column in range(len(headings))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in rows]
        return f"{self[0]['name']}, tier {self[0]['tier']}, {self[0]['sparsity']:.0%} zeros\n" + "\n".join(lines)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text("..." if cycle else repr(self))


def bench(
    model: str | os.PathLike[str] | Encoder | SentenceTransformer | None = None,
    texts: Any = None,
    *,
    batch: int | Sequence[int] = (1, 32),
    seq: int | Sequence[int] = (16, 64),
    repeats: int = 100,
    threads: int = 1,
) -> BenchReport:
    """Times batches of texts: from texts to vectors, and in turn with that tokenizing alone and the encoder alone.

    ``model`` is what ``SentenceTransformer`` takes, or an encoder; without it the model that comes with the package is measured. ``batch`` are numbers of texts
    per call. ``texts`` are repeated or cut to that number; without them texts of about ``seq`` tokens are made up. Each figure is the median of ``repeats``
    samples on ``threads`` threads with hot caches.

    >>> print(lacuna.bench(batch=[1, 32], seq=64))
    """
    name = "the shipped model" if model is None else os.fspath(model) if isinstance(model, (str, os.PathLike)) else "encoder"
    encoder = model._encoder if isinstance(model, SentenceTransformer) else load(model)
    rows = _lacuna.bench(
        encoder,
        name=name,
        texts=None if texts is None else as_list(texts),
        batch=[batch] if isinstance(batch, int) else list(batch),
        seq=[seq] if isinstance(seq, int) else list(seq),
        repeats=repeats,
        threads=threads,
    )
    return BenchReport(rows)
