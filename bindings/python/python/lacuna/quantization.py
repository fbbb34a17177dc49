"""Embeddings in fewer bits, with the numbers of sentence-transformers."""

from __future__ import annotations

import logging
from typing import Any, Literal, TypeAlias

import numpy as np

from .errors import InvalidInputError, UnsupportedError

__all__ = ["PRECISIONS", "Precision", "quantize_embeddings"]

Array: TypeAlias = "np.ndarray[Any, Any]"
Precision: TypeAlias = Literal["float32", "int8", "uint8", "binary", "ubinary"]

logger = logging.getLogger("lacuna")

#: The values of ``precision``.
PRECISIONS: tuple[Precision, ...] = ("float32", "int8", "uint8", "binary", "ubinary")


def quantize_embeddings(
    embeddings: Any,
    precision: Precision,
    ranges: Array | None = None,
    calibration_embeddings: Array | None = None,
) -> Array:
    """Embeddings in another precision, as ``sentence_transformers.quantize_embeddings`` gives them.

    int8 and uint8 have 256 steps between the least and the largest value of each feature: those in ``ranges`` (two rows), of ``calibration_embeddings``,
    or of the embeddings themselves. binary and ubinary have one bit per feature, whether it is above 0; eight in a byte.
    """
    if precision not in PRECISIONS:
        raise UnsupportedError(f"precision: found {precision!r}; expected one of {PRECISIONS}")
    values = np.asarray(_numpy(embeddings))
    if values.dtype in (np.uint8, np.int8):
        raise InvalidInputError(f"embeddings: found {values.dtype}; expected floats, which are not quantised yet")
    if precision == "float32":
        floats: Array = values.astype(np.float32)
        return floats
    if precision in ("binary", "ubinary"):
        bits: Array = np.packbits(values > 0, axis=-1)
        return bits if precision == "ubinary" else (bits - 128).astype(np.int8)
    if values.ndim == 2 and len(values) == 0:
        return np.zeros(values.shape, dtype=precision)
    if ranges is None:
        ranges = _ranges(values, precision, calibration_embeddings)
    ranges = ranges.astype(np.float32, copy=False)
    starts = ranges[0, :]
    steps = (ranges[1, :] - starts) / 255
    steps = np.where(steps == 0, 1, steps)
    codes: Array = np.clip(np.floor((values - starts) / steps), 0, 255)
    return codes.astype(np.uint8) if precision == "uint8" else (codes - 128).astype(np.int8)


def _ranges(values: Array, precision: str, calibration: Array | None) -> Array:
    source = values if calibration is None else np.asarray(_numpy(calibration))
    if calibration is None and (source.ndim == 1 or len(source) == 1):
        raise InvalidInputError(
            f"precision: {precision} of one embedding; expected ranges, calibration_embeddings or several embeddings, from which the "
            "least and the largest value of each feature are taken"
        )
    if calibration is None and len(source) < 100:
        logger.warning("%s codes are made of the ranges of %s embeddings; more, or calibration_embeddings, are better", precision, len(source))
    return np.vstack((np.min(source, axis=0), np.max(source, axis=0)))


def _numpy(values: Any) -> Any:
    """Tensors of torch as arrays."""
    if isinstance(values, (list, tuple)):
        return [_numpy(value) for value in values]
    return values.detach().cpu().numpy() if hasattr(values, "detach") else values
