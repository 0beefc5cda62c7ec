"""A wire with faults: a TCP proxy in front of a real server, which does harm when a call that the test names passes by.

Until then it lets everything through. It reads the names of calls from the requests (HTTP/2 of gRPC, HTTP/1 of metrics) and
changes no byte, so that the client and the server are the real ones, and only what is between them is played.
"""

from __future__ import annotations

import asyncio
import math
import socket
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from hpack import Decoder

T = TypeVar("T")

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, CONTINUATION = 1, 9
END_HEADERS, PADDED, PRIORITY = 0x4, 0x8, 0x20
CONNECTING = "Connect"
"""pymilvus's first call on each connection: no task names it."""
ANY = "*"
BYTES_PER_SECOND = 20
PIECE = 5
"""Bytes that a slow wire passes at once."""


class Harm(StrEnum):
    FREEZE = "freeze"
    """Nothing passes either way, also on new connections, and all of them stay open. The call does not reach the server."""
    MUTE = "mute"
    """Requests pass, answers do not, also on new connections."""
    CUT_BEFORE = "cut before"
    """The connection is reset, and the call does not reach the server."""
    CUT_AFTER = "cut after"
    """The connection is reset when the server begins to answer the call: it has carried the call out."""
    END_ANSWERS = "end answers"
    """The server's side ends (FIN) towards the client when the server begins to answer the call."""
    END_REQUESTS = "end requests"
    """The client's side ends (FIN) towards the server, before the call."""
    THROTTLE = "throttle"
    """A few bytes a second pass either way, also on new connections."""
    REFUSE = "refuse"
    """All connections are reset, the call does not reach the server, and new connections are refused."""
    VANISH = "vanish"
    """The same, when the server begins to answer the call: it has carried the call out."""


AT_ANSWER = frozenset({Harm.CUT_AFTER, Harm.VANISH, Harm.END_ANSWERS})
"""These are done when the server begins to answer."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens, and for how many seconds where it lasts."""

    harm: Harm
    seconds: float = math.inf

    @property
    def passes(self) -> bool:
        """Whether a task may ride it out: the wire is whole again afterwards."""
        return self.seconds < math.inf or self.harm not in (Harm.FREEZE, Harm.MUTE, Harm.THROTTLE, Harm.REFUSE, Harm.VANISH)


@dataclass(slots=True)
class _Armed:
    fault: Fault
    call: str
    occurrences: int
    first: Callable[[], object]


@dataclass(slots=True)
class _Connection:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    decoder: Decoder = field(default_factory=Decoder)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """The client has said which protocol it speaks; no server answers before."""
    is_plain: bool = False
    at_answer: tuple[int, _Armed] | None = None
    """The stream whose answer does not pass, and what happens then."""
    answers_ended: bool = False
    requests_ended: bool = False

    def __post_init__(self) -> None:
        # As large as any server may allow: a wire only listens.
        self.decoder.max_allowed_table_size = 1 << 20

    def reset(self) -> None:
        """RST towards the client; the server sees that the client has gone."""
        client = self.client.get_extra_info("socket")
        with suppress(OSError):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.transport.abort()
        self.server.transport.abort()


class WireClosedError(Exception):
    """The connection ended, by its own ends or by the fault."""


class Wire:
    """The proxy, with an event loop and a thread of its own.

    ``calls`` has the name of every call that has arrived here, in order, whether it passed or not. ``struck`` is set when the
    fault has begun.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self.calls: list[str] = []
        self.struck = threading.Event()
        self._armed: _Armed | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire", daemon=True)
        self._connections: dict[asyncio.Task[None], _Connection | None] = {}
        self._server: asyncio.Server | None = None
        self._open = asyncio.Event()
        self._mute = False
        self._slow = False
        self.port = 0

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._thread.start()
        self._do(self._listen)

    def stop(self) -> None:
        """Close every connection."""
        self._do(self._end)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def arm(self, fault: Fault, call: str = ANY, occurrence: int = 1, *, first: Callable[[], object] = lambda: None) -> None:
        """Do harm when the ``occurrence``-th call of this name from now on is on its way, and call ``first`` just before."""
        self.struck.clear()

        async def arm() -> None:
            self._armed = _Armed(fault, call, occurrence, first)

        self._do(arm)

    def _do(self, what: Callable[[], Awaitable[T]]) -> T:
        async def done() -> T:
            return await what()

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(10)

    async def _listen(self) -> None:
        self._open.set()
        # The port stays the same when it is opened again.
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        self._armed = None
        if self._server is not None:
            self._server.close()
        self._reset_all()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _reset_all(self) -> None:
        for connection in self._connections.values():
            if connection is not None:
                connection.reset()

    async def _serve(self, client_reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = None
        connection = None
        try:
            await self._open.wait()
            server_reader, server = await asyncio.open_connection("127.0.0.1", self._target)
            connection = self._connections[task] = _Connection(client, server)
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._requests(connection, client_reader))
                ways.create_task(self._answers(connection, server_reader))
        except* (OSError, asyncio.IncompleteReadError, WireClosedError, asyncio.CancelledError):
            pass  # Only the end of the wire cancels.
        finally:
            client.close()
            if connection is not None:
                connection.server.close()
            del self._connections[task]

    async def _requests(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        opening = await reader.readexactly(len(PREFACE))
        connection.is_plain = opening != PREFACE
        connection.begun.set()
        if connection.is_plain:
            await self._plain_requests(connection, reader, opening)
        await self._pass(connection.server, opening)
        held, block = b"", b""
        async for kind, flags, stream, payload, frame in _frames(reader):
            held += frame
            if kind in (HEADERS, CONTINUATION):
                block += _fragment(payload, flags) if kind == HEADERS else payload
                if not flags & END_HEADERS:
                    continue
                headers = {str(name): str(value) for name, value in connection.decoder.decode(block)}
                block = b""
                await self._call(headers[":path"].rpartition("/")[2], connection, stream, held)
            else:
                await self._request(connection, held)
            held = b""
        raise WireClosedError

    async def _plain_requests(self, connection: _Connection, reader: asyncio.StreamReader, data: bytes) -> None:
        """HTTP/1: a request begins where a piece does, as it does from a client that waits for each answer."""
        while data:
            words = data.split(b" ", 2)
            if words[0] in (b"GET", b"POST"):
                await self._call(words[1].decode().rpartition("/")[2], connection, 0, data)
            else:
                await self._request(connection, data)
            data = await reader.read(1 << 16)
        raise WireClosedError

    async def _answers(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        await connection.begun.wait()
        if connection.is_plain:
            while data := await reader.read(1 << 16):
                await self._answer(connection, 0, data)
        else:
            async for _, _, stream, _, frame in _frames(reader):
                await self._answer(connection, stream, frame)
        raise WireClosedError

    async def _answer(self, connection: _Connection, stream: int, data: bytes) -> None:
        if connection.at_answer is not None and connection.at_answer[0] == stream:
            self._strike_answer(connection.at_answer[1], connection)
        if not (self._mute or connection.answers_ended):
            await self._pass(connection.client, data)

    async def _call(self, name: str, connection: _Connection, stream: int, data: bytes) -> None:
        self.calls.append(name)
        armed = self._armed
        if armed is not None and (armed.call == name or (armed.call == ANY and name != CONNECTING)):
            armed.occurrences -= 1
            if not armed.occurrences:
                self._armed = None
                self.struck.set()
                self._strike(armed, connection, stream)
        await self._request(connection, data)

    def _strike(self, armed: _Armed, connection: _Connection, stream: int) -> None:
        fault = armed.fault
        if fault.harm not in AT_ANSWER:
            armed.first()
        match fault.harm:
            case Harm.FREEZE:
                self._open.clear()
                if fault.seconds < math.inf:
                    self._loop.call_later(fault.seconds, self._open.set)
            case Harm.MUTE:
                self._mute = True
            case Harm.CUT_BEFORE:
                connection.reset()
                raise WireClosedError
            case harm if harm in AT_ANSWER:
                connection.at_answer = (stream, armed)
            case Harm.END_REQUESTS:
                connection.requests_ended = True
                connection.server.write_eof()
            case Harm.THROTTLE:
                self._slow = True
            case Harm.REFUSE:
                self._refuse(fault.seconds)
                raise WireClosedError

    def _strike_answer(self, armed: _Armed, connection: _Connection) -> None:
        connection.at_answer, fault = None, armed.fault
        armed.first()
        if fault.harm is Harm.END_ANSWERS:
            connection.answers_ended = True
            connection.client.write_eof()
            return
        if fault.harm is Harm.VANISH:
            self._refuse(fault.seconds)
        connection.reset()
        raise WireClosedError

    def _refuse(self, seconds: float) -> None:
        assert self._server is not None
        self._server.close()
        if seconds < math.inf:
            self._loop.call_later(seconds, lambda: self._loop.create_task(self._listen()))
        self._reset_all()

    async def _request(self, connection: _Connection, data: bytes) -> None:
        if not connection.requests_ended:
            await self._pass(connection.server, data)

    async def _pass(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        await self._open.wait()
        pieces = [data]
        if self._slow:
            pieces = [data[first : first + PIECE] for first in range(0, len(data), PIECE)]
        for piece in pieces:
            if self._slow:
                await asyncio.sleep(PIECE / BYTES_PER_SECOND)
            writer.write(piece)
            await writer.drain()


async def _frames(reader: asyncio.StreamReader) -> AsyncIterator[tuple[int, int, int, bytes, bytes]]:
    """HTTP/2's frames (RFC 9113, 4.1): type, flags, stream, payload, and all of its bytes."""
    while True:
        head = await reader.readexactly(9)
        payload = await reader.readexactly(int.from_bytes(head[:3]))
        yield head[3], head[4], int.from_bytes(head[5:]) & 0x7FFFFFFF, payload, head + payload


def _fragment(payload: bytes, flags: int) -> bytes:
    """The part of the header block that a HEADERS frame holds."""
    first, last = 0, len(payload)
    if flags & PADDED:
        first, last = 1, last - payload[0]
    return payload[first + 5 * bool(flags & PRIORITY) : last]


@contextmanager
def wire_to(port: int) -> Iterator[Wire]:
    """A wire to the server that listens on ``port`` of this machine."""
    wire = Wire(port)
    wire.start()
    try:
        yield wire
    finally:
        wire.stop()
