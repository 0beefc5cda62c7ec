"""The bench can bite: each bug that is put into the provider on purpose is caught by it."""

from __future__ import annotations

import inspect
import textwrap
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider_milvus.client import channel, client, flow
from airflow_provider_milvus.client.connection import ConnectionSettings
from airflow_provider_milvus.exceptions import MilvusError
from airflow_provider_milvus.operators.milvus import MilvusDropCollectionOperator
from airflow_provider_milvus.operators.run_notes import RetryNotes
from airflow_provider_milvus.server import release
from airflow_provider_milvus.triggers.milvus import MilvusConditionTrigger
from dev.meanwhile.moments import (
    ANSWERED,
    BETWEEN_TASKS,
    CHANGES,
    NOT_CARRIED_OUT,
    NOT_TAKEN,
    TRIES_NOT_CARRIED_OUT,
)
from dev.meanwhile.run import Case, cases, ended, named, undisturbed
from dev.tries.airflow import without_airflow

pytestmark = pytest.mark.slow

PutIn = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True, slots=True)
class Tooth:
    """A bug, and the cases of a task in which the judge then says something that it does not say of the sound provider.

    ``said`` is a part of it; empty: anything.
    """

    bug: str
    put_in: PutIn
    task: str
    moments: tuple[str, ...]
    acts: tuple[str, ...]
    said: str
    dialect: str = "2.3.5"

    def cases(self) -> list[Case]:
        chosen = cases(named(self.task), self.dialect)
        return [case for case in chosen if case.moment.kind in self.moments and case.act in self.acts]

    def words(self) -> set[tuple[str, str]]:
        """The cases of which the judge says it."""
        judged = [ended(case) for case in self.cases()]
        return {(str(one.case), one.judged.why) for one in judged if one.judged.why and self.said in one.judged.why}


def rewritten(patch: pytest.MonkeyPatch, owner: Any, name: str, before: str, after: str) -> None:
    """Write a function of the provider anew, with ``after`` in place of ``before``."""
    function = inspect.unwrap(inspect.getattr_static(owner, name))
    source = textwrap.dedent(inspect.getsource(function))
    assert before in source, f"{name} is not written as it was"
    space: dict[str, Any] = {}
    exec(compile(source.replace(before, after), f"<{name} with a bug>", "exec"), function.__globals__, space)
    patch.setattr(owner, name, space[name])


def unbounded_call(patch: pytest.MonkeyPatch) -> None:
    rewritten(patch, channel._Wire, "_send", "timeout=timeout, ", "")


def swallowed_error(patch: pytest.MonkeyPatch) -> None:
    carry_out = MilvusDropCollectionOperator.carry_out

    def quiet(self: Any, *arguments: Any) -> Any:
        try:
            return carry_out(self, *arguments)
        except MilvusError:
            return True

    patch.setattr(MilvusDropCollectionOperator, "carry_out", quiet)


def success_before_not_load(patch: pytest.MonkeyPatch) -> None:
    def always(self: Any) -> Any:
        yield from ()
        return True

    patch.setattr(release.Release, "_is_loaded_anew", always)


def leaked_channel(patch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []

    def forget(self: Any) -> None:
        kept.append(self._open)
        self._open = {}

    patch.setattr(client.BoundedClient, "close", forget)


def secret_in_a_message(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ConnectionSettings, "where", property(lambda self: f"{self.uri} with {self.token.get_secret_value()}"))


def note_that_outlives_its_run(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RetryNotes, "forget", lambda self: None)


def change_sent_twice(patch: pytest.MonkeyPatch) -> None:
    perform = client.BoundedClient.perform

    def twice(self: Any, call: Any, database: str | None = None) -> Any:
        if getattr(call, "name", "") in CHANGES:
            perform(self, call, database)
        return perform(self, call, database)

    patch.setattr(client.BoundedClient, "perform", twice)


def look_that_is_not_repeated(patch: pytest.MonkeyPatch) -> None:
    look, seen = flow._look, {}

    def once(still: Any, lost: Any, deadline: Any) -> Any:
        if id(still) not in seen:
            seen[id(still)] = still, (yield from look(still, lost, deadline))
        return seen[id(still)][1]

    patch.setattr(flow, "_look", once)


def on_kill_that_does_not_ask(patch: pytest.MonkeyPatch) -> None:
    async def killed(self: Any) -> None:
        return None

    patch.setattr(MilvusConditionTrigger, "_why_leave", killed)


def name_for_an_id(patch: pytest.MonkeyPatch) -> None:
    perform = client.BoundedClient.perform

    def by_name(self: Any, call: Any, database: str | None = None) -> Any:
        answer = perform(self, call, database)
        if getattr(call, "name", "") == "DescribeCollection":
            answer.collectionID = zlib.crc32(answer.schema.name.encode())
            answer.created_utc_timestamp = 0
        return answer

    patch.setattr(client.BoundedClient, "perform", by_name)


TEETH = (
    Tooth(
        "an unbounded call", unbounded_call, "MilvusDropCollectionOperator", (ANSWERED,), ("made anew",), "without a deadline"
    ),
    Tooth(
        "a swallowed error",
        swallowed_error,
        "MilvusDropCollectionOperator",
        (TRIES_NOT_CARRIED_OUT,),
        ("rows deleted",),
        "",
    ),
    Tooth(
        "success before NotLoad",
        success_before_not_load,
        "MilvusReleaseCollectionOperator",
        (NOT_CARRIED_OUT,),
        ("rows deleted",),
        "no order of the two leaves this",
    ),
    Tooth(
        "a secret in an exception",
        secret_in_a_message,
        "MilvusReleaseCollectionOperator",
        (TRIES_NOT_CARRIED_OUT,),
        ("rows deleted",),
        "a secret",
    ),
    Tooth(
        "a note that outlives its run",
        note_that_outlives_its_run,
        "MilvusDropCollectionOperator",
        (ANSWERED,),
        ("made anew",),
        "notes for a retry",
    ),
    Tooth(
        "a change sent twice",
        change_sent_twice,
        "MilvusReleaseCollectionOperator",
        ("before the last look",),
        ("rows deleted",),
        "was answered, and sent again",
    ),
    Tooth(
        "a look that is not repeated",
        look_that_is_not_repeated,
        "MilvusReleaseCollectionOperator",
        (NOT_CARRIED_OUT, NOT_TAKEN),
        ("alias added",),
        "taken out of memory",
    ),
    Tooth(
        "an on_kill that does not ask",
        on_kill_that_does_not_ask,
        "MilvusLoadCollectionOperator, deferred and taken over by another triggerer, release_on_kill",
        (ANSWERED, BETWEEN_TASKS),
        ("rows deleted",),
        "taken back",
    ),
    Tooth(
        "a name for an id",
        name_for_an_id,
        "MilvusDropCollectionOperator",
        (ANSWERED, NOT_CARRIED_OUT),
        ("made anew",),
        "",
    ),
)


@pytest.fixture(scope="module", autouse=True)
def airflow() -> Iterator[None]:
    with without_airflow():
        yield


@pytest.mark.parametrize("tooth", TEETH, ids=lambda tooth: tooth.bug)
def test_a_bug_that_is_put_in_is_caught(tooth: Tooth, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is right, and the orders to compare with, come from the sound provider."""
    before = tooth.words()

    with monkeypatch.context() as patch:
        tooth.put_in(patch)
        found = tooth.words()

    assert found - before, f"{len(tooth.cases())} cases, and none of them shows {tooth.bug}"


def test_a_leaked_channel_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    task = ("MilvusDropCollectionOperator", "2.3.5")
    undisturbed.__wrapped__(*task)

    leaked_channel(monkeypatch)
    with pytest.raises(AssertionError, match="leaves 1 channels"):
        undisturbed.__wrapped__(*task)
