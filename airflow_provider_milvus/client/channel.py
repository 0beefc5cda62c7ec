"""A gRPC channel of the provider's own to a Milvus, and the calls of the protocol over it.

It does what pymilvus does for a connection (its TLS, its credentials, its word of who calls) and nothing besides: it never
makes a call again, never connects anew and never sends what nobody asked for.
"""

from __future__ import annotations

import asyncio
import math
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.codes import check_status
from airflow_provider_milvus.client.flow import Rpc
from airflow_provider_milvus.client.obstacle import default_port
from airflow_provider_milvus.tls import check_files

if TYPE_CHECKING:
    from airflow_provider_milvus.client.connection import ConnectionSettings

_OPTIONS = {
    # Milvus has limits of its own, and says which.
    "grpc.max_send_message_length": -1,
    "grpc.max_receive_message_length": -1,
    # A call that waits for an answer notices within 15 s that the host is gone. Idle channels are silent: Milvus Lite closes
    # one on which it is pinged.
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 5_000,
    # By default channels of a process share connections: a new one could get the connection that the one before has just lost.
    "grpc.use_local_subchannel_pool": 1,
}


_NO_DATABASE = ""
"""Of a call that is about none. A server then takes its default one, which there always is."""


class _Wire:
    """What both channels have: how a call is addressed, encoded and signed."""

    def __init__(self, channel: Any, token: str) -> None:
        self._channel = channel
        self._headers = [("authorization", b64encode(token.encode()).decode())] if token else []
        self._sends: dict[str, Any] = {}

    def _send(self, rpc: Rpc, database: str, timeout: float) -> Any:
        """Send a call; the answer, or on an event loop what is awaited for it."""
        named = [("dbname", database)] if database else []
        request = build_request(rpc, database)
        return self._sender(rpc.name)(request, timeout=timeout, metadata=[*named, *self._headers])

    def _sender(self, name: str) -> Any:
        if name not in self._sends:
            from google.protobuf.message_factory import GetMessageClass  # type: ignore[import-untyped]

            from airflow_provider_milvus.protocol import milvus_pb2

            service = milvus_pb2.DESCRIPTOR.services_by_name["MilvusService"]
            answer = GetMessageClass(service.methods_by_name[name].output_type)
            self._sends[name] = self._channel.unary_unary(
                f"/{service.full_name}/{name}",
                request_serializer=lambda request: request.SerializeToString(),
                response_deserializer=answer.FromString,
            )
        return self._sends[name]

    def _is_known_as(self, answer: Any) -> None:
        # By this number the server's logs and metrics tell its clients apart.
        self._headers.append(("identifier", str(answer.identifier)))


class Channel(_Wire):
    """A channel for a worker."""

    @classmethod
    def open(cls, settings: ConnectionSettings, within: float, _timeout: float) -> Channel:
        """Connect, and say who calls, within these seconds."""
        import grpc

        channel = cls(_new_channel(grpc, *_prepared(settings, within)), settings.token.get_secret_value())
        try:
            channel._is_known_as(channel.send(_introduction(), _NO_DATABASE, within))
        except BaseException:
            channel.close()
            raise
        return channel

    def send(self, rpc: Rpc, database: str, timeout: float) -> Any:
        """Make one call.

        :raises StatusError: the answer reports an error.
        :raises grpc.RpcError: there is no answer.
        """
        return check_status(self._send(rpc, database, timeout))

    def close(self) -> None:
        self._channel.close()


class AsyncChannel(_Wire):
    """A channel for the event loop in which it is opened."""

    @classmethod
    async def open(cls, settings: ConnectionSettings, within: float, _timeout: float) -> AsyncChannel:
        """Connect, and say who calls, within these seconds."""
        import grpc.aio

        prepared = await asyncio.to_thread(_prepared, settings, within)
        channel = cls(_new_channel(grpc.aio, *prepared), settings.token.get_secret_value())
        try:
            channel._is_known_as(await channel.send(_introduction(), _NO_DATABASE, within))
        except BaseException:
            await channel.close()
            raise
        return channel

    async def send(self, rpc: Rpc, database: str, timeout: float) -> Any:
        """Make one call.

        :raises StatusError: the answer reports an error.
        :raises grpc.RpcError: there is no answer.
        """
        return check_status(await self._send(rpc, database, timeout))

    async def close(self) -> None:
        await self._channel.close()


def build_request(rpc: Rpc, database: str) -> Any:
    """The message of a call.

    :raises MilvusUnsupportedError: the installed pymilvus has no such call.
    """
    from airflow_provider_milvus.protocol import milvus_pb2

    kind = getattr(milvus_pb2, f"{rpc.name}Request", None)
    if kind is None:
        raise exceptions.MilvusUnsupportedError(
            f"{rpc.failure()}: the installed pymilvus does not know {rpc.name}, and a newer one may. Nothing was changed."
        )
    known = kind.DESCRIPTOR.fields_by_name
    fields: dict[str, Any] = {"db_name": database} if "db_name" in known else {}
    # A call about a database names it itself.
    return kind(**{**fields, **rpc.fields})


def _prepared(settings: ConnectionSettings, within: float) -> tuple[str, Any, list[tuple[str, Any]]]:
    """Where to connect to, the certificates (``None`` without TLS) and the options of a channel."""
    options: dict[str, Any] = {
        **_OPTIONS,
        # Of a handshake. By default it is 20 s, for which the socket stays open, also when its channel is closed.
        "grpc.min_reconnect_backoff_ms": math.ceil(within * 1000),
    }
    if not settings.secure:
        return _target(settings.uri), None, list(options.items())
    import grpc

    files = settings.tls
    # They may have changed since the connection was read.
    check_files(files)
    if "server_name" in files:
        options["grpc.ssl_target_name_override"] = files["server_name"]
    credentials = grpc.ssl_channel_credentials(
        root_certificates=_contents(files, "server_pem_path") or _contents(files, "ca_pem_path"),
        private_key=_contents(files, "client_key_path"),
        certificate_chain=_contents(files, "client_pem_path"),
    )
    return _target(settings.uri), credentials, list(options.items())


def _contents(files: Mapping[str, str], setting: str) -> bytes | None:
    return Path(files[setting]).read_bytes() if setting in files else None


def _target(uri: str) -> str:
    """The address as gRPC takes it. The server of a Milvus Lite file is started in this process by the first who asks."""
    if uri.startswith("unix:"):
        return uri
    if uri.endswith(".db"):
        from milvus_lite.server_manager import server_manager_instance  # type: ignore[import-untyped]

        started = server_manager_instance.start_and_get_uri(uri)
        if started is None:
            raise exceptions.MilvusConfigurationError(f"Milvus Lite could not open {uri}; its log says why.")
        uri = started
    address = urlsplit(uri)
    return f"{address.hostname}:{address.port or default_port(address.scheme)}"


def check_lite_is_installed(uri: str) -> None:
    """Check that the package which opens a Milvus Lite file is installed.

    :raises MilvusConfigurationError: it is not, and ``uri`` is the path of such a file.
    """
    from importlib.util import find_spec

    if uri.endswith(".db") and find_spec("milvus_lite") is None:
        raise exceptions.MilvusConfigurationError(
            "A Milvus Lite file needs the package milvus-lite: pip install 'airflow-provider-milvus[lite]'."
        )


def _new_channel(module: Any, target: str, credentials: Any, options: list[tuple[str, Any]]) -> Any:
    if credentials is None:
        return module.insecure_channel(target, options=options)
    return module.secure_channel(target, credentials, options=options)


def _introduction() -> Rpc:
    """Who calls, for the server's list of its clients. The answer is an error where the credentials are wrong."""
    import socket
    from datetime import UTC, datetime

    from airflow_provider_milvus import __version__

    about = {
        "sdk_type": "airflow-provider-milvus",
        "sdk_version": __version__,
        "local_time": str(datetime.now(UTC)),
        "host": socket.gethostname(),
    }
    return Rpc("Connect", {"client_info": about})
