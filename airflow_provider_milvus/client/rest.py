"""Milvus's REST API v2, and Zilliz Cloud's: one POST within its time, whose failure becomes one of our kinds.

A call opens and closes a connection of its own. So nothing is left to close, and a restarted server is reached again.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.answers.bodies import BodyError, answer_to, read_json
from airflow_provider_milvus.answers.numbers import read_whole_number
from airflow_provider_milvus.client.codes import KIND_OF_CODE, kind_of
from airflow_provider_milvus.client.errors import build_error
from airflow_provider_milvus.client.flow import Rest
from airflow_provider_milvus.client.obstacle import find_obstacle, silence, unavailable
from airflow_provider_milvus.exceptions import MilvusConfigurationError, MilvusError
from airflow_provider_milvus.get_provider_info import DEFAULT_DATABASE
from airflow_provider_milvus.tls import tls_context
from airflow_provider_milvus.wording import without, without_secrets

if TYPE_CHECKING:
    from ssl import SSLContext

    from airflow_provider_milvus.client.connection import ConnectionSettings

DONE = (0, 200)
"""The codes of success. The first servers with this API answered 200."""

_BY_STATUS: dict[int, type[MilvusError]] = {
    400: exceptions.MilvusInvalidArgumentError,
    401: exceptions.MilvusAuthenticationError,
    403: exceptions.MilvusAuthenticationError,
    404: exceptions.MilvusUnsupportedError,
    408: exceptions.MilvusTimeoutError,
    429: exceptions.MilvusRateLimitError,
    502: exceptions.MilvusUnavailableError,
    503: exceptions.MilvusNotTakenError,
    504: exceptions.MilvusTimeoutError,
}

_BY_CLOUD_CODE: dict[int, type[MilvusError]] = {21119: exceptions.MilvusAuthenticationError}
"""Zilliz Cloud's own code for an API key that it does not accept."""

LARGEST_ANSWER = 16 << 20
"""Bytes of an answer: a listing has 130 for each import job, and what is told of a job 250 for each of its files."""
LONGEST_TEXT = 500
"""Characters of a server's text that go into a message."""


class RestApi:
    """The REST API of a connection: at its ``rest_url``, or at the Milvus itself."""

    def __init__(self, settings: ConnectionSettings) -> None:
        self._settings = settings
        self._context: SSLContext | None = None

    @property
    def _url(self) -> str:
        own = self._settings.rest_url
        return own.get_secret_value() if own is not None else self._settings.uri

    async def post(self, call: Rest, database: str, timeout: float) -> Any:
        """The ``data`` of the answer, within ``timeout`` seconds in all.

        :raises MilvusError: its kind decides whether the call is made again.
        """
        import httpx

        if not self._url.startswith(("http://", "https://")):
            raise MilvusConfigurationError(
                f"{call.failure()}: the REST API needs an http address. {self._settings.where}. "
                "Set rest_url in the connection's extra."
            )
        began = time.monotonic()
        try:
            async with asyncio.timeout(timeout):
                status, body = await self._send(call, database, timeout)
        except BodyError as error:
            # Whether a change was made is not known then.
            unread = exceptions.MilvusServerError if call.repeatable else exceptions.MilvusUnavailableError
            raise self._failed(call, unread, str(error)) from None
        except (TimeoutError, httpx.TimeoutException):
            raise self._failed(call, exceptions.MilvusTimeoutError, silence(time.monotonic() - began)) from None
        except httpx.ConnectError as error:
            # The files may have changed.
            self._context = None
            # For a name with two addresses httpx reports only that all attempts failed.
            found = await asyncio.to_thread(find_obstacle, self._url, self._settings.tls, grpc=False)
            kind, cause = found or unavailable(str(error), time.monotonic() - began)
            # Without a connection it is certain that nothing was carried out.
            kind = kind if issubclass(kind, exceptions.MilvusNotTakenError) else exceptions.MilvusNotTakenError
            raise self._failed(call, kind, cause) from None
        except httpx.TransportError as error:
            kind, cause = unavailable(str(error) or type(error).__name__, time.monotonic() - began)
            raise self._failed(call, kind, cause) from None
        return self._data(call, status, body)

    async def _send(self, call: Rest, database: str, timeout: float) -> tuple[int, Any]:
        """The answer's HTTP status and its JSON; ``None`` for what is no JSON."""
        from httpx import AsyncClient

        token = self._settings.token.get_secret_value()
        headers = {"Accept": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        # Zilliz Cloud takes a database only where there can be more than one.
        database_field = {"dbName": database} if database != DEFAULT_DATABASE else {}
        server_name = self._settings.tls.get("server_name")
        extensions = {"sni_hostname": server_name} if server_name and not self._settings.rest_url else {}
        if self._context is None:
            self._context = await asyncio.to_thread(tls_context, self._url, self._settings.tls, trust_system=True)
        body = {**database_field, **self._settings.cloud, **call.body}
        async with (
            AsyncClient(timeout=timeout, verify=self._context, headers=headers) as client,
            answer_to(client, "POST", self._url + call.path, json=body, extensions=extensions) as answer,
        ):
            try:
                return answer.status_code, await read_json(answer, LARGEST_ANSWER)
            except ValueError:
                return answer.status_code, None

    def _data(self, call: Rest, status: int, body: Any) -> Any:
        body = body if isinstance(body, dict) else {}
        text = str(body.get("message") or "")
        code = read_whole_number(body.get("code"))
        # From Milvus 3 on a server can be told to send its own code with the HTTP status that is nearest to it.
        if status != 200 and code not in KIND_OF_CODE:
            kind = _BY_STATUS.get(status, exceptions.MilvusServerError)
            raise self._failed(call, kind, _status_in_words(status, text))
        if code is None:
            cause = "the answer is not one of Milvus's REST API; check uri and rest_url"
            raise self._failed(call, exceptions.MilvusServerError, cause)
        if code not in DONE:
            raise self._failed(call, _BY_CLOUD_CODE.get(code) or kind_of(code, text), f"{text} (code {code})")
        return body.get("data")

    def _failed(self, call: Rest, kind: type[MilvusError], cause: str) -> MilvusError:
        where = self._settings.where
        if self._settings.rest_url:
            where += f", REST API at {without_secrets(self._url)}"
        secrets = {*self._settings.secrets, urlsplit(self._url).path, *(str(call.body.get(key) or "") for key in SECRETS)}
        return build_error(kind, without(secrets, cause)[:LONGEST_TEXT], call, where=where)


SECRETS = ("accessKey", "secretKey", "token")
"""The fields of a body that no message may show."""


def _status_in_words(status: int, text: str) -> str:
    if status == 404:
        return f"HTTP 404: there is no such endpoint; Milvus has the REST API v2 from 2.4 on {text}".strip()
    return f"HTTP {status} {text}".strip()
