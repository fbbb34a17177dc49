"""Starts `lacuna serve`, and asks the command `lacuna` for the results that clients must get."""

import atexit
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]
# Tiny models with heads: one for each task.
HEADS = REPOSITORY / "tests" / "golden" / "heads"
# The shipped model's name in `lacuna serve`.
SHIPPED = "minilm-80"
START_SECONDS = 120  # a command of the dev profile calibrates slowly


def command():
    """The command that is checked."""
    return os.environ.get("LACUNA", str(REPOSITORY / "target" / "debug" / "lacuna"))


class Server:
    """A running `lacuna serve`. Its log is a file, so that a full pipe cannot stop it."""

    def __init__(self, *options, port=0, stderr=None, wait=True):
        self.log = Path(tempfile.mkstemp(suffix=".log")[1])
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [command(), "serve", "--port", str(port), *map(str, options)],
                stdout=subprocess.DEVNULL,
                stderr=log if stderr is None else stderr,
            )
        atexit.register(self.kill)
        self.url = self._url() if stderr is None and wait else f"http://127.0.0.1:{port}"

    def _url(self):
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            found = re.search(r"listening on (http://[^,\s]+)", self.text())
            if found:
                return found[1]
            time.sleep(0.002)
        raise RuntimeError(f"the server did not start: {self.text()}")

    @property
    def port(self):
        return int(self.url.rsplit(":", 1)[1])

    def text(self):
        """What the server wrote to standard error."""
        return self.log.read_text(errors="replace")

    def is_running(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def resident(self):
        """Resident memory in bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def end(self, seconds=60):
        """SIGTERM; the exit status."""
        self.signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self):
        if self.is_running():
            self.process.kill()
            self.process.wait()
        self.log.unlink(missing_ok=True)


@cache
def shared_server():
    """One server for all checks of a file: the shipped model, and a tiny model for each task."""
    models = [f"{SHIPPED}={REPOSITORY / 'assets' / 'minilm-80.lacuna'}"]
    models += [f"{task}={HEADS / f'bert-{task}'}" for task in ("classify", "rank", "tag", "answer", "fill")]
    options = [part for model in models for part in ("--model", model)]
    return Server(*options, "--api-key", "secret")


@cache
def head_server(task):
    """A server whose first model is the tiny model of a task."""
    return Server("--model", f"{task}={HEADS / f'bert-{task}'}")


def run(*arguments, text=None):
    """The output of a `lacuna` command."""
    done = subprocess.run([command(), *map(str, arguments)], input=text, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"lacuna {' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout


def embed(texts, *options):
    """The vectors of `lacuna embed`: an array of f32."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        vectors = Path(folder) / "vectors.npy"
        run("embed", "--quiet", "--input", Path(folder) / "texts.jsonl", "--output", vectors, *options)
        return np.load(vectors)


def lines(*arguments, text=None):
    """The JSON objects that a `lacuna` command writes, one per line."""
    return [json.loads(line) for line in run(*arguments, text=text).splitlines()]
