"""Why no connection comes about: what gRPC says of it, and what is seen by trying.

It tells what waiting may mend, such as a server that is restarted, from what it does not, such as a certificate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.exceptions import MilvusError
from airflow_provider_milvus.get_provider_info import DEFAULT_PORT
from airflow_provider_milvus.tls import tls_context

OBSTACLE_TIMEOUT = 0.5
"""Seconds to connect to a port that did not let pymilvus connect, and as many for its answer."""
SEARCH_TIMEOUT = 3.0
"""Seconds for all of it."""

Obstacle = tuple[type[MilvusError], str]
"""The kind of the error of a connection that did not come about, and the cause in words."""


def find_obstacle(uri: str, tls: Mapping[str, str], *, grpc: bool = True) -> Obstacle | None:
    """Why no connection comes about; ``None`` when the port accepts it and is silent, or answers as it should, or when nothing
    is found within ``SEARCH_TIMEOUT``.

    pymilvus before 3.0 waits for its channel to become ready and, when the time is up, does not give the reason. Of a failed
    handshake gRPC does not tell what the server says.
    """
    found: Future[Obstacle | None] = Future()

    def look() -> None:
        try:
            found.set_result(_look(uri, tls, grpc))
        except BaseException as error:  # noqa: BLE001 - it is raised to whoever waits
            found.set_exception(error)

    # No limit ends the search for a host's address, and a thread of a pool would be waited for at the end of the process.
    Thread(target=look, name="milvus-obstacle", daemon=True).start()
    try:
        return found.result(SEARCH_TIMEOUT)
    except TimeoutError:
        return None


def _look(uri: str, tls: Mapping[str, str], grpc: bool) -> Obstacle | None:
    import socket
    import ssl

    address = urlsplit(uri)
    if address.hostname is None:
        return None
    place = (address.hostname, address.port or default_port(address.scheme))
    try:
        if address.scheme != "https":
            with socket.create_connection(place, OBSTACLE_TIMEOUT) as connection:
                return _greet(connection, lambda: _wants_tls(place)) if grpc else None
        context = tls_context(uri, tls)
        context.set_alpn_protocols(["h2"])
        # With TLS 1.3 a server rejects a client's certificate only after the handshake. Where it closes the connection with a
        # greeting unread, what it has said may be lost: so the second time it is only listened to.
        for greets in (True, False) if grpc else (False,):
            with (
                socket.create_connection(place, OBSTACLE_TIMEOUT) as connection,
                context.wrap_socket(connection, server_hostname=tls.get("server_name") or address.hostname) as secured,
            ):
                if greets and (found := _greet(secured)) is not _CLOSED:
                    return found
                if not greets:
                    secured.recv(1)
        return exceptions.MilvusUnavailableError, f"{_CLOSED[1]} after the TLS handshake: it may ask for a client certificate"
    except socket.gaierror as error:
        return unavailable(f"DNS resolution failed: {error.strerror}", 0)
    except ssl.SSLCertVerificationError as error:
        return _no_tls(f"the server's certificate is not accepted: {error.verify_message}")
    except ssl.SSLError as error:
        return _read_tls_error(error.reason or "the connection was closed")
    except ConnectionError as error:
        return unavailable(str(error.strerror), 0)
    except OSError:
        return None


def default_port(scheme: str) -> int:
    """The port of an address that names none, as pymilvus takes it."""
    return 443 if scheme == "https" else DEFAULT_PORT


_CLOSED: Obstacle = (exceptions.MilvusUnavailableError, "the server closed the connection")


def _greet(connection: Any, wants_tls: Callable[[], bool] = lambda: False) -> Obstacle | None:
    """Begin HTTP/2, as gRPC does, and read the answer; its first frame is of type 4, SETTINGS."""
    import ssl

    try:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        answer: bytes = connection.recv(100)
    except ConnectionError:
        answer = b""
    except ssl.SSLError as error:
        if _ALERT in (error.reason or ""):
            raise
        # OpenSSL's ways to say that the other end has closed.
        answer = b""
    if answer[3:4] == b"\4":
        return None
    if wants_tls():
        return _no_tls("what answers on that host and port wants TLS, and the connection does not say to use it")
    if not answer:
        return _CLOSED
    return unavailable(f"expected a SETTINGS frame, got {answer.splitlines()[0].decode(errors='replace')!r}", 0)


def _wants_tls(place: tuple[str, int]) -> bool:
    """Whether what listens there begins a TLS handshake. It does not matter here whom it is signed by: nothing is sent."""
    import socket
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        with socket.create_connection(place, OBSTACLE_TIMEOUT) as connection, context.wrap_socket(connection):
            return True
    except ssl.SSLError as error:
        return _ALERT in (error.reason or "")
    except OSError:
        return False


_ALERT = "_ALERT_"
"""A part of OpenSSL's word for what the other end has said, such as ``TLSV13_ALERT_CERTIFICATE_REQUIRED``."""
_ABOUT_THE_CLIENT = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")
_NO_TLS_AT_ALL = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")


def _read_tls_error(reason: str) -> Obstacle:
    if _ALERT in reason and any(word in reason for word in _ABOUT_THE_CLIENT):
        return _no_tls(f"the server does not accept the client's certificate, or asks for one: {reason}")
    if reason in _NO_TLS_AT_ALL:
        return _no_tls(f"what answers on that host and port speaks no TLS: {reason}")
    return unavailable(f"TLS handshake failed: {reason}", 0)


def _no_tls(reason: str) -> Obstacle:
    return exceptions.MilvusTlsError, f"the TLS handshake failed ({reason})"


def silence(waited: float) -> str:
    return f"the server did not answer within {waited:.1f} s (frozen, overloaded, speaking TLS, or not a Milvus port)"


REFUSED = "the connection was refused: nothing listens on that host and port"
UNKNOWN_HOST = "the host name cannot be resolved"


def unavailable(details: str, waited: float) -> Obstacle:
    """The kind and the cause of a connection that did not come about, or ended, by gRPC's ``details``."""
    lowered, kind = details.lower(), exceptions.MilvusUnavailableError
    if "certificate_verify_failed" in lowered or "hostname verification" in lowered:
        return _no_tls(f"the server's certificate is not accepted: {details}")
    if "expected" in lowered and "settings frame" in lowered:
        return kind, f"what answers on that host and port is not Milvus, or it wants TLS ({details})"
    if "refused" in lowered:
        return kind, REFUSED
    if "dns" in lowered or "resolution" in lowered or "resolv" in lowered:
        return kind, f"{UNKNOWN_HOST} ({details})"
    if "handshake" in lowered or "ssl" in lowered or "tls" in lowered:
        return kind, f"the TLS handshake failed ({details})"
    if "timed out" in lowered or "timeout" in lowered or "settings frame" in lowered:
        return kind, silence(waited)
    return kind, f"the server is unavailable or closed the connection ({details})"


def is_explained(error: MilvusError) -> bool:
    """Whether an error of a connection that did not come about says all that can be seen of it."""
    return REFUSED in str(error) or UNKNOWN_HOST in str(error)
