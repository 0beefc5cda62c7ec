"""What pymilvus and gRPC raise, told as one of the kinds in ``exceptions.py``.

pymilvus reports a wrong password with the very text of a server that is down, lets raw ``grpc.RpcError`` through on a
deadline, and uses code 1 for anything; so the gRPC status that hides in the chain of causes is asked first, then the
server's own code, and only then the words. Codes are those of Milvus's ``merr`` package.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_milvus import exceptions as kinds
from airflow_provider_milvus.exceptions import MilvusError
from airflow_provider_milvus.get_provider_info import DEFAULT_PORT
from airflow_provider_milvus.tls import tls_context

_BY_MILVUS_CODE: dict[int, type[MilvusError]] = {
    2: kinds.MilvusUnavailableError,
    3: kinds.MilvusRateLimitError,
    4: kinds.MilvusRateLimitError,
    8: kinds.MilvusRateLimitError,
    9: kinds.MilvusRateLimitError,
    10: kinds.MilvusUnsupportedError,
    100: kinds.MilvusCollectionNotFoundError,
    101: kinds.MilvusNotLoadedError,
    200: kinds.MilvusPartitionNotFoundError,
    201: kinds.MilvusNotLoadedError,
    300: kinds.MilvusNotFoundError,
    700: kinds.MilvusIndexNotFoundError,
    800: kinds.MilvusDatabaseNotFoundError,
    1100: kinds.MilvusInvalidArgumentError,
    1400: kinds.MilvusAuthenticationError,
    1401: kinds.MilvusAuthenticationError,
    1600: kinds.MilvusAliasNotFoundError,
    1800: kinds.MilvusAuthenticationError,
    1801: kinds.MilvusInvalidArgumentError,
    1802: kinds.MilvusInvalidArgumentError,
}

_BY_GRPC_STATUS: dict[str, type[MilvusError]] = {
    "UNAUTHENTICATED": kinds.MilvusAuthenticationError,
    "PERMISSION_DENIED": kinds.MilvusAuthenticationError,
    "UNAVAILABLE": kinds.MilvusUnavailableError,
    # Nobody here cancels a call: it is what a server answers to those in hand when it stops.
    "CANCELLED": kinds.MilvusUnavailableError,
    "DEADLINE_EXCEEDED": kinds.MilvusTimeoutError,
    "UNIMPLEMENTED": kinds.MilvusUnsupportedError,
    "INVALID_ARGUMENT": kinds.MilvusInvalidArgumentError,
}

_NOT_READY = ("service not ready", "not healthy", "is not ready", "node not found", "no available")

_OUT_OF_TIME = ("context done", "deadline exceeded")
"""What the server says when the call's time was up there a moment before it was up here; 2.3.5 of a release in its queue."""

_NEXT_STEP: dict[type[MilvusError], str] = {
    kinds.MilvusAuthenticationError: "Check the connection's login and password, or its token, and the user's privileges.",
    kinds.MilvusDatabaseNotFoundError: "Check the connection's or the task's database.",
    kinds.MilvusCollectionNotFoundError: "Check the name and the database.",
    kinds.MilvusPartitionNotFoundError: "Check partition_names.",
    kinds.MilvusIndexNotFoundError: "Create an index on every vector field first; Milvus loads indexed collections only.",
    kinds.MilvusTimeoutError: "The server may still be working on it; look at its state before repeating.",
    kinds.MilvusRateLimitError: "Wait, run fewer tasks at once, or raise the server's quota.",
    kinds.MilvusUnavailableError: "Check that the server runs and that host, port and TLS settings are right.",
}


def explain(error: BaseException, *, tried: str, where: str, waited: float) -> MilvusError | None:
    """The kind of ``error``, with a message; ``None`` for what is neither gRPC's nor pymilvus's, such as a TypeError."""
    import grpc
    from pymilvus.exceptions import MilvusException

    if isinstance(error, MilvusError):
        return error
    chain = list(_causes(error))
    status = next((each for each in chain if isinstance(each, grpc.RpcError)), None)
    if status is not None:
        kind, words = _from_grpc(status, waited)
    elif any(isinstance(each, (TimeoutError, grpc.FutureTimeoutError)) for each in chain):
        kind, words = kinds.MilvusTimeoutError, silence(waited)
    elif isinstance(error, MilvusException):
        kind, words = _from_milvus(error, waited)
    else:
        return None
    return worded(kind, words, tried=tried, where=where)


def unreachable(details: str, *, tried: str, where: str, waited: float) -> MilvusError:
    """The error for what :func:`obstacle` found."""
    return worded(kinds.MilvusUnavailableError, unavailable(details, waited), tried=tried, where=where)


def obstacle(uri: str, tls: Mapping[str, str], within: float = 0.5) -> str | None:
    """Why no connection comes about, in gRPC's words; ``None`` when the port accepts it and is silent.

    pymilvus before 3.0 waits for its channel to become ready and, when the time is up, does not say what was in the way.
    """
    import socket
    import ssl

    address = urlsplit(uri)
    if address.hostname is None:
        return None
    try:
        with socket.create_connection((address.hostname, address.port or DEFAULT_PORT), within) as connection:
            if address.scheme == "https":
                context = tls_context(uri, tls)
                context.set_alpn_protocols(["h2"])
                with context.wrap_socket(connection, server_hostname=tls.get("server_name") or address.hostname) as secured:
                    # A server speaks first in HTTP/2; with TLS 1.3 it rejects a client's certificate only here.
                    secured.recv(1)
    except socket.gaierror as error:
        return f"DNS resolution failed: {error.strerror}"
    except ssl.SSLError as error:
        return f"TLS handshake failed: {error.reason}"
    except ConnectionError as error:
        return str(error.strerror)
    except OSError:
        return None
    return None


def worded(kind: type[MilvusError], words: str, *, tried: str, where: str) -> MilvusError:
    """An error whose message says what was tried, what came of it, where, and what to do next."""
    next_step = next((_NEXT_STEP[each] for each in kind.__mro__ if each in _NEXT_STEP), "")
    return kind(" ".join(part for part in (f"{tried} failed: {_stop(words)}", f"{where}.", next_step) if part))


def _stop(words: str) -> str:
    return words if words.endswith(".") else f"{words}."


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The chain of causes; pymilvus often raises an error from itself, which would never end."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ if current.__cause__ is not current else current.__context__


def silence(waited: float) -> str:
    return f"the server did not answer within {waited:.1f} s (frozen, overloaded, speaking TLS, or not a Milvus port)"


def _from_grpc(status: Any, waited: float) -> tuple[type[MilvusError], str]:
    name = status.code().name
    details = (status.details() or "").strip()
    kind = _BY_GRPC_STATUS.get(name, kinds.MilvusServerError)
    if kind is kinds.MilvusTimeoutError:
        return kind, silence(waited)
    if kind is kinds.MilvusUnavailableError:
        return kind, unavailable(details, waited)
    if kind is kinds.MilvusAuthenticationError:
        return kind, f"the server rejected the credentials ({details or name})"
    if kind is kinds.MilvusUnsupportedError:
        return kind, f"this server does not support it ({details or name})"
    return kind, f"gRPC status {name}: {details}"


def unavailable(details: str, waited: float) -> str:
    lowered = details.lower()
    if "refused" in lowered:
        return "the connection was refused: nothing listens on that host and port"
    if "dns" in lowered or "resolution" in lowered or "resolv" in lowered:
        return f"the host name cannot be resolved ({details})"
    if "handshake" in lowered or "ssl" in lowered or "tls" in lowered:
        return f"the TLS handshake failed ({details})"
    if "timed out" in lowered or "timeout" in lowered or "settings frame" in lowered:
        return silence(waited)
    return f"the server is unavailable or closed the connection ({details})"


def _from_milvus(error: Any, waited: float) -> tuple[type[MilvusError], str]:
    from pymilvus.exceptions import ConnectionConfigException, ParamError

    code = error.code if isinstance(error.code, int) else 0
    words = str(error.message or "").strip()
    if isinstance(error, ConnectionConfigException):
        return kinds.MilvusConfigurationError, words
    if isinstance(error, ParamError):
        return kinds.MilvusInvalidArgumentError, words
    if code in (0, 1) and "timeout" in words.lower() and kind_of(code, words) is kinds.MilvusTimeoutError:
        return kinds.MilvusTimeoutError, silence(waited)
    return kind_of(code, words), f"{words} (code {code})"


def kind_of(code: int, words: str) -> type[MilvusError]:
    """The kind of what a server reports by a code of its own and in words."""
    lowered = words.lower()
    if "database" in lowered and ("not found" in lowered or "does not exist" in lowered) and code in (0, 1, 6, 800):
        return kinds.MilvusDatabaseNotFoundError
    if code in (0, 1) and "timeout" in lowered:
        return kinds.MilvusTimeoutError
    if code in (0, 1, 65535) and any(sign in lowered for sign in _NOT_READY):
        return kinds.MilvusUnavailableError
    if code in (0, 1, 65535) and any(sign in lowered for sign in _OUT_OF_TIME):
        return kinds.MilvusTimeoutError
    return _BY_MILVUS_CODE.get(int(code), kinds.MilvusServerError)
