"""Measuring: rows, their keys, what is refused, Ctrl-C."""

from __future__ import annotations

import inspect
import signal
import threading
import time
from pathlib import Path

import pytest

import lacuna
from lacuna import _lacuna
from lacuna.errors import InvalidOptionError

#: The keys of `lacuna bench text --json`, in its order.
KEYS = (
    "kernel name batch seq sparsity threads caches tier tokens median_us median_ms best_us p95_us spread samples texts_per_s tokens_per_s "
    "tokenize_us encode_us pool_us tokenize_share"
).split()


def test_rows_are_those_of_the_command() -> None:
    rows = lacuna.bench(batch=[1, 2], seq=[8, 16], repeats=3)
    assert [(row["batch"], row["seq"]) for row in rows] == [(1, 8), (1, 16), (2, 8), (2, 16)]
    for row in rows:
        assert list(row) == KEYS
        assert (row["kernel"], row["name"], row["threads"], row["caches"], row["samples"]) == ("text", "the shipped model", 1, "hot", 3)
        assert 0 < row["tokens"] <= row["batch"] * row["seq"] and 0.7 < row["sparsity"] < 0.9
        assert 0 < row["best_us"] <= row["median_us"] <= row["p95_us"]
        assert row["texts_per_s"] == pytest.approx(row["batch"] / row["median_us"] * 1e6)
    table = repr(rows).splitlines()
    assert table[0].startswith("the shipped model, tier ") and table[1].split()[:2] == ["batch", "seq"] and len(table) == 6


def test_own_texts_and_models_in_every_form(heads: dict[str, Path], model: lacuna.SentenceTransformer) -> None:
    encoder = lacuna.Encoder.open(heads["classifier"])
    (row,) = lacuna.bench(encoder, ["a cat sat", "a dog"], batch=3, repeats=2)
    assert (row["batch"], row["seq"], row["tokens"], row["name"]) == (3, "input", 5 + 4 + 5, "encoder")
    (row,) = lacuna.bench(heads["classifier"], ["a cat sat"], batch=1, repeats=2, threads=2)
    assert (row["name"], row["threads"]) == (str(heads["classifier"]), 2)
    assert len(lacuna.bench(model, ("a", "b"), batch=1, repeats=1)) == 1


def test_options_are_refused() -> None:
    for options, expected in [
        ({"repeats": 0}, "repeats: found 0; expected at least 1"),
        ({"batch": 0}, "batch: found 0; expected at least 1"),
        ({"seq": 10_000}, "seq: found 10000; expected at most"),
        ({"texts": []}, "texts: found none; expected at least one"),
        ({"threads": 0}, "threads: found 0; expected at least 1"),
    ]:
        with pytest.raises(InvalidOptionError) as caught:
            lacuna.bench(**options)  # type: ignore[arg-type]
        assert str(caught.value).startswith(expected)


def test_ctrl_c_ends_it(heads: dict[str, Path]) -> None:
    encoder = lacuna.Encoder.open(heads["classifier"])

    def stop() -> None:
        time.sleep(0.5)
        signal.raise_signal(signal.SIGINT)

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        threading.Thread(target=stop).start()
        lacuna.bench(encoder, batch=1, seq=16, repeats=10_000_000)
    assert time.monotonic() - start < 10


def test_defaults_are_those_of_the_command() -> None:
    parameters = inspect.signature(lacuna.bench).parameters
    batch, seq, repeats = _lacuna.bench_defaults()
    assert (list(parameters["batch"].default), list(parameters["seq"].default), parameters["repeats"].default) == (batch, seq, repeats)
