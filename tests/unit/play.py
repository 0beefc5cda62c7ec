"""Plays the server's part for a flow: answers are plain values, and the clock moves only when a test says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_milvus.client import flow
from airflow_provider_milvus.client.flow import Deadline, Flow, Rpc, drive, steady
from airflow_provider_milvus.conditions import base
from airflow_provider_milvus.exceptions import MilvusError

NOT_EXIST, NOT_LOAD, LOADING, LOADED = (SimpleNamespace(state=number) for number in range(4))


ANSWERED = SimpleNamespace()
"""The answer to a call that only changes something."""


def percent(progress: int, refreshed: int = 0) -> SimpleNamespace:
    """The answer to GetLoadingProgress."""
    return SimpleNamespace(progress=progress, refresh_progress=refreshed)


def described(name: str, *aliases: str, asked_for: str | None = None) -> SimpleNamespace:
    """The answer to DescribeCollection."""
    schema = SimpleNamespace(name=name)
    return SimpleNamespace(
        schema=schema, collection_name=asked_for or name, aliases=list(aliases), properties=[], collectionID=1
    )


def partitions(*names: str) -> SimpleNamespace:
    """The answer to ShowPartitions."""
    return SimpleNamespace(partition_names=list(names), partitionIDs=list(range(1, len(names) + 1)))


def placed(*groups: str, first: int = 1, segments: Sequence[int] = (), serving: Sequence[int] = ()) -> dict[str, Any]:
    """The answers about a collection in memory: a replica in each of the groups, the ``first`` with that id; segments on
    storage, and those served.
    """
    return {
        "GetReplicas": SimpleNamespace(
            replicas=[SimpleNamespace(replicaID=id, resource_group_name=group) for id, group in enumerate(groups, first)]
        ),
        "GetPersistentSegmentInfo": SimpleNamespace(
            infos=[SimpleNamespace(segmentID=id, num_rows=5, state=4, partitionID=1) for id in segments]
        ),
        "GetQuerySegmentInfo": SimpleNamespace(infos=[SimpleNamespace(segmentID=id, nodeIds=[1]) for id in serving]),
    }


class Clock:
    """Time as the package sees it: seconds that pass by sleeping, or by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)


@contextmanager
def stopped_clock() -> Iterator[Clock]:
    """Replace the clock of the modules that look at one. Not of the process: event loops need theirs."""
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow, "time", clock)
        patch.setattr(flow, "asyncio", SimpleNamespace(sleep=clock.sleep_async))
        patch.setattr(base, "time", clock)
        yield clock


class Server:
    """Answers calls by name. A list is answered in turn, anything else always; an error is raised; a call that no test
    foresaw fails it.
    """

    def __init__(self, clock: Clock | None = None, **answers: Any) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._clock = clock
        self._answers = answers

    def __call__(self, call: Any) -> Any:
        assert isinstance(call, Rpc)
        self.asked.append((call.name, dict(call.fields)))
        assert call.name in self._answers, f"{call} was not expected"
        answer = self._answers[call.name]
        if isinstance(answer, list):
            assert answer, f"{call} was asked more often than expected"
            answer = answer.pop(0)
        if callable(answer):
            answer = answer(call)
        if isinstance(answer, MilvusError):
            raise answer
        return ANSWERED if answer is None else answer

    @property
    def calls(self) -> list[str]:
        return [name for name, _ in self.asked]

    def sent(self, name: str) -> list[dict[str, Any]]:
        """The fields of each call of that name."""
        return [fields for asked, fields in self.asked if asked == name]


def play(flow: Flow[Any], server: Server, clock: Clock, deadline: Deadline | None = None) -> Any:
    """Carry out a flow to its end, as a worker does."""
    return drive(steady(flow, deadline or Deadline(60)), server, clock.sleep)
