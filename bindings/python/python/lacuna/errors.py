"""What can go wrong, as exceptions.

Every exception of the library is a :class:`LacunaError`. Its ``kind`` is what a program may decide by; its text is for people, and names the thing, what was
found and what was expected. Where Python has an exception of the same meaning, the class is one of those as well.
"""

from __future__ import annotations

__all__ = [
    "CancelledError",
    "InternalError",
    "InvalidFileError",
    "InvalidInputError",
    "InvalidOptionError",
    "LacunaError",
    "LacunaIOError",
    "MachineError",
    "MissingError",
    "NotFoundError",
    "UnsupportedError",
]


class LacunaError(Exception):
    """Any error of the library."""

    kind: str = "internal"


class LacunaIOError(LacunaError, OSError):
    """A file, a folder or the network could not be read or written."""

    kind = "io"


class NotFoundError(LacunaError, FileNotFoundError):
    """A file, a model or a revision does not exist."""

    kind = "not_found"


class InvalidFileError(LacunaError, ValueError):
    """A file is damaged, or contradicts itself or another one."""

    kind = "invalid_file"


class UnsupportedError(LacunaError, ValueError):
    """A file, a setting or an argument is legal, but not supported here."""

    kind = "unsupported"


class InvalidOptionError(LacunaError, ValueError):
    """An option is out of its bounds, or does not go with the others or with the model."""

    kind = "invalid_option"


class InvalidInputError(LacunaError, ValueError):
    """Texts, tokens or values that the model cannot take."""

    kind = "invalid_input"


class MissingError(LacunaError):
    """The model or the installation lacks something that the call needs."""

    kind = "missing"


class MachineError(LacunaError, RuntimeError):
    """The machine or the process cannot do it: a CPU feature, executable memory, a fork."""

    kind = "machine"


class CancelledError(LacunaError):
    """The call was cancelled."""

    kind = "cancelled"


class InternalError(LacunaError, RuntimeError):
    """A contradiction inside the library: a bug."""

    kind = "internal"


_BY_KIND: dict[str, type[LacunaError]] = {
    error.kind: error
    for error in (
        LacunaIOError,
        NotFoundError,
        InvalidFileError,
        UnsupportedError,
        InvalidOptionError,
        InvalidInputError,
        MissingError,
        MachineError,
        CancelledError,
        InternalError,
    )
}


def of_kind(kind: str, text: str) -> LacunaError:
    """The exception of a kind; the compiled module calls this."""
    return _BY_KIND[kind](text)
