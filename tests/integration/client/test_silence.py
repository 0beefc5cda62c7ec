"""An attempt that is not answered is in the log, again and again, with what is waited for: in the worker and the triggerer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from airflow_provider_milvus.client import silence
from airflow_provider_milvus.client.flow import Deadline, Flow, Rpc
from airflow_provider_milvus.exceptions import MilvusTimeoutError
from airflow_provider_milvus.hooks.milvus import MilvusHook
from dev.servers.scripted import LOADED, ScriptedMilvus, never_answer


def flush() -> Flow[None]:
    yield Rpc("Flush", {"collection_names": ["docs"]}, 60.0)


def in_worker() -> None:
    with MilvusHook(timeout=2).client() as client:
        client.run(flush(), Deadline(2))


def in_triggerer() -> None:
    async def run() -> None:
        async with MilvusHook(timeout=2).async_client() as client:
            await client.run(flush(), Deadline(2))

    asyncio.run(run())


def by_a_users_call() -> None:
    with MilvusHook(timeout=2).client() as client:
        client.flush("docs")


@pytest.mark.parametrize("wait", [in_worker, in_triggerer, by_a_users_call])
def test_attempt_that_hangs_is_in_the_log(
    scripted: ScriptedMilvus, monkeypatch: pytest.MonkeyPatch, log_text: Callable[[], str], wait: Callable[[], None]
) -> None:
    monkeypatch.setattr(silence, "WARN_EVERY", 0.4)
    scripted.add("docs", LOADED)
    scripted.always("Flush", never_answer)

    with pytest.raises(MilvusTimeoutError):
        wait()

    lines = [line for line in log_text().splitlines() if ": no answer for" in line]
    assert len(lines) >= 3
    assert "docs" in lines[0]
    assert "Waiting for up to" in lines[0]


def test_attempt_that_is_answered_is_not(
    scripted: ScriptedMilvus, monkeypatch: pytest.MonkeyPatch, log_text: Callable[[], str]
) -> None:
    monkeypatch.setattr(silence, "WARN_EVERY", 20)
    scripted.add("docs", LOADED)

    in_worker()

    assert ": no answer for" not in log_text()
