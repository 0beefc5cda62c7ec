"""Errors of pymilvus and gRPC become one of the kinds in ``exceptions.py``, with a message that a user understands.

pymilvus reports a wrong password with the text of a server that is down, lets raw ``grpc.RpcError`` through at a deadline, and
uses code 1 for anything. So the gRPC status in the chain of causes comes first, then the server's own word (``codes.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.codes import NOT_READY, UNEXPECTED, StatusError, code_of, kind_of
from airflow_provider_milvus.exceptions import MilvusError
from airflow_provider_milvus.get_provider_info import DEFAULT_PORT
from airflow_provider_milvus.tls import tls_context

if TYPE_CHECKING:
    from airflow_provider_milvus.client.flow import Call

_BY_GRPC_STATUS: dict[str, type[MilvusError]] = {
    "UNAUTHENTICATED": exceptions.MilvusAuthenticationError,
    "PERMISSION_DENIED": exceptions.MilvusPermissionError,
    "UNAVAILABLE": exceptions.MilvusUnavailableError,
    # This package cancels no call: a server that stops answers its open calls with it.
    "CANCELLED": exceptions.MilvusUnavailableError,
    "DEADLINE_EXCEEDED": exceptions.MilvusTimeoutError,
    "UNIMPLEMENTED": exceptions.MilvusUnsupportedError,
    "INVALID_ARGUMENT": exceptions.MilvusInvalidArgumentError,
}

OBSTACLE_TIMEOUT = 0.5
"""Seconds to connect to a port that did not let pymilvus connect, and as many for its answer."""

_NEXT_STEP: dict[type[MilvusError], str] = {
    exceptions.MilvusPermissionError: "Grant it to a role of the user.",
    exceptions.MilvusAuthenticationError: "Check the connection's login and password, or its token.",
    exceptions.MilvusDatabaseNotFoundError: "Check the connection's or the task's database.",
    exceptions.MilvusCollectionNotFoundError: "Check the name and the database.",
    exceptions.MilvusPartitionNotFoundError: "Check partition_names.",
    exceptions.MilvusIndexNotFoundError: "Create an index on every vector field first; Milvus loads indexed collections only.",
    exceptions.MilvusTimeoutError: "The server may still be working on it; look at its state before repeating.",
    exceptions.MilvusRateLimitError: "Wait, run fewer tasks at once, or raise the server's quota.",
    exceptions.MilvusUnavailableError: "Check that the server runs and that host, port and TLS settings are right.",
}


def explain(error: BaseException, call: Call, *, where: str, waited: float, sent: bool = True) -> MilvusError | None:
    """The error to raise in place of ``error``; ``None`` for one that is neither gRPC's nor pymilvus's, such as a TypeError.

    :param where: the connection and the database, in words.
    :param waited: seconds since the attempt began.
    :param sent: false when no connection came about, so that the server cannot have carried the call out.
    """
    import grpc
    from pymilvus.exceptions import MilvusException

    if isinstance(error, MilvusError):
        return error
    chain = list(_causes(error))
    status = next((cause for cause in chain if isinstance(cause, grpc.RpcError)), None)
    if status is not None:
        kind, cause = _read_grpc_status(status, waited, sent)
    elif any(isinstance(cause, (TimeoutError, grpc.FutureTimeoutError)) for cause in chain):
        kind, cause = exceptions.MilvusTimeoutError, silence(waited)
    elif isinstance(error, StatusError):
        kind, cause = error.kind, f"{error.text} (code {error.code})"
    elif isinstance(error, MilvusException):
        kind, cause = _read_milvus_error(error, waited)
    else:
        return None
    return build_error(kind, cause, call, where=where, sent=sent)


def build_error(kind: type[MilvusError], cause: str, call: Call, *, where: str, sent: bool = True) -> MilvusError:
    """An error of ``kind`` whose message names what failed, the cause, the connection and the next step."""
    in_doubt = sent and issubclass(kind, (exceptions.MilvusUnavailableError, exceptions.MilvusTimeoutError))
    failure = call.failure(certain=not in_doubt or issubclass(kind, exceptions.MilvusNotTakenError))
    unconnected = not sent and issubclass(kind, (exceptions.MilvusTimeoutError, exceptions.MilvusUnsupportedError))
    ancestors = (exceptions.MilvusUnavailableError if unconnected else kind).__mro__
    next_step = next((_NEXT_STEP[ancestor] for ancestor in ancestors if ancestor in _NEXT_STEP), "")
    return kind(f"{failure}: {cause.removesuffix('.')}. {where}. {next_step}".rstrip())


def find_obstacle(uri: str, tls: Mapping[str, str], *, grpc: bool = True) -> str | None:
    """Why no connection comes about, in gRPC's words; ``None`` when the port accepts it and is silent, or answers as it should.

    pymilvus before 3.0 waits for its channel to become ready and, when the time is up, does not give the reason.
    """
    import socket
    import ssl

    address = urlsplit(uri)
    if address.hostname is None:
        return None
    try:
        with socket.create_connection((address.hostname, address.port or DEFAULT_PORT), OBSTACLE_TIMEOUT) as connection:
            if address.scheme != "https":
                return _greet(connection) if grpc else None
            context = tls_context(uri, tls)
            context.set_alpn_protocols(["h2"])
            with context.wrap_socket(connection, server_hostname=tls.get("server_name") or address.hostname) as secured:
                # With TLS 1.3 a server rejects a client's certificate only after the handshake.
                return _greet(secured) if grpc else str(secured.recv(1)) and None
    except socket.gaierror as error:
        return f"DNS resolution failed: {error.strerror}"
    except ssl.SSLError as error:
        return f"TLS handshake failed: {error.reason}"
    except ConnectionError as error:
        return str(error.strerror)
    except OSError:
        return None


def _greet(connection: Any) -> str | None:
    """Begin HTTP/2, as gRPC does, and read the answer; its first frame is of type 4, SETTINGS."""
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
    answer: bytes = connection.recv(100)
    if not answer:
        return "Socket closed"
    if answer[3:4] == b"\4":
        return None
    return f"expected a SETTINGS frame, got {answer.splitlines()[0].decode(errors='replace')!r}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The chain of causes; pymilvus often raises an error from itself, so the chain may be a ring."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ if current.__cause__ is not current else current.__context__


def silence(waited: float) -> str:
    return f"the server did not answer within {waited:.1f} s (frozen, overloaded, speaking TLS, or not a Milvus port)"


def _read_grpc_status(status: Any, waited: float, sent: bool) -> tuple[type[MilvusError], str]:
    name = status.code().name
    details = (status.details() or "").rpartition("last error: ")[2].strip()
    kind = _BY_GRPC_STATUS.get(name, exceptions.MilvusServerError)
    if kind is exceptions.MilvusTimeoutError:
        return kind, silence(waited)
    if kind is exceptions.MilvusUnavailableError:
        return kind, unavailable(details, waited)
    if kind is exceptions.MilvusPermissionError:
        named = re.search(r"Privilege(\w+): permission deny", details)
        return kind, f"the user lacks {f'the privilege {named[1]}' if named else 'a privilege'} ({details or name})"
    if kind is exceptions.MilvusAuthenticationError:
        return kind, f"the server rejected the credentials ({details or name})"
    if kind is exceptions.MilvusUnsupportedError and not sent:
        return kind, f"a gRPC server answers on that host and port, and it is not Milvus ({details or name})"
    if kind is exceptions.MilvusUnsupportedError:
        return kind, f"this server does not support it ({details or name})"
    return kind, f"gRPC status {name}: {details}"


def unavailable(details: str, waited: float) -> str:
    """gRPC's ``details`` of a connection that did not come about, for a user."""
    lowered = details.lower()
    if "expected" in lowered and "settings frame" in lowered:
        return f"what answers on that host and port is not Milvus, or it wants TLS ({details})"
    if "refused" in lowered:
        return "the connection was refused: nothing listens on that host and port"
    if "dns" in lowered or "resolution" in lowered or "resolv" in lowered:
        return f"the host name cannot be resolved ({details})"
    if "handshake" in lowered or "ssl" in lowered or "tls" in lowered:
        return f"the TLS handshake failed ({details})"
    if "timed out" in lowered or "timeout" in lowered or "settings frame" in lowered:
        return silence(waited)
    return f"the server is unavailable or closed the connection ({details})"


def _read_milvus_error(error: Any, waited: float) -> tuple[type[MilvusError], str]:
    from pymilvus.exceptions import ConnectionConfigException, ParamError

    code = error.code if isinstance(error.code, int) else 0
    text = str(error.message or "").strip()
    if isinstance(error, ConnectionConfigException):
        return exceptions.MilvusConfigurationError, text
    if isinstance(error, ParamError):
        return exceptions.MilvusInvalidArgumentError, text
    if code == NOT_READY and "timeout" in text.lower():
        return exceptions.MilvusTimeoutError, silence(waited)
    old = error.compatible_code if isinstance(error.compatible_code, int) else 0
    known = code_of(0 if code == NOT_READY else code, old) or UNEXPECTED
    return kind_of(known, text), f"{text} (code {code})"
