"""Ask one server all clauses of the contract."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from airflow_provider_milvus.client.client import BoundedClient
from airflow_provider_milvus.client.codes import StatusError
from airflow_provider_milvus.client.flow import Rpc
from airflow_provider_milvus.client.reads import is_lite
from airflow_provider_milvus.contract import clauses
from airflow_provider_milvus.contract.clauses import Clause
from airflow_provider_milvus.exceptions import MilvusError
from airflow_provider_milvus.schema.model import Schema
from airflow_provider_milvus.schema.proto import schema_bytes
from airflow_provider_milvus.schema.types import DATA_TYPES
from airflow_provider_milvus.search.vectors import encode_queries, placeholder

ATTEMPT = 30.0
"""Seconds for one call."""
AGAIN = 0.3
"""Seconds between two looks at what the server still does."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A clause and a server's answer to it.

    ``answer``: what was shown of it; of an error the numbers of its status. ``kind`` and ``text`` are the error's.
    """

    clause: Clause
    answer: dict[str, Any]
    kind: type[MilvusError] | None = None
    text: str = ""
    lite: bool = False

    @property
    def holds(self) -> bool:
        return self._is_one_of(self.clause.relied_on) or self.only_on_lite

    @property
    def only_on_lite(self) -> bool:
        """Whether it is an answer that the provider can work with because it comes from Milvus Lite."""
        return self.lite and not self._is_one_of(self.clause.relied_on) and self._is_one_of(self.clause.lite)

    def _is_one_of(self, relied_on: Sequence[clauses.Relied]) -> bool:
        if self.kind is None:
            return self.answer in relied_on
        return any(isinstance(relied, type) and issubclass(self.kind, relied) for relied in relied_on)


class Contract:
    """The clauses, asked of one server, with names that no other run has.

    The story has a database of its own, so that nothing else can be touched.
    """

    def __init__(self, client: BoundedClient) -> None:
        self._client = client
        self._lite = is_lite(client.perform(Rpc("GetVersion", timeout=ATTEMPT)))
        self._database: str | None = None
        self.scratch = f"airflow_contract_{uuid.uuid4().hex[:8]}"
        self._names = {
            clauses.DOCS: f"{self.scratch}_docs",
            clauses.RENAMED: f"{self.scratch}_renamed",
            clauses.ALIAS: f"{self.scratch}_alias",
            clauses.MISSING: f"{self.scratch}_missing",
            clauses.DATABASE: self.scratch,
        }
        schema = Schema.of(clauses.FIELDS)
        (vector,) = (field for field in schema.fields if field.is_vector)
        question = placeholder(encode_queries([[0.5] * (vector.dim or 0)], vector, "data"), DATA_TYPES[vector.type].number)
        self._given: dict[str, Any] = {
            clauses.SCHEMA: schema_bytes(self._names[clauses.DOCS], schema),
            clauses.QUESTION: question,
        }

    def reads(self) -> Iterator[Asked]:
        """The answers to what changes nothing, one after the other."""
        return map(self._ask, clauses.READS)

    def story(self) -> Iterator[Asked]:
        """The answers to the rest. The database and all that is in it are gone afterwards, whatever happens meanwhile."""
        self._send("CreateDatabase", {}, self.scratch)
        self._database = self.scratch
        try:
            yield from map(self._ask, clauses.STORY)
        finally:
            for call, fields in (
                ("DropAlias", {"alias": self._names[clauses.ALIAS]}),
                ("ReleaseCollection", {"collection_name": self._names[clauses.DOCS]}),
                ("DropCollection", {"collection_name": self._names[clauses.DOCS]}),
                ("DropCollection", {"collection_name": self._names[clauses.RENAMED]}),
            ):
                with suppress(MilvusError):
                    self._send(call, fields, self._database)
            self._send("DropDatabase", {}, self._database)

    def _send(self, call: str, fields: Mapping[str, Any], database: str | None) -> Any:
        return self._client.perform(Rpc(call, fields, ATTEMPT), database)

    def _ask(self, clause: Clause) -> Asked:
        end = time.monotonic() + clause.within
        while True:
            asked = self._look(clause)
            if asked.holds or time.monotonic() >= end:
                return asked
            time.sleep(AGAIN)

    def _look(self, clause: Clause) -> Asked:
        fields = _replaced(clause.fields, {**self._names, **self._given})
        if missing := [value for value in fields.values() if value in clauses.AFTERWARDS]:
            return Asked(clause, {"not asked": f"no earlier answer gave {missing[0]}"})
        try:
            answer = self._send(
                clause.call, fields, self._names[clauses.MISSING] if clause.in_missing_database else self._database
            )
        except MilvusError as error:
            return Asked(clause, status_of(error), type(error), str(error), self._lite)
        self._given |= clause.gives(answer)
        stand_ins = {name: stand_in for stand_in, name in self._names.items()}
        return Asked(clause, _replaced(clause.show(answer), stand_ins), lite=self._lite)


def _replaced(value: Any, names: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        return {names.get(key, key): _replaced(item, names) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_replaced(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value


def status_of(error: BaseException) -> dict[str, Any]:
    """The numbers by which a server reported an error."""
    import grpc

    cause = error.__context__
    if isinstance(cause, StatusError):
        status = cause.status
        flags = {"retriable": status.retriable, "is_input_error": status.extra_info.get("is_input_error") == "true"}
        set_flags = {name: flag for name, flag in flags.items() if flag}
        return {"code": status.code, "error_code": status.error_code, **set_flags}
    if isinstance(cause, grpc.RpcError):
        return {"grpc": cause.code().name}
    return {"error": type(error).__name__}
