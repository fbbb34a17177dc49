"""A dense model to a sparse one, as ``lacuna compress`` does it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, TypedDict, Union

from . import _lacuna
from ._loading import local
from .errors import InvalidOptionError

__all__ = ["CompressReport", "Event", "compress"]

StrPath = Union[str, "os.PathLike[str]"]


class StageEvent(TypedDict):
    """A stage begins. Stages may lie within each other."""

    event: Literal["stage"]
    stage: Literal["model", "texts", "order", "cut", "kernels", "timing", "prune", "train", "pack", "run", "write"]
    text: str


class TextEvent(TypedDict):
    """What was inferred or done, or what makes the result doubtful. The logger ``lacuna.compress`` gets it, too."""

    event: Literal["remark", "warning"]
    text: str


class MatrixEvent(TypedDict):
    """A matrix was pruned."""

    event: Literal["matrix"]
    layer: int
    name: str
    sparsity: float
    relative_error: float
    seconds: float


class LayerEvent(TypedDict):
    """A layer was pruned."""

    event: Literal["layer"]
    layer: int
    hidden_error: float
    seconds: float


class CutEvent(TypedDict):
    """Heads and neurons of a layer were removed; those that stay."""

    event: Literal["cut"]
    layer: int
    heads: list[int]
    neurons: int
    hidden_error: float
    seconds: float


class _StepEvent(TypedDict):
    event: Literal["step"]
    step: int
    done: float
    loss: float
    hidden: float
    cosine: float
    similarity: float
    logits: float
    labels: float
    scores: float
    rate: float
    gradient_norm: float
    tokens: int
    seconds: float


class StepEvent(_StepEvent, total=False):
    """The training stands here; ``done`` is a fraction. ``sparsity`` is there while it rises."""

    sparsity: float


class PruningEvent(TypedDict):
    """The model is pruned again during the training."""

    event: Literal["pruning"]
    step: int
    number: int
    planned: int
    sparsity: float


class RoundingEvent(TypedDict):
    """How far int8 moves embeddings, and whether the training goes on rounded."""

    event: Literal["rounding"]
    step: int
    distance: float
    rounds: bool


class _DevEvent(TypedDict):
    event: Literal["dev"]
    stage: Literal["dense", "smaller", "pruned", "training", "result"]
    step: int


class DevEvent(_DevEvent, total=False):
    """What was measured on ``pairs`` or on ``labelled_dev``."""

    spearman: float
    accuracy: float


class TimesEvent(TypedDict):
    """Kernels were timed, and their times decide what is pruned how."""

    event: Literal["times"]
    times: dict[str, Any]


class PlanEvent(TypedDict):
    """It was decided by measured times what is pruned how."""

    event: Literal["plan"]
    plan: dict[str, Any]


#: What ``progress`` is called with. ``event["event"]`` says which it is.
Event = Union[
    StageEvent,
    TextEvent,
    MatrixEvent,
    LayerEvent,
    CutEvent,
    StepEvent,
    PruningEvent,
    RoundingEvent,
    DevEvent,
    TimesEvent,
    PlanEvent,
]


class CompressReport(dict[str, Any]):
    """What came out of a run: the object that ``lacuna compress --json`` prints. A dictionary that prints as a text."""

    def __repr__(self) -> str:
        if not {"out", "zeros", "pruning_seconds", "steps"} <= self.keys():
            return super().__repr__()
        blocks = f" in blocks of {self['block']}" if self.get("block") else ""
        lines = [f"{self['out']}: {self['zeros']:.1%} of the weights of the linear layers are zero{blocks}"]
        times = f"pruned in {self['pruning_seconds']:.1f} s"
        if self["steps"]:
            times += f"; trained {self['steps']} steps, {self['tokens']} tokens in {self['training_seconds']:.1f} s"
        lines.append(f"{times}, on {self['threads']} threads of {self['cpu']}")
        for metric, count in (("spearman", "pairs"), ("accuracy", "labelled_dev")):
            figures = self.get(metric)
            if figures:
                lines.append(f"{metric} of {self[count]} that were not trained on:")
                names = ("dense_f32", "cut_f32", "pruned_f32", "f32", "int8")
                lines += [f"  {name:<10} {figures[name]:.4f}" for name in names if figures.get(name) is not None]
        return "\n".join(lines)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text("..." if cycle else repr(self))


def compress(
    model: StrPath,
    out: StrPath,
    *,
    data: StrPath | Sequence[StrPath] = (),
    sparsity: float | None = None,
    block: str | None = None,
    speedup: float | None = None,
    target_ms: float | None = None,
    seq: int = 128,
    keep_order: bool = False,
    start_sparsity: float | None = None,
    heads: int | None = None,
    ffn: int | None = None,
    activation: Literal["gelu", "gelu-tanh", "relu"] | None = None,
    method: Literal["distil", "one-shot"] = "distil",
    lock: bool = False,
    layers: int | None = None,
    labelled: StrPath | None = None,
    labelled_dev: StrPath | None = None,
    new_head: bool = False,
    temperature: float = 2.0,
    pairs: StrPath | None = None,
    train_pairs: StrPath | None = None,
    teacher: StrPath | None = None,
    time: str | float | timedelta | None = None,
    steps: int | None = None,
    batch: int = 32,
    learning_rate: float | None = None,
    train_embeddings: bool = False,
    rounding: Literal["auto", "always", "never"] = "auto",
    calibration_tokens: int = 32_000,
    seed: int = 0,
    small_tables: bool = False,
    resume: bool = False,
    threads: int | None = None,
    tier: str | None = None,
    progress: Callable[[Event], object] | None = None,
) -> CompressReport:
    """Prunes a model in blocks, trains what is left to do what the dense model does, and writes the result.

    ``model`` is a model directory, or a name of the Hugging Face hub. ``out`` is a new directory, or a file that ends in ``.lacuna``. The options are those of
    the command, which docs/compress.md explains; ``time`` is a number of seconds, a ``timedelta`` or a text such as ``"15m"``.

    ``progress`` is called with one dictionary per event, on another thread and never twice at the same time. Remarks and warnings also go to the logger
    ``lacuna.compress``.

    Ctrl-C, and an exception that ``progress`` raises, stop the run: nothing is written to ``out``, the state of the training is kept in ``OUT.checkpoint``, and
    the exception is raised. The same call with ``resume=True`` goes on from there.

    >>> report = lacuna.compress("all-MiniLM-L6-v2", "minilm-80", sparsity=0.8, data="texts.txt", time="15m")
    """
    given = {name: value for name, value in locals().items() if name != "progress" and value != _DEFAULTS.get(name, _NOTHING)}
    command = "lacuna.compress(" + ", ".join(f"{name}={_shown(value)}" for name, value in given.items()) + ")"
    summary = _lacuna.compress(
        local(model),
        out,
        name=os.fspath(model),
        sparsity=sparsity,
        block=block,
        speedup=speedup,
        target_ms=target_ms,
        seq=seq,
        keep_order=keep_order,
        start_sparsity=start_sparsity,
        heads=heads,
        ffn=ffn,
        activation=activation,
        method=method,
        lock=lock,
        layers=layers,
        labelled=labelled,
        labelled_dev=labelled_dev,
        new_head=new_head,
        temperature=temperature,
        data=[data] if isinstance(data, (str, os.PathLike)) else list(data),
        pairs=pairs,
        train_pairs=train_pairs,
        teacher=None if teacher is None else local(teacher),
        time=_seconds(time),
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        train_embeddings=train_embeddings,
        rounding=rounding,
        calibration_tokens=calibration_tokens,
        seed=seed,
        small_tables=small_tables,
        resume=resume,
        threads=threads,
        tier=tier,
        command=command,
        progress=progress,
    )
    return CompressReport(summary)


_NOTHING = object()
#: The values of options that were not given.
_DEFAULTS: dict[str, Any] = compress.__kwdefaults__ or {}


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_shown(one) for one in value) + "]"
    return repr(os.fspath(value) if isinstance(value, os.PathLike) else value)


def _seconds(time: str | float | timedelta | None) -> float | None:
    """A time of training in seconds."""
    if time is None:
        return None
    if isinstance(time, timedelta):
        return time.total_seconds()
    if not isinstance(time, str):
        return float(time)
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", time)
    if found is None:
        raise InvalidOptionError(f"time: found {time!r}; expected seconds, a timedelta or a text as '90s', '15m' or '2h'")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]
