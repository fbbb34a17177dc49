"""What the tests share: the model that comes with the package, and tiny models with heads."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import lacuna

sys.path.insert(0, str(Path(__file__).parent))

import tiny

TEXTS = ["A cat sits on the mat.", "A kitten rests on a rug.", "It rains at noon.", "Ein Hund läuft. 日本 🙂", ""]


@pytest.fixture(scope="session")
def model() -> lacuna.SentenceTransformer:
    return lacuna.SentenceTransformer()


@pytest.fixture(scope="session")
def heads(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each kind of head."""
    root = tmp_path_factory.mktemp("heads")
    makers = {name: getattr(tiny, name) for name in ("classifier", "reranker", "tagger", "answerer", "filler")}
    return {name: make(root / name) for name, make in makers.items()}
