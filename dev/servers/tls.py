"""The TLS end of a server that has none: what comes in over TLS goes on to a port of this machine, and back.

It tells a client why it is turned away, as Milvus does; gRPC's own server closes the connection without a word.
"""

from __future__ import annotations

import select
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

HANDSHAKE_TIMEOUT = 5.0


@contextmanager
def tls_end(port: int, certificate: Path, key: Path, *, clients: Path | None = None) -> Iterator[int]:
    """The port of a TLS end for the server on ``port``, until the block ends.

    :param clients: the authority of the clients' certificates, where a client has to have one.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2"])
    if clients is not None:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED
    stopped = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.settimeout(HANDSHAKE_TIMEOUT)
            with (
                suppress(OSError),
                context.wrap_socket(self.request, server_side=True) as secured,
                socket.create_connection(("127.0.0.1", port), HANDSHAKE_TIMEOUT) as plain,
            ):
                _pass_on(secured, plain, stopped)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 128

        def shutdown_request(self, request: Any) -> None:
            """Close it as it is: the base class shuts it down first, and what the client has not read yet would be lost."""
            request.close()

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            stopped.set()
            server.shutdown()
            thread.join()


def _pass_on(secured: ssl.SSLSocket, plain: socket.socket, stopped: threading.Event) -> None:
    other = {secured: plain, plain: secured}
    while not stopped.is_set():
        # What OpenSSL has unpacked already does not make the socket readable.
        readable = [secured] if secured.pending() else select.select([secured, plain], [], [], 0.05)[0]
        for one in readable:
            data = one.recv(1 << 16)
            if not data:
                return
            other[one].sendall(data)
