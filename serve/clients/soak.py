#!/usr/bin/env python3
"""A mixed load with reloads, the end of a server under load, its restart, and more load than it can compute.

    LACUNA=target/release/lacuna python3 serve/clients/soak.py [--quick]

Every line says what was done and what was seen; the exit status is 1 if something was wrong. Needs Linux, Python 3.9 and numpy.
"""

import argparse
import asyncio
import json
import random
import re
import signal
import sys
import time
from collections import Counter
from statistics import median

from fault_bodies import JSON, good
from faults import PACKED, ROUTES, free_port
from lacuna import HEADS, SHIPPED, Server, run
from probe import Probe
from wire import Connection, request

CONNECTIONS = 16
WORDS = "the cat sat on a mat and Zoë met Émile in Paris by an old river while rain fell".split()
MODELS = 6
WARM_RELOADS = 5
FLAT = 0.05
HEALTH_MS = 50
RESTART_MS = 200
QUEUE_SECONDS = 4


def models():
    """The shipped model, and a tiny one for each task."""
    named = [f"{SHIPPED}={PACKED}", *[f"{t}={HEADS / f'bert-{t}'}" for t in ("classify", "rank", "tag", "answer", "fill")]]
    return [part for model in named for part in ("--model", model)]


def text(chance, most):
    """A text whose length is distributed as lengths of sentences are: many short ones, few long ones."""
    count = min(most, max(1, int(chance.lognormvariate(2.3, 0.7))))
    return " ".join(chance.choice(WORDS) for _ in range(count))


def filled(path, chance):
    """A body for a route."""
    # The tiny models read 40 tokens.
    most = 12 if path.startswith("/models/") else 150
    body = good(path)
    if path == "/decode":
        return {"ids": [[chance.randrange(1, 20000) for _ in range(20)]]}
    if path == "/similarity":
        return {"inputs": {"source_sentence": text(chance, most), "sentences": [text(chance, most) for _ in range(4)]}}
    if path.endswith("/infer"):
        body["inputs"][0]["data"] = [text(chance, most)]
    elif path == "/models/answer":
        body["inputs"] = {"question": "Who met?", "context": text(chance, most)}
    elif path == "/models/fill":
        body["inputs"] = text(chance, most) + " [MASK]"
    elif path == "/models/rank":
        body = {"inputs": {"text": "Who met?", "text_pair": text(chance, most)}}
    elif path.endswith("rerank"):
        body = {"model": "rank", "query": "Who met?", "documents": [text(chance, 8) for _ in range(4)]}
    else:
        texts = [text(chance, most) for _ in range(chance.choice([1, 1, 1, 2, 8]))]
        body = {"inputs": texts, "input": texts}
    return body


class Load:
    """Connections that send requests, one after another, and check the answers."""

    def __init__(self, port, seed=1, each=20):
        chance = random.Random(seed)
        # `/predict` and `/rerank` need another first model.
        paths = [path for path in ROUTES if path not in ("/predict", "/rerank")]
        self.requests = [
            (path, request("POST", path, json.dumps(filled(path, chance)).encode(), [JSON])) for path in paths for _ in range(each)
        ]
        self.port, self.chance = port, chance
        self.statuses, self.wrong, self.answers = Counter(), [], {}
        self.done, self.ending, self.lost, self.is_over = 0, None, 0, False

    def check(self, index, status, body):
        """The same request has the same answer, whatever the batch and whichever load of the model."""
        path = self.requests[index][0]
        self.statuses[status] += 1
        if status not in (200, 429):
            self.wrong.append(f"{path}: {status} {body[:200]!r}")
        if status == 200:
            bare = re.sub(rb'"id":"[^"]*"', b"", body)
            if self.answers.setdefault(index, bare) != bare:
                self.wrong.append(f"{path}: another answer than the first time")

    async def connection(self, most):
        """Sends until the load has sent `most` requests or is over."""
        while self.done < most and not self.is_over:
            try:
                async with Connection(self.port) as connection:
                    while self.done < most and not self.is_over:
                        self.done += 1
                        index, sent = self.chance.randrange(len(self.requests)), time.monotonic()
                        await connection.send(self.requests[index][1])
                        status, body = await asyncio.wait_for(connection.answer(), 70)
                        if self.ending is not None and status in (0, 503):
                            # Sent before the signal with 50 ms to spare: it was accepted.
                            self.lost += sent < self.ending - 0.05
                            return
                        self.check(index, status, body)
            except OSError:
                if self.ending is not None:
                    return
                raise

    async def run(self, most):
        await asyncio.gather(*[self.connection(most) for _ in range(CONNECTIONS)])


class Report:
    """Lines, and whether something was wrong."""

    failed = 0

    def __init__(self, checks_limits):
        self.checks_limits = checks_limits

    def say(self, name, seen, wrong):
        self.failed += bool(wrong)
        print(f"{'FAILED' if wrong else 'ok':8}{name}: {seen}", flush=True)
        for line in wrong[:10]:
            print(f"          {line}", flush=True)


def health(probe, wrong, checks_limits):
    seen = probe.end()
    if seen["failures"]:
        wrong.append(f"/health failed: {seen['failures']}")
    if checks_limits and seen["p99"] > HEALTH_MS:
        wrong.append(f"/health: p99 {seen['p99']} ms; expected at most {HEALTH_MS}")
    return f"/health p50 {seen['p50']}, p99 {seen['p99']}, max {seen['max']} ms (machine {seen['machine']} ms)"


async def mixed(report, count, reloads):
    """Requests of all kinds while the models are loaded again and again; then SIGTERM under load."""
    server = Server(*models())
    reloaded = lambda: server.text().count("reloaded") // MODELS
    # What allocators keep grows in the first reloads.
    await Load(server.port).run(count // 20)
    for i in range(WARM_RELOADS):
        server.signal(signal.SIGHUP)
        while reloaded() <= i and server.is_running():
            await asyncio.sleep(0.01)
    load, probe, series, wrong = Load(server.port), Probe(server.port), [], []
    working = asyncio.ensure_future(load.run(count))
    started, signals = time.monotonic(), 0
    while not working.done():
        await asyncio.wait([working], timeout=0.1)
        if not server.is_running():
            wrong.append(f"the server ended: {server.text()[-300:]}")
            break
        series.append(server.resident() / 2**20)
        # The next one when all models of the one before are there.
        if signals < min(reloads, 1 + reloads * load.done // count) and reloaded() >= WARM_RELOADS + signals:
            server.signal(signal.SIGHUP)
            signals += 1
    await working
    took = time.monotonic() - started
    wrong += load.wrong
    if report.checks_limits and signals < reloads:
        wrong.append(f"found time for {signals} reloads; expected {reloads}")
    # Medians: while a model is loaded, both are in memory.
    parts = [median(series[i * len(series) // 20 : (i + 1) * len(series) // 20 + 1]) for i in range(20)]
    tenth, end = median(parts[2:4]), median(parts[18:])
    if report.checks_limits and abs(end / tenth - 1) > FLAT:
        wrong.append(f"resident memory: {tenth:.0f} MiB after a tenth, {end:.0f} MiB at the end")
    seen = f"{load.done} requests in {took:.0f} s on {CONNECTIONS} connections, {signals} reloads of {MODELS} models; statuses {dict(load.statuses)}"
    report.say("mixed load", f"{seen}; {health(probe, wrong, report.checks_limits)}", wrong)
    print(f"        resident memory in MiB, medians of twentieths of the time: {' '.join(f'{part:.0f}' for part in parts)}", flush=True)
    await ended(report, server)


async def ended(report, server):
    load, wrong = Load(server.port, seed=2), []
    working = asyncio.ensure_future(load.run(10**9))
    await asyncio.sleep(3)
    load.ending = time.monotonic()
    server.signal(signal.SIGTERM)
    await asyncio.wait_for(working, 60)
    status = await asyncio.to_thread(server.process.wait, 60)
    wrong += load.wrong
    if status != 0:
        wrong.append(f"found the exit status {status}; expected 0: {server.text()[-300:]}")
    if load.lost:
        wrong.append(f"{load.lost} accepted requests were lost")
    took = time.monotonic() - load.ending
    report.say("SIGTERM under load", f"{load.done} requests, {load.lost} lost, ended after {took:.2f} s", wrong)


async def restarted(report, times=10):
    """SIGKILL, and how long after the start the first answer is there."""
    latencies, port = [], free_port()
    body = request("POST", "/embed", b'{"inputs": "a"}', [JSON])
    server = Server("--model", f"{SHIPPED}={PACKED}", port=port)
    for _ in range(times):
        server.process.kill()
        server.process.wait()
        started = time.monotonic()
        # Its log is not waited for: the first answer counts.
        server = Server("--model", f"{SHIPPED}={PACKED}", "--quiet", port=port, wait=False)
        while True:
            try:
                async with Connection(port) as connection:
                    await connection.send(body)
                    if (await connection.answer())[0] == 200:
                        break
            except OSError:
                await asyncio.sleep(0.001)
        latencies.append((time.monotonic() - started) * 1000)
    server.kill()
    middle, wrong = median(latencies), []
    if report.checks_limits and middle > RESTART_MS:
        wrong.append(f"expected at most {RESTART_MS} ms")
    limit = "" if report.checks_limits else " (no limit with --quick: a build without optimisation is slow)"
    report.say("SIGKILL and restart", f"first answer after {middle:.0f} ms, at most {max(latencies):.0f} ms{limit}", wrong)


async def overloaded(report, seconds):
    """Ten times as many requests as the server can compute."""
    texts, tokens = 16, 128
    start = lambda queue: Server("--model", f"{SHIPPED}={PACKED}", "--max-queue", queue, "--max-request-texts", 64)
    server = start(256)
    bench = lambda: ("bench", "serve", "--quiet", "--url", f"{server.url}/embed", "--texts", texts, "--seq", tokens, "--json")
    measured = lambda *more: json.loads(run(*bench(), *more))[0]
    capacity = await asyncio.to_thread(measured, "--time", max(3, seconds // 10), "--connections", 4)
    rate = capacity["served_per_s"]
    server.kill()
    # Some seconds of work: a queue for longer than --timeout ends in 504, as documented.
    queue = max(64, round(rate * texts * QUEUE_SECONDS))
    server = start(queue)
    probe, wrong = Probe(server.port), []
    found = await asyncio.to_thread(measured, "--time", seconds, "--connections", 256, "--rate", f"{10 * rate:.0f}")
    counts = {kind: found[kind] for kind in ("served", "overloaded", "refused", "broken")}
    if counts["refused"] or counts["broken"]:
        wrong.append(f"found {counts}; expected 200 (served) and 429 (overloaded) only")
    # A request waits for a full queue, and for the batches before it: with few instances, these are as much as the queue once more.
    bound = 2 * queue / (rate * texts) * 1000
    if report.checks_limits and found["p99_ms"] > 1.5 * bound + 1000:
        wrong.append(f"p99 is {found['p99_ms']:.0f} ms; batches and a full queue take {bound:.0f} ms")
    seen = f"{10 * rate:.0f} requests/s for {seconds} s where {rate:.1f} are possible: {counts}"
    seen += f"; p50 {found['p50_ms']:.0f}, p99 {found['p99_ms']:.0f} ms of served ones, batches and a full queue take {bound:.0f} ms"
    report.say("overload", f"{seen}; {health(probe, wrong, report.checks_limits)}; memory {server.resident() >> 20} MiB", wrong)
    server.kill()


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="under a minute: 2000 requests, 3 reloads, 5 s of overload; times and memory are shown, not checked")
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--reloads", type=int, default=50)
    parser.add_argument("--only", nargs="+", choices=["mixed", "restart", "overload"], help="parts [default: all]")
    options = parser.parse_args()
    report = Report(checks_limits=not options.quick)
    count, reloads = (2000, 3) if options.quick else (options.requests, options.reloads)
    parts = {
        "mixed": lambda: mixed(report, count, reloads),
        "restart": lambda: restarted(report),
        "overload": lambda: overloaded(report, 5 if options.quick else 60),
    }
    for name in options.only or parts:
        await parts[name]()
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    asyncio.run(main())
