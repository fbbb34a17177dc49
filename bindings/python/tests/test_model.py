"""From f32 weights to a packed file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import lacuna
from lacuna.errors import InvalidInputError, InvalidOptionError, NotFoundError

TEXTS = ["the cat sat on a mat .", "a dog ran in paris .", "good , bad , fine"]


def test_the_stages(heads: dict[str, Path], tmp_path: Path) -> None:
    model = lacuna.Model.open(heads["filler"])
    pruned = model.prune("4x1", 0.5)
    assert model.sparsity < 0.1 and pruned.sparsity == pytest.approx(0.5, abs=0.02)
    calibrated = pruned.calibrate(TEXTS, range="mse", smoothing="0.5")
    assert len(calibrated.precision()) == 1 and calibrated.basis()["texts"] == 3
    encoder = calibrated.compile(form="sparse", threads=1)
    assert all(linear["form"].startswith("sparse") for linear in encoder.report()["linears"])
    assert encoder.threads == 1
    packed = calibrated.pack(form="sparse")
    packed.write(tmp_path / "tiny.lacuna")
    opened = lacuna.PackedModel.open(tmp_path / "tiny.lacuna")
    assert opened.file_bytes == (tmp_path / "tiny.lacuna").stat().st_size
    assert sum(length for _, length in opened.sections) <= opened.file_bytes
    expected = encoder.embed(TEXTS)[0]
    assert np.array_equal(opened.compile().embed(TEXTS)[0], expected)
    assert np.array_equal(lacuna.Encoder.open(tmp_path / "tiny.lacuna").embed(TEXTS)[0], expected)
    pruned.write(tmp_path / "pruned")
    assert lacuna.Model.open(tmp_path / "pruned").sparsity == pruned.sparsity
    for thing in (model, calibrated, packed, encoder):
        assert repr(thing).startswith(f"<lacuna.{type(thing).__name__}")


def test_every_tier_gives_the_same_bits(heads: dict[str, Path]) -> None:
    packed = lacuna.Model.open(heads["filler"]).calibrate(TEXTS).pack()
    expected = packed.compile().embed(TEXTS)[0]
    assert np.array_equal(packed.compile(tier="portable").embed(TEXTS)[0], expected)


def test_what_is_wrong_is_named(heads: dict[str, Path], tmp_path: Path) -> None:
    model = lacuna.Model.open(heads["filler"])
    for call, named in (
        (lambda: model.prune("3x3", 0.5), "block: found 3x3"),
        (lambda: model.prune("4x1", 1.5), "1.5"),
        (lambda: model.calibrate(TEXTS, range="wide"), "wide"),
        (lambda: model.calibrate(TEXTS, smoothing="much"), "much"),
        (lambda: model.calibrate(TEXTS).compile(form="round"), "form: found round"),
        (lambda: model.calibrate(TEXTS).compile(tier="z80"), "tier: found z80"),
        (lambda: model.calibrate(TEXTS).compile(threads=0), "threads: found 0"),
    ):
        with pytest.raises(InvalidOptionError, match=named):
            call()
    with pytest.raises(InvalidInputError):
        model.calibrate([])
    with pytest.raises(NotFoundError):
        lacuna.Model.open(tmp_path / "nothing")
    with pytest.raises(NotFoundError):
        lacuna.PackedModel.open(tmp_path / "nothing.lacuna")
