"""Pruned, quantised BERT-class encoders on CPUs through generated machine code.

>>> import lacuna
>>> model = lacuna.SentenceTransformer()  # the model that comes with the package
>>> model.encode(["A cat sits on the mat.", "A kitten rests on a rug."]).shape
(2, 384)
"""

import atexit

from . import errors
from ._lacuna import CalibratedModel, Encoder, Model, PackedModel, Session, __version__, close
from .benchmark import BenchReport, bench
from .compression import CompressReport, compress
from .cross_encoder import CrossEncoder
from .errors import LacunaError
from .pipelines import pipeline
from .quantization import quantize_embeddings
from .report import LoadReport
from .sentence_transformer import SentenceTransformer

__all__ = [
    "BenchReport",
    "CalibratedModel",
    "CompressReport",
    "CrossEncoder",
    "Encoder",
    "LacunaError",
    "LoadReport",
    "Model",
    "PackedModel",
    "SentenceTransformer",
    "Session",
    "__version__",
    "bench",
    "compress",
    "errors",
    "pipeline",
    "quantize_embeddings",
]

# Calls of other threads end before the interpreter does.
atexit.register(close)
