"""Compressing a tiny model in few steps: results, events, errors, stops and going on."""

from __future__ import annotations

import inspect
import json
import logging
import signal
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import tiny

import lacuna
from lacuna import _lacuna
from lacuna.errors import InvalidFileError, InvalidOptionError, LacunaError, NotFoundError

TEXTS = ["the cat sat on the mat", "a dog ran in paris", "ada sat on a rug", "good cat , bad dog", "the dog sat in the rug ."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that embeds, with texts and pairs beside it."""
    root = tmp_path_factory.mktemp("compress")
    tiny.write(root / "model", "BertModel", {}, mix=True)
    (root / "texts.txt").write_text("\n".join(f"{text} {other}" for text in TEXTS for other in TEXTS) + "\n")
    rows = [f'"{first}","{second}",{len(set(first.split()) & set(second.split()))}' for first in TEXTS for second in TEXTS if first < second]
    (root / "pairs.csv").write_text("\n".join(rows) + "\n")
    return root


def run(folder: Path, out: Path, **options: Any) -> lacuna.CompressReport:
    settings: dict[str, Any] = {"sparsity": 0.5, "steps": 3, "batch": 4, "data": folder / "texts.txt", "threads": 1, **options}
    return lacuna.compress(folder / "model", out, **settings)


def test_a_model_is_compressed_and_runs(folder: Path, tmp_path: Path) -> None:
    events: list[Any] = []
    report = run(folder, tmp_path / "out", pairs=folder / "pairs.csv", progress=events.append)
    assert report["zeros"] == pytest.approx(0.5, abs=0.01)
    assert (report["steps"], report["block"], report["interrupted"], report["pairs"]) == (3, "4x1", False, 10)
    assert report["command"].startswith("lacuna.compress(model=") and "steps=3" in report["command"]
    text = repr(report)
    assert "50.0% of the weights of the linear layers are zero in blocks of 4x1" in text and "spearman of 10" in text
    assert json.loads(json.dumps(report)) == report
    kinds = [event["event"] for event in events]
    assert kinds.count("matrix") == 6 and kinds.count("layer") == 1 and kinds.count("step") == 3
    assert [event["step"] for event in events if event["event"] == "step"] == [1, 2, 3]
    stages = [event["stage"] for event in events if event["event"] == "stage"]
    assert stages == ["model", "texts", "prune", "train", "pack", "run", "write"]
    dev = {event["stage"]: event["spearman"] for event in events if event["event"] == "dev"}
    assert dev["result"] == report["spearman"]["f32"] and set(dev) == {"dense", "pruned", "training", "result"}
    assert not (tmp_path / "out.checkpoint").exists()
    assert lacuna.Model.open(tmp_path / "out").sparsity == pytest.approx(report["zeros"])


def test_the_same_seed_gives_the_same_model_and_a_packed_file_opens(folder: Path, tmp_path: Path) -> None:
    for name in ("a.lacuna", "b.lacuna"):
        run(folder, tmp_path / name)
    assert (tmp_path / "a.lacuna").read_bytes() == (tmp_path / "b.lacuna").read_bytes()
    assert lacuna.SentenceTransformer(str(tmp_path / "a.lacuna")).encode(TEXTS).shape == (5, 64)


def test_one_shot_trains_nothing(folder: Path, tmp_path: Path) -> None:
    report = run(folder, tmp_path / "out", method="one-shot", steps=None)
    assert (report["method"], report["steps"]) == ("one-shot", 0)


def test_remarks_and_warnings_are_in_the_log(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "lacuna"):
        run(folder, tmp_path / "out", data=(), method="one-shot", steps=None)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert any(text.startswith("data was not given: a few hundred built-in texts") for text in warnings), caplog.text
    assert any(record.getMessage().startswith("pruning on ") for record in caplog.records)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"sparsity": 1.0}, "sparsity: found 1; expected a number, 0 <= sparsity < 1"),
        ({"sparsity": None}, "sparsity: found none; expected one, or one of speedup, target_ms"),
        ({"method": "one-shot"}, "steps: found method one-shot, which trains nothing; expected method distil"),
        ({"method": "more"}, "method: found more; expected one-shot or distil"),
        ({"block": "3x3"}, "block: found 3x3; expected auto or one of"),
        ({"activation": "swish"}, "activation: found swish; expected gelu"),
        ({"small_tables": True}, "small_tables: found a folder as out; expected a packed file"),
        ({"time": "15 minutes"}, "time: found '15 minutes'; expected seconds"),
        ({"time": -1.0, "steps": None}, "time: found -1; expected a number of seconds above 0"),
        ({"time": timedelta(minutes=1)}, "time: found steps beside it; expected one of them"),
        ({"layers": 3}, "layers: found 3; expected at most 1, as the model has"),
        ({"labelled_dev": "LABELS"}, "labelled_dev: found a model without a head for labels; expected pairs"),
    ],
)
def test_options_are_refused_in_words_of_python(folder: Path, tmp_path: Path, options: dict[str, Any], expected: str) -> None:
    (tmp_path / "labels.csv").write_text("good cat,a\nbad dog,b\n")
    options = {name: tmp_path / "labels.csv" if value == "LABELS" else value for name, value in options.items()}
    with pytest.raises(InvalidOptionError) as caught:
        run(folder, tmp_path / "out", **options)
    assert str(caught.value).startswith(expected)
    assert caught.value.kind == "invalid_option" and not (tmp_path / "out").exists()


def test_files_are_refused_with_their_kind(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        run(folder, tmp_path / "out", data=tmp_path / "none.txt")
    (tmp_path / "bad.csv").write_text("a,b,c\n")
    with pytest.raises(InvalidFileError, match="line 1: found score"):
        run(folder, tmp_path / "out", pairs=tmp_path / "bad.csv")
    with pytest.raises(LacunaError, match="needs the f32 weights|give the model's folder"):
        run(folder, tmp_path / "two.lacuna")
        lacuna.compress(tmp_path / "two.lacuna", tmp_path / "out", sparsity=0.5)
    with pytest.raises(TypeError):
        run(folder, tmp_path / "out", batch="many")


class Enough(Exception):
    """What a callback raises."""


def after(steps: int, act: Callable[[], None]) -> Callable[[Any], None]:
    def progress(event: Any) -> None:
        if event["event"] == "step" and event["step"] == steps:
            act()

    return progress


def fail() -> None:
    raise Enough("enough")


def test_an_exception_of_the_callback_stops_the_run_and_resume_goes_on(folder: Path, tmp_path: Path) -> None:
    whole = run(folder, tmp_path / "whole.lacuna", steps=6)
    part = tmp_path / "part.lacuna"
    with pytest.raises(Enough):
        run(folder, part, steps=6, progress=after(3, fail))
    assert not part.exists() and (tmp_path / "part.lacuna.checkpoint").exists()
    seen: list[Any] = []
    report = run(folder, part, steps=6, resume=True, progress=seen.append)
    assert [event["step"] for event in seen if event["event"] == "step"] == [4, 5, 6]
    assert any(event["event"] == "remark" and event["text"].startswith("going on at 50 %") for event in seen)
    assert (report["steps"], whole["steps"]) == (6, 6)
    assert part.read_bytes() == (tmp_path / "whole.lacuna").read_bytes()
    assert not (tmp_path / "part.lacuna.checkpoint").exists()


def test_a_checkpoint_of_other_options_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(Enough):
        run(folder, tmp_path / "out", steps=6, progress=after(2, fail))
    with pytest.raises(InvalidOptionError, match="^resume: .*found other options or texts"):
        run(folder, tmp_path / "out", steps=6, resume=True, seed=1)


def test_an_exception_while_pruning_stops_the_run(folder: Path, tmp_path: Path) -> None:
    matrices: list[str] = []

    def progress(event: Any) -> None:
        if event["event"] == "matrix":
            matrices.append(event["name"])
            fail()

    with pytest.raises(Enough):
        run(folder, tmp_path / "out", progress=progress)
    assert len(matrices) == 1 and not (tmp_path / "out").exists()


def test_ctrl_c_stops_the_run_and_keeps_its_checkpoint(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(folder, out, steps=100_000, progress=after(2, lambda: signal.raise_signal(signal.SIGINT)))
    assert not out.exists() and (tmp_path / "out.checkpoint").exists()


def test_other_threads_run_meanwhile(folder: Path, tmp_path: Path) -> None:
    places: set[int] = set()
    count = 0
    ended = threading.Event()

    def spin() -> None:
        nonlocal count
        while not ended.is_set():
            count += 1

    other = threading.Thread(target=spin)
    other.start()
    run(folder, tmp_path / "out", steps=20, progress=lambda _: places.add(threading.get_ident()))
    ended.set()
    other.join()
    assert count > 0 and threading.main_thread().ident not in places


def test_names_and_defaults_are_those_of_the_library() -> None:
    defaults = _lacuna.compress_defaults()
    names = defaults.pop("names")
    parameters = inspect.signature(lacuna.compress).parameters
    assert set(parameters) - {"progress"} == set(names)
    for name, value in defaults.items():
        assert parameters[name].default == value, name
