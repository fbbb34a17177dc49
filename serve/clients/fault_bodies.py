"""Bodies and requests of every wrong kind."""

import gzip
import json
import zlib

from wire import request

JSON = ("content-type", "application/json")


def good(path):
    """A body that a route takes."""
    if path == "/decode":
        return {"ids": [[5, 6]]}
    if path == "/similarity":
        return {"inputs": {"source_sentence": "a", "sentences": ["b"]}}
    if path.endswith("/infer"):
        return {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a"]}]}
    if path == "/models/answer":
        return {"inputs": {"question": "a", "context": "b"}}
    if path == "/models/fill":
        return {"inputs": "The [MASK] sat."}
    return {"inputs": "a", "input": "a", "query": "a", "texts": ["a"], "documents": ["a"]}


def wrong_values():
    """Values where a route expects texts or ids."""
    nested = 1
    for _ in range(100):
        nested = [nested]
    huge = 10**400
    return [None, 1, -1, 1.5, True, {}, [], [[]], [None], [[None]], ["a", 1], [["a", {}]], nested, [huge], huge, [4294967296], {"text": 1}]


def spoiled(text, what):
    """A body with something else in its text or ids."""
    return text.replace(b'"a"', b'"' + what + b'"').replace(b"5", b'"' + what + b'"').replace(b"The", what)


def wrong_bodies(path):
    """Name and bytes: each must be answered with 4xx."""
    text = json.dumps(good(path)).encode()
    for at in (1, len(text) // 2, len(text) - 1):
        yield f"cut at {at}", text[:at]
    yield "empty", b""
    yield "a byte order mark", b"\xef\xbb\xbf" + text
    yield "zeros", b"\0" * 64
    yield "no UTF-8", spoiled(text, b"\xff\xfe")
    yield "a lone surrogate", spoiled(text, b"\\ud800")
    yield "deep nesting", b"[" * 100_000
    yield "deep nesting in a field", b'{"inputs":' + b'{"a":' * 100_000
    yield "a number that is too large", b'{"inputs": 1e999, "ids": 1e999, "input": 1e999, "query": 1e999}'
    yield "no JSON number", b'{"inputs": NaN, "ids": NaN, "input": NaN, "query": NaN}'
    for value in wrong_values():
        fields = ("inputs", "input", "texts", "documents", "query", "ids")
        yield f"the value {str(value)[:20]}", json.dumps({field: value for field in fields}).encode()


def packed(path):
    """Name, encoding and bytes of bodies that cannot be unpacked or are too large: each must be answered with 4xx."""
    text = json.dumps(good(path)).encode()
    whole = gzip.compress(text)
    yield "no gzip", "gzip", text
    yield "half of a gzip", "gzip", whole[: len(whole) // 2]
    yield "gzip with a wrong sum", "gzip", whole[:-8] + b"\0" * 8
    yield "no deflate", "deflate", b"\xff" * 40
    yield "a gzip bomb of 256 MiB", "gzip", BOMB
    yield "a deflate bomb of 256 MiB", "deflate", DEFLATE_BOMB
    yield "an unknown encoding", "br2", text


def _bomb(wbits):
    packer, parts = zlib.compressobj(9, zlib.DEFLATED, wbits), []
    for _ in range(256):
        parts.append(packer.compress(b" " * (1 << 20)))
    return b"".join(parts) + packer.flush()


BOMB, DEFLATE_BOMB = _bomb(31), _bomb(15)


def framed(path):
    """Name, raw bytes, and the statuses that are right (0: closed without an answer) of requests whose framing is wrong.

    Where 0 is right, the client closes its half of the connection after the request.
    """
    text = json.dumps(good(path)).encode()
    length, chunked = ("content-length", len(text)), ("transfer-encoding", "chunked")
    chunk = b"%x\r\n%s\r\n" % (len(text), text)
    yield "a chunked body that does not end", request("POST", path, chunk, [JSON, chunked]), {0, 400}
    yield "a chunk without a size", request("POST", path, b"zz\r\n", [JSON, chunked]), {0, 400}
    yield "a chunk of 2^64 bytes", request("POST", path, b"fffffffffffffffff\r\n", [JSON, chunked]), {0, 400}
    # RFC 9112, 6.3: the chunks count, or the request is refused.
    yield "both lengths", request("POST", path, chunk + b"0\r\n\r\n", [JSON, length, chunked]), {200, 400, 422, 424}
    yield "two lengths", request("POST", path, text, [JSON, length, ("content-length", 1)]), {0, 400}
    yield "a negative length", request("POST", path, text, [JSON, ("content-length", -1)]), {0, 400}
    yield "a length of 2^64", request("POST", path, text, [JSON, ("content-length", 2**64)]), {0, 400}
    yield "a body that is too short", request("POST", path, text, [JSON, ("content-length", len(text) + 9)]), {0, 400}
    yield "a header of 1 MB", request("POST", path, text, [("x-a", "a" * 1_000_000)]), {0, 400, 431}
    yield "1000 headers", request("POST", path, text, [(f"x-{i}", "a") for i in range(1000)]), {0, 400, 431}
    yield "NUL in a header", request("POST", path, text, [("x-a", "a\0b")]), {0, 400}
    yield "a path of 100 kB", request("POST", path + "?" + "a" * 100_000, text, [JSON]), {0, 400, 414, 431}
    yield "another protocol", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"\0" * 64, {0, 400}
    yield "HTTP/9", b"POST %s HTTP/9.9\r\n\r\n" % path.encode(), {0, 400, 505}
