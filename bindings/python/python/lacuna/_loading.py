"""From the name of a model to an encoder."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ._lacuna import Encoder, shipped_name
from ._optional import require
from .errors import InvalidOptionError, NotFoundError, UnsupportedError

logger = logging.getLogger("lacuna")

#: What a model computes with: int8 kernels that are generated for this machine, or the f32 reference.
Compute: TypeAlias = Literal["int8", "float32"]

#: The files that a model consists of. Other formats of the same weights are not downloaded.
_PATTERNS = ["*.json", "*.txt", "*.model", "*.safetensors", "*.bin", "*.jsonl"]
_NOT = ["onnx/*", "openvino/*", "*.onnx", "*.msgpack", "*.h5", "*.ot", "coreml/*", "training_args.bin"]


def load(
    name: str | os.PathLike[str] | Encoder | None,
    *,
    organisation: str | None = None,
    cache_folder: str | None = None,
    revision: str | None = None,
    token: bool | str | None = None,
    local_files_only: bool = False,
    threads: int | None = None,
    compute: Compute | None = None,
) -> Encoder:
    """An encoder of a path, of a name of the Hugging Face hub, or of the model that comes with the package."""
    if isinstance(name, Encoder):
        if threads is not None:
            raise UnsupportedError("threads: this encoder is compiled already; give threads to compile() or Encoder.open()")
        if compute is not None and compute != name.compute:
            raise UnsupportedError(f"compute: found {compute!r}; expected {name.compute!r}, as this encoder was opened")
        return name
    compute = compute or "int8"
    if name is None:
        logger.info("no model is named: running the shipped model, %s", shipped_name())
        return Encoder.open(compute=compute, threads=threads)
    path = Path(name)
    if not path.exists():
        path = _download(str(name), organisation, cache_folder, revision, token, local_files_only)
    if path.is_dir() and compute == "int8":
        logger.info("%s is a directory: its weights are calibrated now. lacuna pack keeps the result in a file", path)
    encoder = Encoder.open(path, compute=compute, threads=threads)
    for remark in encoder.remarks:
        logger.info("%s: %s", path, remark)
    return encoder


def local(name: str | os.PathLike[str]) -> Path:
    """The path of a model in f32, which is downloaded if it is a name of the Hugging Face hub."""
    path = Path(name)
    return path if path.exists() else _download(str(name), None, None, None, None, False)


def _download(
    name: str,
    organisation: str | None,
    cache_folder: str | None,
    revision: str | None,
    token: bool | str | None,
    local_files_only: bool,
) -> Path:
    parts = name.split("/")
    is_name = len(parts) <= 2 and all(parts) and not name.startswith((".", "~")) and not name.endswith(".lacuna")
    if not is_name:
        raise NotFoundError(f"{name}: found no such file or directory; expected a packed file or a model directory")
    if len(parts) == 1 and organisation is not None:
        name = f"{organisation}/{name}"
    hub: Any = require("huggingface_hub", f"{name} is no file or directory here. To download it from the hub, lacuna")
    folder: str = hub.snapshot_download(
        name,
        revision=revision,
        cache_dir=cache_folder,
        token=token,
        local_files_only=local_files_only,
        allow_patterns=_PATTERNS,
        ignore_patterns=_NOT,
    )
    return Path(folder)


def refuse(**arguments: tuple[Any, Any]) -> None:
    """Refuses arguments that other libraries have and this one has no use for: name=(value, the value that changes nothing)."""
    for name, (found, neutral) in arguments.items():
        if found is not neutral and found != neutral:
            raise UnsupportedError(f"{name}: found {found!r}; expected {neutral!r}, since lacuna has no such choice")


def compute_of(compute: Compute | None, model_kwargs: dict[str, Any] | None) -> Compute | None:
    """What to compute with, where ``model_kwargs`` may say float32 as sentence-transformers takes it. Anything else in there is refused."""
    if not model_kwargs:
        return compute
    for name, found in model_kwargs.items():
        if name not in ("dtype", "torch_dtype") or str(found).removeprefix("torch.") != "float32":
            raise UnsupportedError(
                f"model_kwargs: found {name}={found!r}; expected nothing or dtype='float32', since lacuna has no such choice"
            )
    if compute not in (None, "float32"):
        raise InvalidOptionError(f"compute: found {compute!r}; expected 'float32', as model_kwargs says")
    return "float32"


def check_device(device: Any) -> None:
    """Refuses devices other than the CPU."""
    if device is not None and str(device).split(":")[0] != "cpu":
        raise UnsupportedError(f"device: found {device!r}; expected None or 'cpu', since lacuna runs on CPUs only")
