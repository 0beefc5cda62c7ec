"""The page as a browser gets it, without Airflow and without a login: its files as they stand, and answers by hand."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from airflow_provider_milvus.page.app import FILES, HEADERS
from airflow_provider_milvus.page.plugin import URL

TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css"}


@contextmanager
def served_page(
    connections: Mapping[str, Any], dags: Mapping[str, Mapping[str, Any]] | None = None, base: str = ""
) -> Iterator[str]:
    """The page's address.

    :param connections: what each is answered with.
    :param dags: the Params of each DAG that Airflow has with the tag ``milvus``.
    :param base: the path at which Airflow is, such as ``/airflow``.
    """
    known = {dag_id: {"dag_id": dag_id, "params": params} for dag_id, params in (dags or {}).items()}
    answers = {
        f"{URL}/api/connections": {"connections": list(connections)},
        **{f"{URL}/api/connections/{conn_id}": answer for conn_id, answer in connections.items()},
        "/api/v2/dags": {"dags": list(known.values())},
        **{f"/api/v2/dags/{dag_id}/details": dag for dag_id, dag in known.items()},
    }
    bodies = {path: ("application/json", json.dumps(answer).encode()) for path, answer in answers.items()}
    bodies |= {f"{URL}/files/{name}": (TYPES[path.suffix[1:]], path.read_bytes()) for name, path in FILES.items()}
    bodies |= {f"/dags/{dag_id}": ("text/html", b"") for dag_id in known}
    bodies[f"{URL}/"] = bodies[f"{URL}/files/index.html"]
    bodies = {f"{base}{path}": body for path, body in bodies.items()}
    # Which a browser asks for where the page is not in a frame.
    bodies["/favicon.ico"] = ("image/x-icon", b"")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = bodies.get(self.path.partition("?")[0])
            kind, body = found or ("text/plain", b"")
            self.send_response(200 if found else 404)
            for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}{base}{URL}/"
        finally:
            server.shutdown()
            thread.join()
