"""Errors of pymilvus and gRPC become one of the kinds in ``exceptions.py``, with a message that a user understands.

pymilvus reports a wrong password with the text of a server that is down, lets raw ``grpc.RpcError`` through at a deadline, and
uses code 1 for anything. So the gRPC status in the chain of causes comes first, then the server's own word (``codes.py``).
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.codes import NOT_READY, UNEXPECTED, StatusError, code_of, kind_of
from airflow_provider_milvus.client.obstacle import silence, unavailable
from airflow_provider_milvus.exceptions import MilvusError

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

_NEXT_STEP: dict[type[MilvusError], str] = {
    exceptions.MilvusPermissionError: "Grant it to a role of the user.",
    exceptions.MilvusAuthenticationError: "Check the connection's login and password, or its token.",
    exceptions.MilvusDatabaseNotFoundError: "Check the connection's or the task's database.",
    exceptions.MilvusCollectionNotFoundError: "Check the name and the database.",
    exceptions.MilvusPartitionNotFoundError: "Check partition_names.",
    exceptions.MilvusIndexNotFoundError: "Create an index on every vector field first; Milvus loads indexed collections only.",
    exceptions.MilvusTimeoutError: "The server may still be working on it; look at its state before repeating.",
    exceptions.MilvusRateLimitError: "Wait, run fewer tasks at once, or raise the server's quota.",
    exceptions.MilvusTlsError: "Check the connection's host and port, whether it says to use TLS, and its certificates.",
    exceptions.MilvusUnavailableError: "Check that the server runs and that host, port and TLS settings are right.",
}


def explain(
    error: BaseException,
    call: Call,
    *,
    where: str,
    waited: float,
    sent: bool = True,
    hide: Callable[[str], str] = str,
) -> MilvusError | None:
    """The error to raise in place of ``error``; ``None`` for one that is neither gRPC's nor pymilvus's, such as a TypeError.

    :param where: the connection and the database, in words.
    :param waited: seconds since the attempt began.
    :param sent: false when no connection came about, so that the server cannot have carried the call out.
    :param hide: takes the secrets out of a text that a server has sent.
    """
    import grpc

    if isinstance(error, MilvusError):
        return error
    chain = list(causes_of(error))
    status = next((cause for cause in chain if isinstance(cause, grpc.RpcError)), None)
    if status is not None:
        kind, cause = _read_grpc_status(status, waited, sent)
    elif any(isinstance(cause, (TimeoutError, grpc.FutureTimeoutError)) for cause in chain):
        kind, cause = exceptions.MilvusTimeoutError, silence(waited)
    elif isinstance(error, StatusError):
        kind, cause = error.kind, f"{error.text} (code {error.code})"
    elif _is_of_pymilvus(error, "MilvusException"):
        kind, cause = _read_milvus_error(error, waited)
    else:
        return None
    for each in chain:
        # It is kept with the error that is raised, its frames hold gRPC's call, and that holds the socket of a closed channel.
        traceback.clear_frames(each.__traceback__)
    return build_error(kind, hide(cause), call, where=where, sent=sent)


def build_error(kind: type[MilvusError], cause: str, call: Call, *, where: str, sent: bool = True) -> MilvusError:
    """An error of ``kind`` whose message names what failed, the cause, the connection and the next step."""
    in_doubt = sent and issubclass(kind, (exceptions.MilvusUnavailableError, exceptions.MilvusTimeoutError))
    failure = call.failure(certain=not in_doubt or issubclass(kind, exceptions.MilvusNotTakenError))
    unconnected = not sent and issubclass(kind, (exceptions.MilvusTimeoutError, exceptions.MilvusUnsupportedError))
    ancestors = (exceptions.MilvusUnavailableError if unconnected else kind).__mro__
    next_step = next((_NEXT_STEP[ancestor] for ancestor in ancestors if ancestor in _NEXT_STEP), "")
    return kind(f"{failure}: {cause.removesuffix('.')}. {where}. {next_step}".rstrip())


def cause_to_show(error: Exception, known: MilvusError, hide: Callable[[str], str]) -> Exception | None:
    """The cause of an error without a kind of its own, for its traceback; to any other its 20 lines add nothing.

    Nor is it shown where the server has repeated a secret: the cause has its text as it came.
    """
    is_clean = all(hide(str(cause)) == str(cause) for cause in causes_of(error))
    return error if isinstance(known, exceptions.MilvusServerError) and is_clean else None


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """The chain of causes; pymilvus often raises an error from itself, so the chain may be a ring."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ if current.__cause__ is not current else current.__context__


def _read_grpc_status(status: Any, waited: float, sent: bool) -> tuple[type[MilvusError], str]:
    name = status.code().name
    details = (status.details() or "").rpartition("last error: ")[2].strip()
    kind = _BY_GRPC_STATUS.get(name, exceptions.MilvusServerError)
    if kind is exceptions.MilvusTimeoutError:
        return kind, silence(waited)
    if kind is exceptions.MilvusUnavailableError:
        return unavailable(details, waited)
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


def _is_of_pymilvus(error: BaseException, kind: str) -> bool:
    """Whether it is one of pymilvus's errors. pymilvus is not imported to learn it."""
    return any(each.__name__ == kind and each.__module__ == "pymilvus.exceptions" for each in type(error).__mro__)


def _read_milvus_error(error: Any, waited: float) -> tuple[type[MilvusError], str]:
    code = error.code if isinstance(error.code, int) else 0
    text = str(error.message or "").strip()
    if _is_of_pymilvus(error, "ConnectionConfigException"):
        return exceptions.MilvusConfigurationError, text
    if _is_of_pymilvus(error, "ParamError"):
        return exceptions.MilvusInvalidArgumentError, text
    if code == NOT_READY and "timeout" in text.lower():
        return exceptions.MilvusTimeoutError, silence(waited)
    old = error.compatible_code if isinstance(error.compatible_code, int) else 0
    known = code_of(0 if code == NOT_READY else code, old) or UNEXPECTED
    return kind_of(known, text), f"{text} (code {code})"
