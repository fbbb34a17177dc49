"""HTTP/1.1 by hand, for requests that no client library sends."""

import asyncio
import json


def request(method, path, body=b"", headers=()):
    """The bytes of a request. Headers are pairs; the length is there unless they state it or the body is chunked."""
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", *[f"{name}: {value}" for name, value in headers]]
    stated = {name.lower() for name, _ in headers}
    if not stated & {"content-length", "transfer-encoding"}:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Connection:
    """A connection with one request at a time."""

    def __init__(self, port):
        self.port = port
        self.reader = self.writer = None

    async def __aenter__(self):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        return self

    async def __aexit__(self, *_):
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            pass  # the server was faster

    async def send(self, raw, end=False):
        """Sends; `end` says that nothing more follows."""
        try:
            self.writer.write(raw)
            await self.writer.drain()
            if end:
                self.writer.write_eof()
        except OSError:
            pass  # the server has answered and closed: the answer may still be there

    async def answer(self):
        """Status and body; status 0 where the server closed the connection without an answer."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
            headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
            status = int(head.split(b" ", 2)[1])
            if headers.get(b"transfer-encoding") == b"chunked":
                return status, await self._chunks()
            return status, await self.reader.readexactly(int(headers.get(b"content-length", b"0")))
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0, b""

    async def _chunks(self):
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readline()
        await self.reader.readline()
        return body


async def ask(port, raw, end=False, seconds=30):
    """One request on a connection of its own."""
    async with Connection(port) as connection:
        await connection.send(raw, end)
        return await asyncio.wait_for(connection.answer(), seconds)


async def post(port, path, value, seconds=90):
    """JSON to JSON."""
    body = json.dumps(value).encode()
    status, answer = await ask(port, request("POST", path, body), seconds=seconds)
    return status, json.loads(answer or b"null")
