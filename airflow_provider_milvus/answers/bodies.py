"""The bodies of HTTP answers: each has a size limit, and is taken apart outside the event loop, a piece at a time.

Who reads one sets its time with ``asyncio.timeout``: httpx's own timeout is for one piece of an answer, and a server that sends
byte by byte never exceeds it. When the time is up, no thread runs on for longer than one piece takes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.wording import human

if TYPE_CHECKING:
    from httpx import AsyncClient, Response

PIECE = 1 << 20
"""Bytes that are unpacked or taken apart at once."""

_asking: ContextVar[bool] = ContextVar("_asking", default=False)


class BodyError(Exception):
    """Why the body of an answer cannot be used, in words."""


@asynccontextmanager
async def answer_to(client: AsyncClient, method: str, url: str, *, auth: Any = None, **content: Any) -> AsyncIterator[Response]:
    """The answer to a request, with its body still to be read. ``content`` is for httpx's ``build_request``."""
    # httpx logs every URL, and a path may hold a secret.
    logging.getLogger("httpx").addFilter(_is_not_ours)
    request = client.build_request(method, url, headers={"Accept-Encoding": "gzip"}, **content)
    asking = _asking.set(True)
    try:
        answer = await client.send(request, auth=auth, stream=True)
    finally:
        _asking.reset(asking)
    try:
        yield answer
    finally:
        await answer.aclose()


async def pieces(answer: Response, most: int) -> AsyncIterator[bytes]:
    """The body as it comes in and unpacked, in pieces of ``PIECE`` bytes at most.

    :raises BodyError: it has more than ``most`` bytes, or is packed in another way than was asked for.
    """
    read = 0
    async for piece in _unpacked(answer):
        read += len(piece)
        if read > most:
            raise BodyError(f"the answer is longer than {human(most)}")
        yield piece


async def read_json(answer: Response, most: int) -> Any:
    """The JSON of a body of ``most`` bytes at most.

    :raises BodyError: as :func:`pieces`.
    :raises ValueError: it is not JSON.
    """
    body = b"".join([piece async for piece in pieces(answer, most)])
    return await asyncio.to_thread(parse_json, body)


def parse_json(text: bytes | str) -> Any:
    """:raises ValueError: it is not JSON, or nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


async def _unpacked(answer: Response) -> AsyncIterator[bytes]:
    """httpx would unpack all that has come in at once: of a few bytes that can be gigabytes."""
    packing = answer.headers.get("Content-Encoding", "").strip().lower()
    if packing in ("", "identity"):
        async for piece in answer.aiter_raw(PIECE):
            yield piece
        return
    if packing not in ("gzip", "x-gzip"):
        raise BodyError(f"the answer is packed as {packing[:40]!r}, and only gzip was asked for")
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        async for packed in answer.aiter_raw():
            left = packed
            while left and not unpacker.eof:
                piece = await asyncio.to_thread(unpacker.decompress, left, PIECE)
                left = unpacker.unconsumed_tail or unpacker.unused_data
                if piece:
                    yield piece
            if left:
                raise BodyError("the answer goes on where its gzip ends")
    except zlib.error:
        raise BodyError("the answer is not the gzip that it says it is") from None
    if not unpacker.eof:
        raise BodyError("the answer ends before its gzip does")


def _is_not_ours(record: logging.LogRecord) -> bool:
    return not _asking.get()
