"""An HTTP server that plays what a real one does not do on demand: a Prometheus with a fault, a page of metrics by hand."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    form: dict[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """``pause`` is in seconds and comes after each byte: an answer that drips."""

    body: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pause: float = 0.0


@dataclass(slots=True)
class Pages:
    """``at`` maps a path to its answer, or to what makes one of the request; every request is kept."""

    port: int
    at: dict[str, Answer | Callable[[Request], Answer]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        answer = self.at.get(request.path, Answer("no such page", 404))
        return answer(request) if callable(answer) else answer


def vector(*samples: tuple[dict[str, str], float]) -> Answer:
    """As Prometheus answers an instant query."""
    result = [{"metric": labels, "value": [time.time(), str(value)]} for labels, value in samples]
    return Answer(json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}))


@contextmanager
def pages_server() -> Iterator[Pages]:
    stopped = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def _respond(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            form = {key: values[-1] for key, values in parse_qs(self.rfile.read(length).decode()).items()}
            answer = pages.answer(Request(self.command, self.path, dict(self.headers), form))
            body = answer.body.encode()
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(ConnectionError):
                if not answer.pause:
                    self.wfile.write(body)
                    return
                for byte in body:
                    if stopped.wait(answer.pause):
                        return
                    self.wfile.write(bytes([byte]))

        do_GET = do_POST = _respond  # noqa: N815, the names are the library's

        def log_message(self, format: str, *arguments: Any) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        pages = Pages(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield pages
        finally:
            stopped.set()
            server.shutdown()
            thread.join()
