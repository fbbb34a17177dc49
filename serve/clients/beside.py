#!/usr/bin/env python3
"""`lacuna serve` beside other servers: the same model, the same machine, the same load, in turns.

    python3 -m venv venv && venv/bin/pip install -r serve/clients/requirements-beside.txt
    LACUNA=target/release/lacuna venv/bin/python serve/clients/beside.py --model all-MiniLM-L6-v2 [--infinity PYTHON]

Writes a table, and with --json FILE all that was measured. Every server is the only one that runs. Vectors are compared first. Needs Linux.
"""

import argparse
import http.client
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from urllib.parse import urlparse

import numpy as np

from faults import PACKED, free_port
from lacuna import SHIPPED, Server, run

HERE = Path(__file__).resolve().parent
SENTENCES = ["A cat sits on the mat.", "Two dogs run in the snow.", "The old river flows through Paris."]


class Other:
    """A server of another project."""

    def __init__(self, command, environment, port, seconds=180):
        self.url, self.log = f"http://127.0.0.1:{port}", tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command, env=os.environ | environment, cwd=HERE, stdout=self.log, stderr=self.log, start_new_session=True
        )
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if embed(self.url, ["a"], self.name_of()) is not None:
                    return
            except (OSError, http.client.HTTPException):
                pass
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        self.log.seek(0)
        self.kill()
        raise RuntimeError(self.log.read().decode(errors="replace")[-600:])

    def name_of(self):
        return "any"

    def resident(self):
        """Of the process and all that it started; pages that they share count once for each."""
        return sum(rss(pid) for pid in tree(self.process.pid))

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def tree(pid):
    found = [pid]
    for one in found:
        children = Path(f"/proc/{one}/task/{one}/children")
        found += [int(child) for child in children.read_text().split()] if children.exists() else []
    return found


def rss(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def embed(url, texts, model=None):
    """Vectors of the route of OpenAI; None for another status."""
    place = urlparse(url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=60)
    body = {"input": texts} | ({"model": model} if model else {})
    connection.request("POST", "/v1/embeddings", json.dumps(body), {"content-type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    return np.array([item["embedding"] for item in json.loads(text)["data"]], np.float32) if answer.status == 200 else None


def servers(options, folder):
    """Name, and how to start it."""
    model = Path(options.model).resolve()
    yield "lacuna serve, 80 % zeros", lambda: Server("--model", f"{SHIPPED}={PACKED}")
    dense = Path(folder) / "dense.lacuna"
    run("pack", "--quiet", "--model", model, "--output", dense)
    yield "lacuna serve, dense int8", lambda: Server("--model", f"dense={dense}")
    graph, small = Path(folder) / "model.onnx", Path(folder) / "int8.onnx"
    run("export", "onnx", "--quiet", "--model", model, graph)
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(graph, small, weight_type=QuantType.QInt8)
    for name, file in (("f32", graph), ("dynamic int8", small)):
        for workers, threads in ((2, 1), (1, 2)):
            environment = {"ORT_GRAPH": str(file), "ORT_TOKENIZER": str(model / "tokenizer.json"), "ORT_THREADS": str(threads)}

            def start(environment=environment, workers=workers):
                port = free_port()
                command = [sys.executable, "-m", "uvicorn", "ort_server:application", "--port", str(port), "--workers", str(workers)]
                return Other([*command, "--log-level", "warning"], environment, port)

            yield f"ONNX Runtime {name}, {workers} x {threads} thread{'s' * (threads > 1)}", start
    if options.infinity:

        def infinity():
            port = free_port()
            command = [options.infinity, "-m", "infinity_emb", "v2", "--model-id", str(model), "--served-model-name", "any"]
            more = ["--port", str(port), "--device", "cpu", "--engine", "torch", "--url-prefix", "/v1", "--no-bettertransformer"]
            return Other([*command, *more], {"HF_HUB_OFFLINE": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0"}, port)

        yield "infinity, torch", infinity
    else:
        print("skipped: infinity: no --infinity PYTHON", file=sys.stderr)
    print("skipped: text-embeddings-inference: no package index has it; it needs its container or a build", file=sys.stderr)


TOKENS = 32  # of a text
LOADS = {"1 connection": (1, 1), "16 connections": (16, 1), "16 connections, 8 texts": (16, 8)}


def measure(server, seconds):
    """Each load once."""
    result = {}
    for name, (connections, texts) in LOADS.items():
        load = ("--connections", connections, "--texts", texts, "--seq", TOKENS, "--json")
        bench = lambda time: run("bench", "serve", "--quiet", "--url", f"{server.url}/v1/embeddings", "--time", time, *load)
        bench(1)
        found = json.loads(bench(seconds))[0]
        if found["refused"] or found["broken"] or found["overloaded"]:
            raise RuntimeError(f"{name}: {found}")
        result[name] = found
    result["resident"] = server.resident()
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="directory of all-MiniLM-L6-v2")
    parser.add_argument("--infinity", help="a Python that has infinity-emb")
    parser.add_argument("--time", type=int, default=5, help="seconds of each load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="file for all that was measured")
    options = parser.parse_args()
    results, vectors = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        all_servers = list(servers(options, folder))
        for _ in range(options.rounds):
            for name, start in all_servers:
                try:
                    server = start()
                except RuntimeError as error:
                    print(f"skipped: {name}: {error}", file=sys.stderr)
                    continue
                try:
                    vectors.setdefault(name, embed(server.url, SENTENCES, getattr(server, "name_of", lambda: None)()))
                    results.setdefault(name, []).append(measure(server, options.time))
                finally:
                    server.kill()
    exact = next(found for name, found in vectors.items() if "f32" in name)
    versions = {name: importlib.metadata.version(name) for name in ("onnxruntime", "fastapi", "uvicorn", "tokenizers")}
    if options.json:
        options.json.write_text(json.dumps({"versions": versions, "results": results}, indent=1))
    print(f"{versions}; {options.rounds} rounds of {options.time} s each; medians")
    head = [f"{load}: requests/s | tokens/s | p50 ms | p99 ms" for load in LOADS]
    print(f"| server | cosine to f32 | {' | '.join(head)} | MiB |")
    print("|" + " --- |" * (3 + 4 * len(LOADS)))
    for name, rounds in results.items():
        middle = lambda load, field: median(one[load][field] for one in rounds)
        cells = [
            f"{middle(load, 'served_per_s'):.1f} | {middle(load, 'served_per_s') * LOADS[load][1] * TOKENS:.0f} | {middle(load, 'p50_ms'):.1f} | {middle(load, 'p99_ms'):.1f}"
            for load in LOADS
        ]
        cosine = float((vectors[name] * exact).sum(1).min())
        print(f"| {name} | {cosine:.4f} | {' | '.join(cells)} | {median(one['resident'] for one in rounds) / 2**20:.0f} |")


if __name__ == "__main__":
    main()
