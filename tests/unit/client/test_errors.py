"""What pymilvus and gRPC raise, sorted into kinds. The errors here are their own, not stand-ins."""

from __future__ import annotations

import socket

import grpc
import pymilvus.exceptions as theirs
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from grpc.aio import AioRpcError, Metadata
from pymilvus.exceptions import MilvusException

from airflow_provider_milvus import exceptions as kinds
from airflow_provider_milvus.client.errors import explain
from airflow_provider_milvus.client.flow import Rpc
from airflow_provider_milvus.exceptions import MilvusError, error_of_kind

WHERE = "Connection 'm' (http://h:19530), database 'books'"
RELEASE = Rpc("ReleaseCollection", {"collection_name": "docs"})


def explained(error: BaseException, waited: float = 1.0, sent: bool = True) -> MilvusError:
    found = explain(error, RELEASE, where=WHERE, waited=waited, sent=sent)
    assert found is not None
    return found


def rpc_error(status: grpc.StatusCode, details: str = "") -> AioRpcError:
    return AioRpcError(status, Metadata(), Metadata(), details=details)


def raised_from(error: Exception, cause: Exception) -> Exception:
    try:
        raise error from cause
    except type(error) as raised:
        return raised


class TestMilvusCodes:
    @pytest.mark.parametrize(
        ("code", "words", "kind"),
        [
            (0, "something", kinds.MilvusServerError),
            (1, "something", kinds.MilvusServerError),
            (1, "wait for loading timeout", kinds.MilvusTimeoutError),
            (1, "service not ready[standalone=1]: Initializing", kinds.MilvusUnavailableError),
            (2, "Fail connecting to server on h:19530, illegal connection params or server unavailable", "unavailable"),
            (3, "memory limit exceeded[predict(MB)=9000][limit(MB)=8000]", kinds.MilvusLoadFailedError),
            (4, "request limit exceeded", kinds.MilvusRateLimitError),
            (5, "internal", kinds.MilvusServerError),
            (6, "database not found: books", kinds.MilvusDatabaseNotFoundError),
            (6, "index type STL_SORT not supported, only INVERTED", kinds.MilvusServerError),
            (8, "rate limit exceeded", kinds.MilvusRateLimitError),
            (9, "deny to write, memory quota exhausted", kinds.MilvusRateLimitError),
            (10, "unimplemented", kinds.MilvusUnsupportedError),
            (100, "collection not found[database=default][collection=docs]", kinds.MilvusCollectionNotFoundError),
            (101, "collection not loaded", kinds.MilvusNotLoadedError),
            (200, "partition not found", kinds.MilvusPartitionNotFoundError),
            (300, "resource group not found", kinds.MilvusNotFoundError),
            (400, "replica not found", kinds.MilvusServerError),
            (700, "index not found[collection=docs]", kinds.MilvusIndexNotFoundError),
            (800, "database not found[database=books]", kinds.MilvusDatabaseNotFoundError),
            (1100, "invalid parameter", kinds.MilvusInvalidArgumentError),
            (1400, "not authenticated", kinds.MilvusAuthenticationError),
            (1401, "privilege not permitted", kinds.MilvusPermissionError),
            (1600, "alias not found", kinds.MilvusAliasNotFoundError),
            (65535, "nodes not enough", kinds.MilvusServerError),
            (65535, "unrecoverable error", kinds.MilvusServerError),
            (65535, "querycoord is not ready", kinds.MilvusUnavailableError),
            (65535, "proxy TaskCondition context Done", kinds.MilvusTimeoutError),
            (65535, "stack trace: context deadline exceeded", kinds.MilvusTimeoutError),
        ],
    )
    def test_have_their_kind(self, code, words, kind):
        kind = kinds.MilvusUnavailableError if kind == "unavailable" else kind
        error = explained(MilvusException(code, words))
        assert type(error) is kind
        if kind is not kinds.MilvusTimeoutError:
            assert f"{words} (code {code})" in str(error)

    def test_a_code_of_the_clients_own_enumeration_is_read_too(self):
        assert type(explained(theirs.DescribeCollectionException(100, "missing"))) is kinds.MilvusCollectionNotFoundError
        assert type(explained(MilvusException(message="no code"))) is kinds.MilvusServerError

    @pytest.mark.parametrize("kind", [kinds.MilvusServerError, kinds.MilvusLoadFailedError, kinds.MilvusReclaimError])
    def test_what_may_pass_is_left_to_airflows_retries(self, kind):
        assert not issubclass(kind, AirflowFailException)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (theirs.ParamError(message="`timeout` value '5' is illegal"), kinds.MilvusInvalidArgumentError),
        (theirs.ConnectionConfigException(message="Illegal uri: [localhost:19530]"), kinds.MilvusConfigurationError),
        (theirs.ConnectionConfigException(message="Open local milvus failed"), kinds.MilvusConfigurationError),
    ],
)
def test_what_pymilvus_refuses_by_itself_can_never_work(error, kind):
    assert type(explained(error)) is kind
    assert issubclass(kind, AirflowFailException)


class TestGrpcStatus:
    @pytest.mark.parametrize(
        ("status", "details", "kind", "words"),
        [
            ("UNAUTHENTICATED", "auth check failure", kinds.MilvusAuthenticationError, "rejected the credentials (auth check"),
            ("PERMISSION_DENIED", "", kinds.MilvusPermissionError, "lacks a privilege (PERMISSION_DENIED)"),
            (
                "PERMISSION_DENIED",
                "PrivilegeLoad: permission deny to u",
                kinds.MilvusPermissionError,
                "lacks the privilege Load (",
            ),
            ("UNAVAILABLE", "connect: Connection refused (111)", kinds.MilvusUnavailableError, "connection was refused"),
            ("CANCELLED", "Server shutdown", kinds.MilvusUnavailableError, "unavailable or closed the connection"),
            ("UNAVAILABLE", "DNS resolution failed for h", kinds.MilvusUnavailableError, "cannot be resolved"),
            (
                "UNAVAILABLE",
                "errors resolving h:1: [address lookup failed]",
                kinds.MilvusUnavailableError,
                "cannot be resolved",
            ),
            ("UNAVAILABLE", "Ssl handshake failed", kinds.MilvusUnavailableError, "TLS handshake failed"),
            (
                "UNAVAILABLE",
                "Ssl handshake failed: CERTIFICATE_VERIFY_FAILED: certificate has expired",
                kinds.MilvusTlsError,
                "certificate is not accepted: Ssl handshake failed: CERTIFICATE_VERIFY_FAILED: certificate has expired",
            ),
            ("UNAVAILABLE", "Hostname Verification Check failed.", kinds.MilvusTlsError, "certificate is not accepted"),
            (
                "UNAVAILABLE",
                "failed to connect to all addresses; last error: UNAVAILABLE: ipv4:127.0.0.1:1: Failed parsing HTTP/2 "
                "(Expected SETTINGS frame as the first frame, got frame type 79)",
                kinds.MilvusUnavailableError,
                "not Milvus, or it wants TLS (UNAVAILABLE: ipv4:127.0.0.1:1: Failed parsing HTTP/2 (Expected SETTINGS",
            ),
            ("UNAVAILABLE", "Timeout before SETTINGS frame", kinds.MilvusUnavailableError, "did not answer within 1.0 s"),
            ("UNAVAILABLE", "Connection timed out", kinds.MilvusUnavailableError, "did not answer within 1.0 s"),
            ("UNAVAILABLE", "GOAWAY received", kinds.MilvusUnavailableError, "closed the connection (GOAWAY received)"),
            ("DEADLINE_EXCEEDED", "Deadline Exceeded", kinds.MilvusTimeoutError, "did not answer within 1.0 s"),
            ("UNIMPLEMENTED", "", kinds.MilvusUnsupportedError, "does not support it (UNIMPLEMENTED)"),
            ("INVALID_ARGUMENT", "bad field", kinds.MilvusInvalidArgumentError, "bad field"),
            ("INTERNAL", "boom", kinds.MilvusServerError, "gRPC status INTERNAL: boom"),
            ("RESOURCE_EXHAUSTED", "message too large", kinds.MilvusServerError, "RESOURCE_EXHAUSTED"),
        ],
    )
    def test_has_its_kind(self, status, details, kind, words):
        error = explained(rpc_error(grpc.StatusCode[status], details))
        assert type(error) is kind
        assert words in str(error)

    def test_hidden_as_a_cause_tells_a_wrong_password_from_a_server_that_is_down(self):
        """pymilvus says the same of both."""
        same = "Fail connecting to server on h:19530, illegal connection params or server unavailable"
        wrong = raised_from(MilvusException(2, same), rpc_error(grpc.StatusCode.UNAUTHENTICATED, "auth check failure"))
        down = raised_from(MilvusException(2, same), rpc_error(grpc.StatusCode.UNAVAILABLE, "Connection refused"))
        assert type(explained(wrong)) is kinds.MilvusAuthenticationError
        assert type(explained(down)) is kinds.MilvusUnavailableError

    def test_deeper_in_the_chain_is_found(self):
        inner = raised_from(MilvusException(1, "inner"), rpc_error(grpc.StatusCode.UNAUTHENTICATED, "no"))
        assert type(explained(raised_from(MilvusException(2, "outer"), inner))) is kinds.MilvusAuthenticationError

    def test_of_a_port_where_nobody_listens(self):
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            with grpc.insecure_channel(f"127.0.0.1:{held.getsockname()[1]}") as channel, pytest.raises(grpc.RpcError) as raised:
                channel.unary_unary("/milvus.proto.milvus.MilvusService/GetVersion")(b"", timeout=5)
        error = explained(raised.value)
        assert type(error) is kinds.MilvusUnavailableError
        assert "nothing listens on that host and port" in str(error)


class TestSilence:
    @pytest.mark.parametrize("error", [TimeoutError(), grpc.FutureTimeoutError()])
    def test_is_a_timeout(self, error):
        found = explained(error, waited=3.21)
        assert type(found) is kinds.MilvusTimeoutError
        assert "did not answer within 3.2 s" in str(found)

    def test_while_connecting_is_a_timeout_and_no_refusal(self):
        error = raised_from(MilvusException(2, "Fail connecting to server"), grpc.FutureTimeoutError())
        assert type(explained(error)) is kinds.MilvusTimeoutError


class TestChainsThatBiteTheirTail:
    def test_an_error_raised_from_itself_ends(self):
        error = MilvusException(100, "missing")
        assert type(explained(raised_from(error, error))) is kinds.MilvusCollectionNotFoundError

    def test_behind_an_error_raised_from_itself_the_context_is_seen(self):
        error = MilvusException(2, "Fail connecting")
        error.__context__ = rpc_error(grpc.StatusCode.UNAUTHENTICATED, "no")
        error.__cause__ = error
        assert type(explained(error)) is kinds.MilvusAuthenticationError

    def test_a_ring_of_two_ends(self):
        first, second = MilvusException(100, "missing"), MilvusException(1, "again")
        first.__cause__, second.__cause__ = second, first
        assert type(explained(first)) is kinds.MilvusCollectionNotFoundError


def test_every_message_says_what_failed_why_where_and_what_to_do():
    words = str(explained(MilvusException(100, "collection not found")))
    assert words == (
        "Collection 'docs' was not released: collection not found (code 100). "
        "Connection 'm' (http://h:19530), database 'books'. Check the name and the database."
    )


@pytest.mark.parametrize(
    ("status", "sent", "beginning", "end"),
    [
        ("UNAVAILABLE", True, "Collection 'docs' may not have been released", "TLS settings are right."),
        ("UNAVAILABLE", False, "Collection 'docs' was not released", "TLS settings are right."),
        ("DEADLINE_EXCEEDED", True, "Collection 'docs' may not have been released", "look at its state before repeating."),
        ("DEADLINE_EXCEEDED", False, "Collection 'docs' was not released", "TLS settings are right."),
        ("PERMISSION_DENIED", True, "Collection 'docs' was not released", "to a role of the user."),
    ],
)
def test_a_message_claims_no_more_than_is_known(status, sent, beginning, end):
    words = str(explained(rpc_error(grpc.StatusCode[status]), sent=sent))
    assert words.startswith(f"{beginning}: ")
    assert words.endswith(end)


def test_what_is_told_already_stays_as_it_is():
    error = kinds.MilvusRefusedError("no")
    assert explained(error) is error


@pytest.mark.parametrize("error", [TypeError("x"), ValueError("x"), KeyError("x"), AttributeError("x"), OSError("x")])
def test_a_mistake_in_code_is_not_blamed_on_milvus(error):
    assert explain(error, RELEASE, where=WHERE, waited=0) is None


def all_kinds() -> list[type[MilvusError]]:
    return [value for value in vars(kinds).values() if isinstance(value, type) and issubclass(value, MilvusError)]


class TestKinds:
    @pytest.mark.parametrize("kind", all_kinds())
    def test_travel_by_name_and_come_back(self, kind):
        again = error_of_kind(kind.__name__, "why")
        assert type(again) is kind
        assert str(again) == "why"

    def test_of_an_unknown_name_come_back_as_the_servers(self):
        assert type(error_of_kind("MilvusFromTomorrowError", "why")) is kinds.MilvusServerError

    @pytest.mark.parametrize("kind", all_kinds())
    def test_are_either_worth_another_try_or_final_but_never_both(self, kind):
        assert not (kind.try_again and issubclass(kind, AirflowFailException))
