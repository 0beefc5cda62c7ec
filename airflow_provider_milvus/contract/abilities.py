"""What a server can do that not every server can, asked with reads only."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from airflow_provider_milvus.client.flow import Flow, Rpc
from airflow_provider_milvus.client.reads import is_before, is_lite, nodes
from airflow_provider_milvus.exceptions import (
    MilvusError,
    MilvusPermissionError,
    MilvusTimeoutError,
    MilvusUnavailableError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.wording import human

_FIRST_TO_TRUNCATE = (2, 6)


@dataclass(frozen=True, slots=True)
class Ability:
    """``has`` is ``None`` where it is not known. ``told`` is what follows from it for this provider, or why it is not known."""

    name: str
    has: bool | None
    told: str = ""


def abilities() -> Flow[list[Ability]]:
    """:raises MilvusError: the server is out of reach, or turns the user away."""
    missing = f"airflow_check_{uuid.uuid4().hex[:8]}"
    version = yield Rpc("GetVersion")
    told_nodes = yield from nodes()
    return [
        (yield from _of("databases", Rpc("ListDatabases"), "one database only")),
        (
            yield from _of(
                "descriptions of many collections",
                Rpc("BatchDescribeCollection", {"collection_name": [missing]}),
                "a reclaim makes a call for each loaded collection in its scope",
            )
        ),
        (
            yield from _of(
                "report of its health",
                Rpc("CheckHealth"),
                "what it denies, such as writes, is not known before a task meets it",
            )
        ),
        Ability(
            "memory of the query nodes",
            told_nodes.memory is not None,
            human(told_nodes.memory) if told_nodes.memory else "memory_budget has to be a size, not a share",
        ),
        (
            yield from _of(
                "snapshots",
                Rpc("ListSnapshots", {"collection_name": missing}),
                "the server, or the installed pymilvus, has none",
            )
        ),
        Ability("truncation", None, "Milvus Lite does not tell")
        if is_lite(version)
        else Ability("truncation", not is_before(version, _FIRST_TO_TRUNCATE), "from Milvus 2.6 on"),
    ]


def _of(name: str, call: Rpc, without: str) -> Flow[Ability]:
    try:
        yield call
    except MilvusUnsupportedError:
        return Ability(name, False, without)
    except MilvusPermissionError as error:
        return Ability(name, None, str(error))
    except (MilvusTimeoutError, MilvusUnavailableError):
        raise
    except MilvusError:
        # Of what does not exist; a server that has no such call says so.
        return Ability(name, True)
    return Ability(name, True)
