"""An object store that speaks enough of the S3 protocol to put, list and remove objects. It checks no signature."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


@dataclass
class Objects:
    """``kept`` maps ``bucket/key`` to an object's bytes. With ``refusing``, every request is answered with that error code."""

    port: int
    access_key: str
    kept: dict[str, bytes] = field(default_factory=dict)
    refusing: str = ""

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def objects_server(access_key: str = "access-key") -> Iterator[Objects]:
    class Handler(BaseHTTPRequestHandler):
        # Clients ask before they send a body, which HTTP/1.0 does not know.
        protocol_version = "HTTP/1.1"

        def _respond(self) -> None:
            address = urlsplit(self.path)
            name, query = unquote(address.path.strip("/")), parse_qs(address.query)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if objects.refusing or f"Credential={objects.access_key}/" not in self.headers.get("Authorization", ""):
                self._send(403, _refusal(objects.refusing or "InvalidAccessKeyId"))
            elif self.command == "GET":
                self._send(200, _listing(name, query.get("prefix", [""])[0], sorted(objects.kept)))
            elif self.command == "DELETE":
                objects.kept.pop(name, None)
                self._send(204, "")
            else:
                objects.kept[name] = body
                self._send(200, "")

        do_GET = do_PUT = do_DELETE = _respond  # noqa: N815, the names are the library's

        def _send(self, status: int, body: str) -> None:
            self.send_response(status)
            for key, value in {"Content-Type": "application/xml", "Content-Length": len(body), "ETag": '"1"'}.items():
                self.send_header(key, str(value))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *arguments: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        objects = Objects(server.server_address[1], access_key)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield objects
        finally:
            server.shutdown()
            thread.join()


def _listing(bucket: str, prefix: str, names: list[str]) -> str:
    """The objects of one folder, and the folders in it."""
    keys = [name.removeprefix(f"{bucket}/") for name in names if name.startswith(f"{bucket}/{prefix}")]
    inside = [key.removeprefix(prefix).partition("/") for key in keys]
    folders = sorted({name for name, slash, _ in inside if slash})
    content = "".join(
        f"<Contents><Key>{escape(prefix + name)}</Key><Size>1</Size><LastModified>2026-01-01T00:00:00Z</LastModified>"
        "</Contents>"
        for name, slash, _ in inside
        if not slash
    )
    content += "".join(f"<CommonPrefixes><Prefix>{escape(prefix + name)}/</Prefix></CommonPrefixes>" for name in folders)
    return f"<ListBucketResult><Name>{bucket}</Name><IsTruncated>false</IsTruncated>{content}</ListBucketResult>"


def _refusal(code: str) -> str:
    return f"<Error><Code>{code}</Code><Message>it is refused</Message><Resource>/</Resource><RequestId>1</RequestId></Error>"
