"""A port that answers every request with bytes made by hand: without an end, a byte at a time, or packed to burst."""

from __future__ import annotations

import gzip
import itertools
import socketserver
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
Stream = Callable[[bytes], Iterable[bytes]]
"""What a server sends, in parts; its argument is a piece of a body that would be right."""


def endless(piece: bytes) -> Iterator[bytes]:
    yield HEAD + b"\r\n"
    yield from itertools.repeat(piece * (1 + (1 << 18) // len(piece)))


def endless_line(piece: bytes) -> Iterator[bytes]:
    yield HEAD + b"\r\n" + piece.rstrip()
    yield from itertools.repeat(b" " * (1 << 18))


def endless_headers(piece: bytes) -> Iterator[bytes]:
    yield HEAD
    yield from (f"X-{number}: {'x' * 1000}\r\n".encode() for number in itertools.count())


def endless_gzip(piece: bytes) -> Iterator[bytes]:
    """A thousandth of what it unpacks to."""
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    yield HEAD + b"Content-Encoding: gzip\r\n\r\n"
    yield packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    yield from itertools.repeat(packer.compress(b" " * (1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH))


def gzip_with_more(piece: bytes) -> Iterator[bytes]:
    yield HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(piece)
    yield from itertools.repeat(b"\0" * (1 << 18))


def no_gzip(piece: bytes) -> Iterator[bytes]:
    yield HEAD + b"Content-Encoding: gzip\r\n\r\n" + piece


def another_packing(piece: bytes) -> Iterator[bytes]:
    yield HEAD + b"Content-Encoding: br\r\n\r\n" + piece


def nested(piece: bytes) -> Iterator[bytes]:
    yield HEAD + b"\r\n" + b"[" * 1_000_000


STREAMS: dict[str, Stream] = {
    stream.__name__: stream
    for stream in (endless, endless_line, endless_headers, endless_gzip, gzip_with_more, no_gzip, another_packing, nested)
}


@contextmanager
def streaming_server(stream: Stream, piece: bytes) -> Iterator[str]:
    """The address of a server that sends ``stream`` for every request until the block ends."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.settimeout(0.2)
            with suppress(OSError):
                self.request.recv(1 << 16)
                for part in stream(piece):
                    self._send(part)
                    if stopped.is_set():
                        return

        def _send(self, part: bytes) -> None:
            while part and not stopped.is_set():
                with suppress(TimeoutError):
                    part = part[self.request.send(part) :]

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Quiet."""

    stopped = threading.Event()
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            stopped.set()
            server.shutdown()
            thread.join()
