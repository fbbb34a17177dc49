"""What Python adds to one call: python overhead.py [CALLS].

Two measurements. The first is a bound that the speed of the model does not disturb: the whole time of a call on a model that computes almost nothing. The
second is the call on the model of the package, beside the time of its encoder alone as the library reports it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import tiny

import lacuna

#: 32 tokens of the model of the package, special tokens included.
SENTENCE = "the cat sat on the mat and the dog ran in the rain " * 2 + "all day long"


def median(call: Callable[[], object], calls: int) -> float:
    """Microseconds per call: the median of single calls."""
    times = []
    for _ in range(calls):
        start = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - start)
    return sorted(times)[calls // 2] / 1e3


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory() as folder:
        small = lacuna.SentenceTransformer(tiny.filler(Path(folder) / "tiny"))
        native = median(lambda: small.encoder.embed(["a"]), calls)
        whole = median(lambda: small.encode("a"), calls)
        print(f"tiny model, 3 tokens: Encoder.embed {native:.1f} us, SentenceTransformer.encode {whole:.1f} us, computing included")
    model = lacuna.SentenceTransformer()
    tokens = int(model.tokenize([SENTENCE])["attention_mask"].sum())
    native = median(lambda: model.encoder.embed([SENTENCE]), calls)
    whole = median(lambda: model.encode(SENTENCE), calls)
    print(f"model of the package, {tokens} tokens: Encoder.embed {native:.1f} us, SentenceTransformer.encode {whole:.1f} us")
    print(f"SentenceTransformer.encode over Encoder.embed: {whole - native:.1f} us")


if __name__ == "__main__":
    main()
