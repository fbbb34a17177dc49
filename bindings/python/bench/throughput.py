"""Throughput in turn with the command, and two threads of Python beside one: python throughput.py PATH_OF_THE_COMMAND."""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import lacuna

WORDS = "the cat sat on a mat while rain fell over quiet hills and people walked home through streets full of light".split()


def sentences(count: int) -> list[str]:
    """Sentences of 5 to 40 words."""
    random = np.random.default_rng(1)
    return [" ".join(random.choice(WORDS, size=random.integers(5, 41))) for _ in range(count)]


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", help="path of the command lacuna")
    parser.add_argument("--sentences", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    command, count, rounds = arguments.command, arguments.sentences, arguments.rounds
    texts = sentences(count)
    model, alone = lacuna.SentenceTransformer(), lacuna.SentenceTransformer(threads=1)

    def both() -> None:
        half = len(texts) // 2
        threads = [threading.Thread(target=alone.encode, args=(part,)) for part in (texts[:half], texts[half:])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    with tempfile.TemporaryDirectory() as folder:
        file, one = Path(folder) / "texts.txt", Path(folder) / "one.txt"
        file.write_text("\n".join(texts) + "\n")
        one.write_text("a\n")

        def run(input: Path) -> None:
            output = Path(folder) / "out.npy"
            output.unlink(missing_ok=True)
            subprocess.run([command, "embed", "--input", input, "--output", output], check=True, stderr=subprocess.DEVNULL)

        model.encode(texts[:100])
        alone.encode(texts[:100])
        ratios = []
        for turn in range(rounds):
            start = seconds(lambda: run(one))
            theirs = seconds(lambda: run(file)) - start
            ours = seconds(lambda: model.encode(texts))
            single = seconds(lambda: alone.encode(texts))
            double = seconds(both)
            ratios.append((theirs / ours, single / double))
            print(
                f"round {turn}: command {count / theirs:.0f} sentences/s (its start, {start:.2f} s, taken off), Python {count / ours:.0f}, "
                f"one thread {count / single:.0f}, two threads {count / double:.0f}"
            )
        medians = [sorted(values)[len(values) // 2] for values in zip(*ratios, strict=True)]
        print(f"medians of {rounds} rounds: Python / command {medians[0]:.2f}, two threads / one {medians[1]:.2f}")


if __name__ == "__main__":
    main()
