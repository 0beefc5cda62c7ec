"""What the connection's user may do in a database: its roles and their grants, which every user may ask for its own."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_milvus.client.flow import Flow, Rpc
from airflow_provider_milvus.client.reads import is_before
from airflow_provider_milvus.contract.privilege_groups import BUILT_IN, OLDER
from airflow_provider_milvus.contract.privileges import PRIVILEGES, kind_of
from airflow_provider_milvus.exceptions import MilvusPermissionError, MilvusUnsupportedError

ADMIN = "admin"
"""Milvus's own role that may do all."""
PUBLIC = "public"
"""Milvus's own role that all users have, whether it is listed or not."""
ROOT = "root"
ALL = "*"
"""All collections, databases, or privileges of a kind."""

_ALL_OF_A_DATABASE = "All"


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """``privilege`` may be a group's name, ``name`` a collection's."""

    kind: str
    name: str
    database: str
    privilege: str

    def __str__(self) -> str:
        where = f" in the database {self.database}" if self.database not in ("", ALL) else ""
        return f"{subject(self.kind, self.name)}{where}"


@dataclass(frozen=True, slots=True)
class Grants:
    """``granted``: in ``database``, or in all. ``groups``: the privileges in the granted groups; ``None``: not told.

    ``expands``: the server takes a grant for what is in it. One of ``*`` on a collection is one of all privileges on ``Global``
    then, and none on the collection; one on ``Global`` is for all, whatever its name.
    ``on_2_3``: the server asks for the privileges of 2.3.
    """

    user: str
    roles: Sequence[str]
    database: str
    granted: Sequence[Grant] = ()
    groups: Mapping[str, frozenset[str] | None] = field(default_factory=dict)
    expands: bool = False
    on_2_3: bool = False

    @property
    def is_admin(self) -> bool:
        return self.user == ROOT or ADMIN in self.roles

    @property
    def not_told(self) -> list[str]:
        """The groups that may hold more than is known."""
        return [name for name, privileges in self.groups.items() if privileges is None]

    def __str__(self) -> str:
        if self.is_admin:
            return "all"
        told: defaultdict[str, list[str]] = defaultdict(list)
        for grant in self.granted:
            told[str(grant)].append(grant.privilege)
        return "; ".join(f"{', '.join(names)} on {what}" for what, names in told.items()) or "nothing"

    def held(self) -> dict[str, set[str]]:
        """For each privilege the collections on which it is held; ``*``: on all, or on ``Global``."""
        if self.is_admin:
            return {privilege: {ALL} for privilege in PRIVILEGES}
        held: defaultdict[str, set[str]] = defaultdict(set)
        for grant in self.granted:
            for privilege in self._privileges_in(grant):
                if kind_of(privilege) != "Global":
                    held[privilege].add(grant.name)
                elif self.expands or grant.name == ALL:
                    held[privilege].add(ALL)
        return held

    def _privileges_in(self, grant: Grant) -> Iterable[str]:
        # Two rules of the server's: this privilege and the older groups hold in the database that they were granted in, and in
        # none where that is "*" (DBMatchFunc, proxy/privilege_interceptor.go), as 2.3.5 showed; where it
        # expands a grant, a star is a privilege on Global (expandPrivilegeGroups, rootcoord/root_coord.go).
        if grant.privilege in (_ALL_OF_A_DATABASE, *OLDER) and grant.database != self.database:
            return ()
        if grant.privilege == _ALL_OF_A_DATABASE:
            return PRIVILEGES
        if grant.privilege == ALL:
            kind = "Global" if self.expands else grant.kind
            return [privilege for privilege in PRIVILEGES if kind_of(privilege) == kind]
        if grant.privilege in self.groups:
            return self.groups[grant.privilege] or ()
        return (grant.privilege,)


def subject(kind: str, name: str) -> str:
    """What a privilege is granted on, in words: ``Collection docs``, ``Collection all``, ``Global``."""
    return kind if (kind, name) == ("Global", ALL) else f"{kind} {'all' if name == ALL else name}"


def grants_of(user: str, database: str) -> Flow[Grants]:
    """:raises MilvusError: the server does not tell: it has no users, or the user may not ask."""
    version = yield Rpc("GetVersion")
    answer = yield Rpc("SelectUser", {"user": {"name": user}, "include_role_info": True})
    if not answer.results:
        # As a server answers that lets everybody in. One that does not has turned away who is no user of it.
        raise MilvusUnsupportedError(f"The server knows no user {user!r}: it seems to let everybody in.")
    roles = sorted({PUBLIC, *(role.name for result in answer.results for role in result.roles)})
    granted: set[Grant] = set()
    for role in roles:
        # 2.3 tells only those of the database that is named, and of "*" those that were granted on all.
        for asked in (database, ALL):
            told = yield Rpc("SelectGrant", {"entity": {"role": {"name": role}, "db_name": asked}})
            granted |= {_grant(entity) for entity in told.entities if entity.db_name in ("", ALL, database)}
    groups = yield from _groups_in({grant.privilege for grant in granted})
    return Grants(
        user,
        roles,
        database,
        sorted(granted),
        groups,
        expands=_expands(version.version),
        on_2_3=is_before(version, (2, 4)),
    )


def _expands(version: str) -> bool:
    """From 2.4.16 on, where privilege groups came. What reports no number is newer."""
    numbers = re.search(r"(\d+)\.(\d+)\.(\d+)", version)
    return numbers is None or tuple(map(int, numbers.groups())) >= (2, 4, 16)


def _grant(entity: Any) -> Grant:
    return Grant(entity.object.name, entity.object_name, entity.db_name, entity.grantor.privilege.name)


def _groups_in(names: set[str]) -> Flow[dict[str, frozenset[str] | None]]:
    from airflow_provider_milvus.protocol import common_pb2

    single = {name.removeprefix("Privilege") for name, _ in common_pb2.ObjectPrivilege.items()}
    groups = names - single - {ALL}
    if not groups:
        return {}
    try:
        answer = yield Rpc("ListPrivilegeGroups")
    except (MilvusPermissionError, MilvusUnsupportedError):
        return {name: BUILT_IN.get(name) for name in sorted(groups)}
    told = {group.group_name: frozenset(privilege.name for privilege in group.privileges) for group in answer.privilege_groups}
    # What is neither told nor built in is a privilege of its own that the installed pymilvus does not know.
    return {name: told.get(name, OLDER.get(name, frozenset())) for name in sorted(groups)}
