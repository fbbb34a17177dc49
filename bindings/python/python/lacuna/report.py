"""How a model was loaded."""

from __future__ import annotations

from typing import Any

from ._lacuna import Encoder

__all__ = ["LoadReport"]


class LoadReport(dict[str, Any]):
    """How a model was loaded: times, kernels, the density and the form of every layer. A dictionary that prints as a table."""

    _text: str = ""

    @classmethod
    def of(cls, encoder: Encoder) -> LoadReport:
        """The report of an encoder."""
        report = cls(encoder.report())
        report._text = encoder.report_text()
        return report

    def __repr__(self) -> str:
        return self._text or super().__repr__()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text("..." if cycle else repr(self))
