"""Packages that are used if they are installed, and named if they are needed and missing."""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from types import ModuleType

from .errors import MissingError


@cache
def is_installed(package: str) -> bool:
    """Whether a package can be imported. It is not imported."""
    return importlib.util.find_spec(package) is not None


def require(package: str, why: str, install: str | None = None) -> ModuleType:
    """Imports a package that a call needs."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingError(f"{why} needs the package {package}: pip install {install or package}") from error
