"""What the page shows of one connection, as plain JSON: the collections as they are, and what the last reclaims did."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from airflow_provider_milvus.exceptions import MilvusError
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.page.look import ALIVE_WITHIN, Look, look_at
from airflow_provider_milvus.page.sources import ask_secrets, kept_of
from airflow_provider_milvus.reclaim.kept_report import KeptReport, subject_of
from airflow_provider_milvus.reclaim.report import Entry

if TYPE_CHECKING:
    from airflow_provider_milvus.reclaim.inventory import CollectionState


_RUNNING: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Task[dict[str, Any]]]] = WeakKeyDictionary()


async def content_of(conn_id: str) -> dict[str, Any]:
    """All of a connection. A Milvus that cannot be asked is a ``problem``, and the rows are what the last reclaims saw.

    It is looked at once at a time: who asks meanwhile gets the same.
    """
    running = _RUNNING.setdefault(asyncio.get_running_loop(), {})
    if conn_id not in running:
        running[conn_id] = asyncio.create_task(_content_of(conn_id))
        running[conn_id].add_done_callback(lambda _: running.pop(conn_id))
    # Who gives up does not end it for the others.
    return await asyncio.shield(running[conn_id])


async def _content_of(conn_id: str) -> dict[str, Any]:
    # What changes while it is looked at may be missing.
    began = datetime.now(UTC)
    (look, problem), (kept, unreadable) = await asyncio.gather(_looked(conn_id), _kept(conn_id))
    content = await asyncio.to_thread(as_content, look, kept)
    content |= {"connection": conn_id, "problem": problem, "at": began.isoformat()}
    if unreadable:
        content["warnings"].append(unreadable)
    return content


async def _looked(conn_id: str) -> tuple[Look | None, str | None]:
    try:
        return await look_at(MilvusHook(conn_id)), None
    except MilvusError as error:
        return None, str(error)


async def _kept(conn_id: str) -> tuple[KeptReport, str | None]:
    try:
        return await ask_secrets(lambda: kept_of(conn_id), ALIVE_WITHIN)
    except TimeoutError:
        return KeptReport(), f"Airflow did not tell what it keeps of the last reclaims within {ALIVE_WITHIN:g} s."


def as_content(look: Look | None, kept: KeptReport) -> dict[str, Any]:
    """The rows of a look, each with the last decision about it; without a look those that the last reclaims saw."""
    states = look.collections if look is not None else [subject_of(decision) for decision in kept.decisions.values()]
    return {
        "server": look.server if look is not None else None,
        "capacity": look.capacity if look is not None else None,
        "collections": [_row(state, kept.decisions.get(state.key), asked=look is not None) for state in states],
        "runs": kept.runs,
        "backtest": kept.backtest,
        "warnings": list(look.warnings) if look is not None else [],
    }


def _row(state: CollectionState, decision: Entry | None, *, asked: bool) -> dict[str, Any]:
    # A collection that was made anew under the name is another one.
    if decision is not None and asked and decision.get("id", state.collection_id) != state.collection_id:
        decision = None
    usage, use_at = state.usage, None
    told_now = asked and not usage.reason.startswith("unknown")
    if not told_now and decision is not None and not decision.get("use", "unknown").startswith("unknown"):
        usage, use_at = subject_of(decision).usage, decision["at"]
    idle = usage.idle_for
    return {
        "database": state.database,
        "collection": state.collection,
        "state": state.state,
        "rows": state.rows,
        "bytes": state.memory.bytes if state.in_memory else None,
        "bytes_source": state.memory.source,
        "replicas": state.replicas,
        "groups": list(state.resource_groups),
        "aliases": list(state.aliases),
        "windows": state.windows,
        "idle": int(idle.total_seconds()) if idle is not None else 0 if usage.reason.startswith("searched") else None,
        "use": usage.reason,
        "use_at": use_at,
        "decision": decision
        and {name: decision.get(name) for name in ("outcome", "reason", "at", "dag_id", "run_id", "dry_run")},
    }
