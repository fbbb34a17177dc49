#!/usr/bin/env python3
"""What a server must survive: wrong bodies, slow clients, idle connections, a full disk, a model file that changes.

    LACUNA=target/release/lacuna python3 serve/clients/faults.py [--idle 10000] [--quick]

Every line says what was done and what was seen. The exit status is 1 if the server died, answered 5xx, was not healthy meanwhile, or kept
the memory. Needs Linux, Python 3.9 and numpy; no client library.
"""

import argparse
import asyncio
import json
import os
import resource
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path

from fault_bodies import JSON, framed, good, packed, wrong_bodies
from lacuna import HEADS, REPOSITORY, SHIPPED, Server
from probe import Probe
from wire import Connection, ask, post, request

PACKED = REPOSITORY / "assets" / "minilm-80.lacuna"
HEALTH_MS = 50
# Memory that an allocator may keep after a fault, beyond what the server had before it.
KEPT_BYTES = 64 << 20
# What an idle connection may take. The allocator keeps it for later ones.
IDLE_BYTES = 40 << 10
ROUTES = [
    "/",
    "/embed",
    "/embed_all",
    "/similarity",
    "/predict",
    "/rerank",
    "/tokenize",
    "/decode",
    "/v1/embeddings",
    "/v1/rerank",
    "/v2/rerank",
    f"/v2/models/{SHIPPED}/infer",
    *[f"/models/{name}" for name in (SHIPPED, "classify", "rank", "tag", "answer", "fill")],
]


class Faults:
    """Faults of one run, and what was wrong."""

    def __init__(self, checks_limits):
        self.checks_limits = checks_limits
        models = [f"{SHIPPED}={PACKED}", *[f"{t}={HEADS / f'bert-{t}'}" for t in ("classify", "rank", "tag", "answer", "fill")]]
        self.server = Server(*[part for model in models for part in ("--model", model)])
        self.failed = 0

    async def run(self, name, fault, kept=KEPT_BYTES):
        """Runs one fault, with a probe beside it, and prints one line."""
        server, started, before = self.server, time.monotonic(), self.server.resident()
        probe, wrong = Probe(server.port), []
        try:
            seen = await fault(server, wrong)
        except Exception as error:
            seen = ""
            wrong.append(f"{type(error).__name__}: {error}")
        health = probe.end()
        if not server.is_running():
            wrong.append(f"the server ended: {server.text()[-500:]}")
            return self.say(name, wrong, seen)
        status, _ = await post(server.port, "/embed", {"inputs": "a"})
        if status != 200:
            wrong.append(f"/embed answers {status} afterwards")
        if health["failures"]:
            wrong.append(f"/health failed: {health['failures']}")
        if self.checks_limits and health["max"] > HEALTH_MS + health["machine"]:
            wrong.append(f"/health took {health['max']} ms; expected at most {HEALTH_MS} and {health['machine']} of the machine")
        await asyncio.sleep(0.5)
        found = server.resident() - before
        if self.checks_limits and found > kept:
            wrong.append(f"{found >> 20} MiB of memory were kept; expected at most {kept >> 20}")
        seen += (
            f"; /health p50 {health['p50']}, p99 {health['p99']}, max {health['max']} ms (machine {health['machine']} ms)"
            f"; memory {before >> 20} to {server.resident() >> 20} MiB; {time.monotonic() - started:.1f} s"
        )
        self.say(name, wrong, seen)

    def say(self, name, wrong, seen):
        self.failed += bool(wrong)
        print(f"{'FAILED' if wrong else 'ok':8}{name}: {seen}", flush=True)
        for line in wrong[:12]:
            print(f"          {line}", flush=True)
        if len(wrong) > 12:
            print(f"          and {len(wrong) - 12} more", flush=True)


async def several(jobs, at_once=8):
    """Runs coroutines, some at a time."""
    gate = asyncio.Semaphore(at_once)

    async def one(job):
        async with gate:
            return await job

    return await asyncio.gather(*[one(job) for job in jobs])


async def refused(server, wrong, path, name, raw):
    """A request that must be answered with 4xx and a message."""
    status, body = await ask(server.port, raw)
    if not 400 <= status < 500:
        wrong.append(f"{path}, {name}: {status} {body[:120]!r}")
        return
    try:
        answer = json.loads(body)
        if not (answer.get("error") or answer.get("message")):
            wrong.append(f"{path}, {name}: {status} without a message")
    except ValueError:
        wrong.append(f"{path}, {name}: {status} with {body[:80]!r}, which is no JSON")


async def bodies(server, wrong):
    jobs = [
        refused(server, wrong, path, name, request("POST", path, body, [JSON])) for path in ROUTES for name, body in wrong_bodies(path)
    ]
    await several(jobs)
    return f"{len(jobs)} wrong bodies of {len(ROUTES)} routes"


async def packed_bodies(server, wrong):
    jobs = [
        refused(server, wrong, path, name, request("POST", path, body, [JSON, ("content-encoding", encoding)]))
        for path in ROUTES
        for name, encoding, body in packed(path)
    ]
    await several(jobs, 4)
    return f"{len(jobs)} bodies that are broken, of an unknown encoding, or 256 MiB when unpacked"


async def framing(server, wrong):
    async def one(path, name, raw, right):
        status, body = await ask(server.port, raw, end=0 in right)
        if status not in right:
            wrong.append(f"{path}, {name}: {status} {body[:120]!r}; expected one of {sorted(right)}")

    jobs = [one(path, *case) for path in ROUTES for case in framed(path)]
    await several(jobs)
    return f"{len(jobs)} requests with wrong lengths, chunks and headers"


async def content_types(server, wrong):
    async def one(path, kind):
        body = json.dumps(good(path)).encode()
        expected, _ = await ask(server.port, request("POST", path, body, [JSON]))
        headers = [("content-type", kind)] if kind else []
        found, _ = await ask(server.port, request("POST", path, body, headers))
        if found != expected:
            wrong.append(f"{path} with {kind}: {found}; expected {expected} as with JSON")

    kinds = (None, "text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data", "\xe9")
    # KServe reads a content type of bytes as the binary extension.
    await several([one(path, kind) for path in ROUTES for kind in kinds])
    return f"{len(ROUTES) * len(kinds)} bodies with a wrong content type"


async def slow_headers(server, wrong, clients=200, seconds=5):
    async def one():
        async with Connection(server.port) as connection:
            for byte in b"POST /embed HTTP/1.1\r\nhost: localhost\r\n"[: seconds * 4]:
                await connection.send(bytes([byte]))
                await asyncio.sleep(0.25)

    await asyncio.gather(*[one() for _ in range(clients)])
    return f"{clients} clients that send 4 bytes of headers per second for {seconds} s"


async def slow_bodies(server, wrong, clients=200):
    async def one():
        async with Connection(server.port) as connection:
            await connection.send(request("POST", "/embed", b"", [JSON, ("content-length", 10_000)]))
            answer = asyncio.ensure_future(connection.answer())
            while not answer.done():
                await connection.send(b" ")
                await asyncio.wait([answer], timeout=1)
            return answer.result()[0]

    started = time.monotonic()
    statuses = await asyncio.wait_for(asyncio.gather(*[one() for _ in range(clients)]), 60)
    if set(statuses) != {408}:
        wrong.append(f"found the statuses {set(statuses)}; expected 408")
    return f"{clients} clients that send a byte per second: 408 after {time.monotonic() - started:.0f} s"


async def slow_readers(server, wrong, clients=4, seconds=5):
    text = "word " * 250
    body = json.dumps({"inputs": [text] * 20}).encode()  # 5000 tokens: an answer of 20 MB
    peak = 0

    async def one():
        nonlocal peak
        async with Connection(server.port) as connection:
            await connection.send(request("POST", "/embed_all", body, [JSON]))
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                await connection.reader.read(1000)
                peak = max(peak, server.resident())
                await asyncio.sleep(0.05)

    await asyncio.gather(*[one() for _ in range(clients)])
    return f"{clients} clients that read an answer of about 20 MB with 20 kB/s for {seconds} s; memory at most {peak >> 20} MiB"


async def gone_clients(server, wrong, clients=100):
    body = json.dumps({"inputs": ["word " * 100] * 50}).encode()

    async def one():
        async with Connection(server.port) as connection:
            await connection.send(request("POST", "/embed", body, [JSON]))

    await asyncio.gather(*[one() for _ in range(clients)])
    started = time.monotonic()
    status, _ = await post(server.port, "/embed", {"inputs": "a"})
    if status != 200:
        wrong.append(f"found {status} behind them; expected 200")
    return f"{clients} clients that leave without an answer; the next request took {time.monotonic() - started:.2f} s"


def idle(count):
    async def fault(server, wrong):
        before, sockets = server.resident(), []
        for i in range(count):
            # Addresses of the loopback range, so that ports suffice.
            sockets.append(socket.create_connection(("127.0.0.1", server.port), source_address=(f"127.0.0.{2 + i % 8}", 0)))
            if i % 100 == 0:
                await asyncio.sleep(0.01)
        await asyncio.sleep(1)
        each = (server.resident() - before) / count
        status, _ = await post(server.port, "/embed", {"inputs": "a"})
        if status != 200:
            wrong.append(f"/embed answers {status} beside {count} idle connections")
        for one in sockets:
            one.close()
        return f"{count} idle connections, {each / 1024:.1f} KiB each"

    return fault


def idle_again(count):
    """The allocator keeps the memory of connections for later ones: these must need no more."""
    once = idle(count)

    async def fault(server, wrong):
        most = server.resident()
        seen = await once(server, wrong)
        await asyncio.sleep(2)
        if server.resident() > most * 1.05 + (8 << 20):
            wrong.append(f"memory grew from {most >> 20} to {server.resident() >> 20} MiB: the first ones' was not used again")
        return seen.replace("idle connections", "idle connections once more")

    return fault


async def large_request(server, wrong):
    body = json.dumps({"inputs": "a" * 10_000_000}).encode()
    started = time.monotonic()
    statuses = [(await ask(server.port, request("POST", path, body, [JSON])))[0] for path in ("/embed", "/v1/embeddings")]
    if statuses != [413, 400]:
        wrong.append(f"found {statuses}; expected 413, and 400 of OpenAI's route")
    return f"a body of 10 MB: {statuses} after {time.monotonic() - started:.2f} s"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


async def started(server, port):
    """Waits until a server whose log cannot be read is ready."""
    for _ in range(600):
        try:
            status, _ = await ask(port, request("GET", "/health"))
            if status == 200:
                return
        except OSError:
            status = "no connection"
        await asyncio.sleep(0.05)
        if not server.is_running():
            raise RuntimeError(f"the server ended with status {server.process.returncode}")
    raise RuntimeError(f"the server did not start: /health answers {status} (0: the connection was closed)")


async def full_disk(_, wrong):
    port = free_port()
    options = ("--model", f"{SHIPPED}={PACKED}", "--log-format", "json", "--log", "lacuna_serve=debug", "--quiet")
    with open("/dev/full", "wb") as full:
        server = Server(*options, port=port, stderr=full)
    try:
        await started(server, port)
        statuses = [(await post(port, "/embed", {"inputs": "a"}))[0] for _ in range(50)]
        statuses += [(await ask(port, request("POST", "/embed", b"{")))[0]]
        if statuses != [200] * 50 + [400]:
            wrong.append(f"found {set(statuses)}; expected 200 and 400")
        status = server.end()
        if status != 0:
            wrong.append(f"SIGTERM: found the exit status {status}; expected 0")
    finally:
        server.kill()
    return "a log on a full disk: 51 requests, and a clean end"


async def replaced_model(_, wrong):
    """The packed file is replaced by rename, then cut in place, then filled with noise; every time requests, a reload, and requests."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.lacuna"
        shutil.copy(PACKED, model)
        server = Server("--model", f"{SHIPPED}={model}", "--api-key", "secret")
        key = ("authorization", "Bearer secret")
        texts = json.dumps({"inputs": ["A cat sits on the mat.", "dog " * 100]}).encode()

        async def vectors():
            status, body = await ask(server.port, request("POST", "/embed", texts, [JSON, key]))
            return status, body

        async def reload():
            return (await ask(server.port, request("POST", "/admin/reload", b"", [key]), seconds=60))[0]

        expected, seen = await vectors(), []
        async def same_after(what, reloaded):
            if not server.is_running():
                wrong.append(f"{what}: the server ended with status {server.process.returncode}: {server.text()[-300:]}")
                return False
            if await vectors() != expected:
                wrong.append(f"{what}: other vectors than before")
            found = await reload()
            if found != reloaded:
                wrong.append(f"{what}: /admin/reload answers {found}; expected {reloaded}")
            if not server.is_running() or await vectors() != expected:
                wrong.append(f"{what}, then a reload: other vectors than before, or the server ended")
            seen.append(f"{what} {found}")
            return True

        try:
            new = Path(folder) / "new.lacuna"
            shutil.copy(PACKED, new)
            os.rename(new, model)
            alive = await same_after("renamed", 200)
            for what, change in (("cut", lambda: os.truncate(model, 5000)), ("noise", lambda: model.write_bytes(os.urandom(100_000)))):
                if alive:
                    change()
                    alive = await same_after(what, 500)
            if alive:
                model.unlink()
                alive = await same_after("deleted", 500)
            if alive:
                shutil.copy(PACKED, model)
                await same_after("restored", 200)
        except (OSError, asyncio.TimeoutError) as error:
            wrong.append(f"{type(error).__name__}: {error}; running: {server.is_running()}; {server.text()[-300:]}")
        finally:
            server.kill()
    return "the model file changes; status of the reload: " + ", ".join(seen)


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--idle", type=int, default=10_000, help="idle connections")
    parser.add_argument("--quick", action="store_true", help="without the slow bodies, which take 30 s, and with 500 idle connections; times and memory are shown, not checked")
    options = parser.parse_args()
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(options.idle, 500) if options.quick else options.idle
    if count > most - 200:
        print(f"skipped: {count - most + 200} of {count} idle connections: this process may have {most} files open")
        count = most - 200
    faults = Faults(checks_limits=not options.quick)
    print(f"{len(ROUTES)} routes, one server: {faults.server.url}")
    # What a server needs for its work is not what a fault leaves behind.
    for path in ROUTES * 3:
        await post(faults.server.port, path, good(path))
    await faults.run("bodies", bodies)
    await faults.run("packed bodies", packed_bodies)
    await faults.run("framing", framing)
    await faults.run("content types", content_types)
    await faults.run("slow headers", slow_headers)
    if options.quick:
        print("skipped: slow bodies: they take 30 s (--quick)")
    else:
        await faults.run("slow bodies", slow_bodies)
    await faults.run("slow readers", slow_readers)
    await faults.run("clients that leave", gone_clients)
    await faults.run("idle connections", idle(count), kept=count * IDLE_BYTES)
    await faults.run("idle connections", idle_again(count))
    await faults.run("a large request", large_request)
    await faults.run("full disk", full_disk)
    await faults.run("replaced model", replaced_model)
    status = faults.server.end()
    if status != 0:
        faults.say("the end", [f"found the exit status {status}; expected 0"], "SIGTERM")
    sys.exit(1 if faults.failed else 0)


if __name__ == "__main__":
    asyncio.run(main())
