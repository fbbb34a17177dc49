"""Signals, threads, callbacks, forks, the end of the interpreter, memory. What could crash runs in a process of its own."""

from __future__ import annotations

import gc
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import lacuna
from lacuna.errors import CancelledError, MachineError

MANY = [f"This is sentence number {n}, which is neither long nor short." for n in range(2_000)]


def run(code: str, *, stop_after: float | None = None, stop: int = signal.SIGINT) -> subprocess.CompletedProcess[str]:
    """Runs a program; with `stop_after` it gets a signal so many seconds after it has printed "ready"."""
    process = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    first = ""
    if stop_after is not None:
        first = process.stdout.readline()
        assert first == "ready\n", (first, process.stderr and process.stderr.read())
        time.sleep(stop_after)
        process.send_signal(stop)
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, first + out, err)


START = """
import lacuna, sys, threading, time, os
model = lacuna.SentenceTransformer()
many = [f"This is sentence number {n}, which is neither long nor short." for n in range(200_000)]
model.encode("warm")
print("ready", flush=True)
"""


def test_ctrl_c_ends_a_call() -> None:
    done = run(
        START
        + """
start = time.monotonic()
try:
    model.encode(many)
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - start < 5, model.encode("a").shape)
"""
        , stop_after=0.7)
    assert (done.returncode, done.stdout) == (0, "ready\ninterrupted True (384,)\n"), done.stderr


def test_ctrl_c_ends_a_call_in_float32(heads: dict[str, Path]) -> None:
    done = run(
        f"""
import lacuna, time
model = lacuna.SentenceTransformer({str(heads["filler"])!r}, compute="float32")
many = ["the cat sat on a mat"] * 2_000_000
print("ready", flush=True)
start = time.monotonic()
try:
    model.encode(many)
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - start < 5, model.encode("a").shape)
"""
        , stop_after=0.7)
    assert (done.returncode, done.stdout) == (0, "ready\ninterrupted True (64,)\n"), done.stderr


def test_ctrl_c_during_a_calibration_is_raised_at_once(heads: dict[str, Path]) -> None:
    """The calibration ends by itself, and the interpreter waits for it."""
    done = run(
        f"""
import lacuna, time
model = lacuna.Model.open({str(heads["filler"])!r})
texts = ["the cat sat on a mat"] * 200_000
print("ready", flush=True)
try:
    model.calibrate(texts, at_most=len(texts))
except KeyboardInterrupt:
    print("interrupted", lacuna.SentenceTransformer().encode("a").shape)
    raised = time.monotonic()
    lacuna.close()
    print(time.monotonic() - raised > 0.1, time.monotonic() - raised)
"""
        , stop_after=0.7)
    assert done.returncode == 0 and done.stdout.startswith("ready\ninterrupted (384,)\nTrue "), done


def test_a_signal_handler_runs_during_a_call() -> None:
    handler = """
import signal
def handle(*_):
    raise SystemExit(5)
signal.signal(signal.SIGUSR1, handle)
print("ready"
"""
    done = run(
        START.replace('print("ready"', handler.strip()) + "model.encode(many)", stop_after=0.5, stop=signal.SIGUSR1
    )
    assert done.returncode == 5, done


def test_the_interpreter_may_end_during_a_call_of_a_daemon_thread() -> None:
    for _ in range(3):
        done = run(
            START
            + """
def work():
    try:
        while True:
            model.encode(many)
    except lacuna.errors.CancelledError:
        pass
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.5)
print("end")
"""
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "ready\nend\n", ""), done


def test_other_threads_may_use_python_during_a_call(model: lacuna.SentenceTransformer) -> None:
    counted = 0
    ended = threading.Event()

    def count() -> None:
        nonlocal counted
        while not ended.is_set():
            counted += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    start = time.monotonic()
    model.encode(MANY)
    took = time.monotonic() - start
    ended.set()
    thread.join()
    assert counted > took / 0.001 * 0.1, (counted, took)


def test_many_threads_get_the_same_vectors(model: lacuna.SentenceTransformer) -> None:
    expected = model.encode(MANY[:200])
    alone = lacuna.SentenceTransformer(threads=1)
    results: list[bool] = []

    def work(of: lacuna.SentenceTransformer) -> None:
        for n in range(5):
            results.append(np.array_equal(of.encode(MANY[:200]), expected))
            results.append(np.array_equal(of.encode(MANY[n]), expected[n]))

    threads = [threading.Thread(target=work, args=(of,)) for of in (model, alone) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 80 and all(results)


def test_sessions_are_cancelled(model: lacuna.SentenceTransformer) -> None:
    session = model.encoder.session()
    timer = threading.Timer(0.2, session.cancel)
    timer.start()
    with pytest.raises(CancelledError) as error:
        session.embed(MANY * 100)
    assert error.value.kind == "cancelled" and session.cancelled
    with pytest.raises(CancelledError):
        session.embed(["a"])
    session.reset()
    assert np.array_equal(session.embed(["a"])[0][0], model.encode("a"))
    assert session.encoder is model.encoder


def test_progress_and_what_it_raises(model: lacuna.SentenceTransformer) -> None:
    seen: list[int] = []
    model.encoder.embed(MANY * 3, progress=seen.append)
    assert seen == sorted(seen) and seen[-1] == 3 * len(MANY) and len(seen) > 1

    def raises(done: int) -> None:
        raise RuntimeError(f"enough after {done}")

    start = time.monotonic()
    with pytest.raises(RuntimeError, match="enough"):
        model.encoder.embed(MANY * 100, progress=raises)
    assert time.monotonic() - start < 5
    with pytest.raises(RuntimeError, match="enough after 1"):
        model.encoder.embed(["a"], progress=raises)
    with pytest.raises(TypeError):
        model.encoder.embed(["a"], progress=3)  # type: ignore[arg-type]
    assert model.encode("a").shape == (384,)


def test_a_callback_may_call_the_model(model: lacuna.SentenceTransformer) -> None:
    shapes = []
    model.encoder.embed(MANY, progress=lambda done: shapes.append(model.encode(MANY[:50]).shape))
    assert shapes and set(shapes) == {(50, 384)}


def test_a_progress_bar(model: lacuna.SentenceTransformer, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm", reason="progress bars need tqdm")
    model.encode(MANY[:10], show_progress_bar=True)
    assert "10/10" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_fork_is_noticed_and_explained() -> None:
    for threads in (None, 1):
        done = run(
            f"""
import lacuna, os, sys
model = lacuna.SentenceTransformer(threads={threads})
model.encode(["a b c"] * 300)
child = os.fork()
if child == 0:
    for texts in ("a", ["a b c"] * 300):
        try:
            model.encode(texts)
        except lacuna.errors.MachineError as error:
            print(error.kind, "forked" in str(error), "spawn" in str(error), flush=True)
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), model.encode("a").shape)
"""
        )
        assert done.stdout == "machine True True\n" * 2 + "7 (384,)\n", done


def test_a_model_may_be_loaded_after_a_fork_or_in_a_spawned_process() -> None:
    done = run(
        """
import lacuna, multiprocessing, sys
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    import concurrent.futures as futures
    with futures.ProcessPoolExecutor(1, context, initializer=lacuna.SentenceTransformer) as pool:
        print(pool.submit(len, "ab").result())
"""
    )
    assert done.stdout == "2\n", done


def test_errors_are_exceptions_of_python() -> None:
    assert issubclass(MachineError, RuntimeError) and issubclass(lacuna.errors.NotFoundError, FileNotFoundError)
    for name in lacuna.errors.__all__:
        error = getattr(lacuna.errors, name)
        assert issubclass(error, lacuna.LacunaError)
        assert pickle.loads(pickle.dumps(error("text"))).args == ("text",)


def test_the_library_speaks_through_logging(heads: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "lacuna"):
        lacuna.SentenceTransformer(heads["filler"])
    assert any("calibrated now" in record.message for record in caplog.records)
    names = {record.name for record in caplog.records}
    assert any(name.startswith("lacuna.") for name in names), names  # from Rust


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
def test_memory_returns(model: lacuna.SentenceTransformer) -> None:
    calls, loads = int(os.environ.get("LACUNA_CALLS", "3000")), int(os.environ.get("LACUNA_LOADS", "20"))

    def call(times: int) -> None:
        for n in range(times):
            model.encode(MANY[n % 100])

    def load(times: int) -> None:
        for _ in range(times):
            lacuna.SentenceTransformer().encode("a")
        gc.collect()

    call(1000)
    load(5)
    before = resident()
    call(calls)
    after_calls = resident()
    load(loads)
    after_loads = resident()
    print(f"resident: {before / 1e6:.1f} MB, after {calls} calls {after_calls / 1e6:.1f}, after {loads} loads {after_loads / 1e6:.1f}")
    assert after_calls - before < 8e6
    assert after_loads - after_calls < 16e6


def test_ctrl_c_while_a_model_writes_a_log_record_is_raised() -> None:
    done = run(
        """
import logging, signal
import lacuna

class Interrupts(logging.Handler):
    def emit(self, record):
        signal.raise_signal(signal.SIGINT)

logging.getLogger("lacuna").addHandler(Interrupts())
logging.getLogger("lacuna").setLevel(logging.INFO)
try:
    lacuna.Encoder.open()
    print("not interrupted")
except KeyboardInterrupt:
    print("interrupted")
"""
    )
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done
