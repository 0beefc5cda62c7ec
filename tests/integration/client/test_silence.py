"""An attempt that is not answered is in the log, again and again, with what is waited for: in the worker and the triggerer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from airflow_provider_milvus.client import silence
from airflow_provider_milvus.client.flow import Deadline, Flow, Rpc
from airflow_provider_milvus.exceptions import MilvusTimeoutError
from airflow_provider_milvus.hooks.milvus import MilvusHook
from dev.roles import SCHEMA
from dev.servers.scripted import LOADED, ScriptedMilvus, collection_schema, never_answer


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


def test_rows_that_take_long_are_counted_in_the_log(
    scripted: ScriptedMilvus, monkeypatch: pytest.MonkeyPatch, log_text: Callable[[], str]
) -> None:
    monkeypatch.setattr(silence, "TELL_EVERY", 0.0)
    scripted.add("docs", LOADED, keys=list(range(2_500)), schema=collection_schema("docs", SCHEMA))

    assert len(MilvusHook().query("docs", output_fields=["id"], limit=None)) == 2_500

    counted = re.findall(r"Read ([\d,]+) rows of collection 'docs' so far", log_text())
    assert counted[-1] == "2,500"
    assert len(counted) > 1


def test_rows_that_take_no_time_are_not(scripted: ScriptedMilvus, log_text: Callable[[], str]) -> None:
    scripted.add("docs", LOADED, keys=list(range(2_500)), schema=collection_schema("docs", SCHEMA))

    MilvusHook().query("docs", output_fields=["id"], limit=None)

    assert "so far" not in log_text()


def test_work_is_told_of_every_ten_seconds(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(silence, "time", SimpleNamespace(monotonic=lambda: clock.now))
    caplog.set_level("INFO")
    progress = silence.Progress()
    for clock.now in (5, 11, 12, 20, 22):
        progress.tell("at %s", clock.now)
    assert [record.message for record in caplog.records] == ["at 11", "at 22"]
