"""Checks of one client: each prints one line, and the exit status says whether all passed."""

import importlib.metadata
import sys
import time
import traceback

import numpy as np

TEXTS = [
    "A cat sits on the mat.",
    "",
    "Zoë met Émile in Paris, by the old river.",
    "日本語のテキスト 🙂",
    "The quick brown fox jumps over the lazy dog. " * 8,
    "dog",
]


class Checks:
    """Checks of a client, in the order of their definition."""

    def __init__(self, *packages):
        self.name = packages[0]
        self.versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)
        self.all = []

    def __call__(self, check):
        self.all.append(check)
        return check

    def run(self):
        """Runs all checks and ends the process: 0 if all passed."""
        failed = 0
        print(f"{self.versions}:", flush=True)
        for check in self.all:
            label, started = check.__name__.replace("_", " "), time.monotonic()
            try:
                note = check() or ""
            except Exception as error:
                failed += 1
                print(f"  FAILED  {label}: {type(error).__name__}: {error}", flush=True)
                traceback.print_exc()
            else:
                took = time.monotonic() - started
                print(f"  ok      {label} ({took:.1f} s){': ' if note else ''}{note}", flush=True)
        sys.exit(1 if failed else 0)


def same_bits(found, expected):
    """Fails unless both are the same f32 values, bit for bit."""
    found, expected = np.asarray(found, np.float32), np.asarray(expected, np.float32)
    assert found.shape == expected.shape, f"found the shape {found.shape}; expected {expected.shape}"
    differ = int((found.view(np.uint32) != expected.view(np.uint32)).sum())
    assert differ == 0, f"{differ} of {found.size} values differ, by at most {np.abs(found - expected).max()}"


def same(found, expected):
    """Fails unless both are equal."""
    assert found == expected, f"found {found!r}; expected {expected!r}"


def raises(kind, call, *arguments, **named):
    """The exception of a call that must fail."""
    try:
        result = call(*arguments, **named)
    except kind as error:
        return error
    raise AssertionError(f"found {result!r}; expected {kind.__name__}")
