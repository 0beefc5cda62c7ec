"""What the connection's user may do: its roles and their privileges, which every user may ask for its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_milvus.client.flow import Flow, Rpc

ADMIN = "admin"
"""Milvus's own role that may do all."""
ROOT = "root"


@dataclass(frozen=True, slots=True)
class Grants:
    """``privileges`` by what they are for, such as ``Collection docs in the database default``; those of ``admin`` are all."""

    user: str
    roles: Sequence[str]
    privileges: dict[str, list[str]]

    @property
    def is_admin(self) -> bool:
        return self.user == ROOT or ADMIN in self.roles

    def __str__(self) -> str:
        if self.is_admin:
            return "all"
        return "; ".join(f"{', '.join(names)} on {subject}" for subject, names in self.privileges.items()) or "nothing"


def grants_of(user: str) -> Flow[Grants]:
    """:raises MilvusError: the server does not tell: it has no users, or the user may not ask."""
    answer = yield Rpc("SelectUser", {"user": {"name": user}, "include_role_info": True})
    roles = sorted({role.name for result in answer.results for role in result.roles})
    privileges: defaultdict[str, set[str]] = defaultdict(set)
    for role in roles:
        granted = yield Rpc("SelectGrant", {"entity": {"role": {"name": role}}})
        for entity in granted.entities:
            name = "all" if entity.object_name == "*" else entity.object_name
            where = f" in the database {entity.db_name}" if entity.db_name not in ("", "*") else ""
            privileges[f"{entity.object.name} {name}{where}"].add(entity.grantor.privilege.name)
    return Grants(user, roles, {subject: sorted(privileges[subject]) for subject in sorted(privileges)})
