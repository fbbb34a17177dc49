"""Whether memory returns: python memory.py [CALLS] [LOADS]. Calls run a tiny model, loads open the model of the package."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import tiny

import lacuna


def resident() -> float:
    """Megabytes."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    loads = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    with tempfile.TemporaryDirectory() as folder:
        model = lacuna.SentenceTransformer(tiny.filler(Path(folder) / "tiny"))
        texts = [f"the cat sat on {number} mats" for number in range(100)]
        for step in range(11):
            print(f"after {step * calls // 10} calls: {resident():.1f} MB", flush=True)
            for number in range(calls // 10 if step < 10 else 0):
                model.encode(texts[number % 100])
    for step in range(11):
        print(f"after {step * loads // 10} loads: {resident():.1f} MB", flush=True)
        for _ in range(loads // 10 if step < 10 else 0):
            lacuna.SentenceTransformer().encode("a")


if __name__ == "__main__":
    main()
