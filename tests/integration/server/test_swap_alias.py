"""Swapping an alias on real servers, with searches going on; and what becomes of the old collection."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_milvus.exceptions import (
    MilvusAliasMovedError,
    MilvusCollectionNotFoundError,
    MilvusDatabaseNotFoundError,
    MilvusError,
    MilvusInvalidArgumentError,
    MilvusRefusedError,
    MilvusTimeoutError,
)
from airflow_provider_milvus.operators.milvus import MilvusDropCollectionOperator, MilvusSwapAliasOperator
from dev.servers.scripted import LOADED, ScriptedMilvus, abort, unanswered
from tests.integration.ingest.task_state import TaskState, a_try
from tests.integration.support import (
    MakeCollection,
    Milvus,
    deferral,
    eventually,
    finish,
    load_all,
    resume,
    search_as_alias_moves,
)

ALIAS = "live_docs"


def swap(name: str, *, context: Any = None, **arguments: Any) -> dict[str, Any]:
    operator = MilvusSwapAliasOperator(task_id="swap", alias=ALIAS, collection_name=name, **{"poll_interval": 0.1, **arguments})
    result: dict[str, Any] = finish(operator, context)
    return result


def target(client: Any) -> str | None:
    """Where the alias points, in the server's own words."""
    aliases = client.list_aliases()["aliases"]
    return str(client.describe_alias(ALIAS)["collection_name"]) if ALIAS in aliases else None


@pytest.fixture
def two(milvus: Milvus, make_collection: MakeCollection) -> Iterator[tuple[str, str]]:
    """Two collections that are not in memory; the alias is gone afterwards."""
    yield make_collection("old"), make_collection("new")
    with milvus.plain_client() as client:
        if ALIAS in client.list_aliases()["aliases"]:
            client.drop_alias(ALIAS)


class TestSwap:
    def test_points_the_alias_to_the_new_collection(self, milvus: Milvus, two: tuple[str, str]) -> None:
        old, new = two

        first = swap(old, require_loaded=False)
        second = swap(new, require_loaded=False)
        third = swap(new, require_loaded=False)

        with milvus.plain_client() as client:
            assert target(client) == new
        for result in (first, second, third):
            assert result.pop("seconds") < 30
        same = {"alias": ALIAS, "database": "default"}
        assert first == {**same, "collection": old, "old": None, "changed": True, "old_is": None}
        assert second == {**same, "collection": new, "old": old, "changed": True, "old_is": "kept"}
        assert third == {**same, "collection": new, "old": None, "changed": False, "old_is": None}

    def test_is_refused_and_nothing_is_changed(self, milvus: Milvus, two: tuple[str, str]) -> None:
        old, new = two
        swap(old, require_loaded=False)

        with pytest.raises(MilvusRefusedError, match=f"'{new}' is NotLoad"):
            swap(new)
        with pytest.raises(MilvusRefusedError, match=f"points to '{old}', but expected_old is '{new}'"):
            swap(new, require_loaded=False, expected_old=new)
        with pytest.raises(MilvusRefusedError, match="is an alias of the collection"):
            swap(ALIAS, require_loaded=False)
        with pytest.raises(MilvusCollectionNotFoundError, match="nowhere"):
            swap("nowhere", require_loaded=False)
        with pytest.raises(MilvusDatabaseNotFoundError):
            swap(new, require_loaded=False, database="nowhere")
        with pytest.raises(MilvusInvalidArgumentError, match="grace_period"):
            swap(new, require_loaded=False, grace_period="soon")

        with milvus.plain_client() as client:
            assert target(client) == old

    def test_of_a_collections_name_is_refused(self, milvus: Milvus, two: tuple[str, str]) -> None:
        old, new = two
        with pytest.raises(MilvusRefusedError, match=f"'{old}' was not created: it is the name of a collection"):
            MilvusSwapAliasOperator(task_id="swap", alias=old, collection_name=new, require_loaded=False).execute({})

    @pytest.mark.parametrize("deferrable", [False, True])
    def test_drops_the_old_one_after_the_grace_period(self, milvus: Milvus, two: tuple[str, str], deferrable: bool) -> None:
        old, new = two
        swap(old, require_loaded=False)
        began = time.monotonic()

        result = swap(new, require_loaded=False, grace_period=0.5, then="drop", deferrable=deferrable)

        assert time.monotonic() - began >= 0.5
        assert (result["old"], result["old_is"]) == (old, "dropped")
        with milvus.plain_client() as client:
            assert target(client) == new
            assert not client.has_collection(old)

    @pytest.mark.parametrize("deferrable", [False, True])
    def test_that_is_taken_back_in_the_grace_period_drops_nothing(
        self, milvus: Milvus, two: tuple[str, str], deferrable: bool
    ) -> None:
        old, new = two
        swap(old, require_loaded=False)

        def roll_back() -> None:
            with milvus.plain_client() as client:
                eventually(lambda: target(client) == new)
                client.alter_alias(old, ALIAS)

        person = threading.Thread(target=roll_back)
        person.start()
        # It ends with the alias, long before the grace period is over.
        with pytest.raises(MilvusAliasMovedError, match=f"'{old}' was left as it is.*points to '{old}'"):
            swap(new, require_loaded=False, grace_period=600, then="drop", deferrable=deferrable)
        person.join()

        with milvus.plain_client() as client:
            assert target(client) == old
            assert {old, new} <= set(client.list_collections())

    def test_keeps_an_old_one_that_another_alias_points_to(self, milvus: Milvus, two: tuple[str, str]) -> None:
        """Milvus Lite does not tell of aliases when it describes a collection."""
        old, new = two
        swap(old, require_loaded=False)
        with milvus.plain_client() as client:
            client.create_alias(old, "yesterday")

            result = swap(new, require_loaded=False, then="drop")

            assert (result["old_is"], result["reason"]) == ("kept", result["reason"])
            assert "it has the alias 'yesterday'" in result["reason"]
            assert client.has_collection(old)
            client.drop_alias("yesterday")


def searched(client: Any, name: str) -> Any:
    from pymilvus.exceptions import MilvusException

    try:
        return client.search(name, [[0.5] * 8], limit=5)[0]
    except MilvusException:
        return None


@pytest.mark.standalone
@pytest.mark.newest
class TestWithSearches:
    def test_no_search_fails_twice_and_the_old_one_leaves_memory(
        self, standalone: Milvus, make_collection: MakeCollection
    ) -> None:
        old, new = make_collection("old"), make_collection("new")
        with standalone.plain_client() as client:
            load_all(client, [old, new])
            for name in (old, new):
                # For a moment 2.3.5 may say Loaded of a collection and refuse to search it.
                eventually(lambda name=name: bool(searched(client, name)))
        swap(old)
        failures: list[str] = []
        hits: list[int] = []
        done = threading.Event()

        def search() -> None:
            with standalone.plain_client() as client:
                while not done.is_set():
                    try:
                        hits.append(len(search_as_alias_moves(client, ALIAS, data=[[0.5] * 8], limit=5)))
                    except Exception as error:  # Whatever it is, it is what a user would have seen.
                        failures.append(f"after {len(hits)}: {error}")

        searchers = [threading.Thread(target=search) for _ in range(3)]
        for searcher in searchers:
            searcher.start()
        try:
            for name in (new, old) * 5:
                assert swap(name)["changed"]
            # For what was under way when the alias moved.
            result = swap(new, grace_period=1, then="release")
            seen = len(hits)
            eventually(lambda: len(hits) > seen + 20, patience=60)
        finally:
            done.set()
            for searcher in searchers:
                searcher.join()

        assert failures == []
        assert set(hits) == {5}
        assert (result["old"], result["old_is"]) == (old, "released")
        assert (standalone.state_of(old), standalone.state_of(new)) == ("NotLoad", "Loaded")
        with standalone.plain_client() as client:
            client.drop_alias(ALIAS)


@pytest.fixture
def docs(scripted: ScriptedMilvus) -> ScriptedMilvus:
    scripted.add("docs_1", LOADED, aliases=[ALIAS])
    scripted.add("docs_2", LOADED)
    return scripted


class TestRetry:
    def test_still_knows_the_old_one(self, docs: ScriptedMilvus) -> None:
        state = TaskState()
        docs.next("AlterAlias", unanswered)
        with pytest.raises(MilvusTimeoutError):
            swap("docs_2", then="release", timeout=1, context=a_try(state))
        assert docs.collections["docs_2"].aliases == [ALIAS]

        result = swap("docs_2", then="release", context=a_try(state))

        assert (result["old"], result["changed"], result["old_is"]) == ("docs_1", True, "released")
        assert state.kept == {}

    def test_waits_for_what_is_left_of_the_grace_period(self, docs: ScriptedMilvus) -> None:
        state = TaskState()
        operator = MilvusSwapAliasOperator(
            task_id="swap", alias=ALIAS, collection_name="docs_2", grace_period=30, then="drop", deferrable=True
        )
        first = deferral(operator, a_try(state))
        again = deferral(operator, a_try(state))

        assert again.trigger.condition["until"] == pytest.approx(first.trigger.condition["until"], abs=0.2)

    def test_drops_what_the_first_try_did_not_come_to(self, docs: ScriptedMilvus) -> None:
        state = TaskState()
        docs.next("DropCollection", *[abort("UNAVAILABLE")] * 9)
        with pytest.raises(MilvusError, match="'docs_1' may not have been dropped"):
            swap("docs_2", then="drop", timeout=0.5, context=a_try(state))
        assert set(docs.collections) == {"docs_1", "docs_2"}

        result = swap("docs_2", then="drop", context=a_try(state))

        assert (result["old"], result["old_is"]) == ("docs_1", "dropped")
        assert list(docs.collections) == ["docs_2"]

    def test_of_another_run_knows_nothing(self, docs: ScriptedMilvus) -> None:
        docs.next("AlterAlias", unanswered)
        with pytest.raises(MilvusTimeoutError):
            swap("docs_2", then="drop", timeout=1, context=a_try(TaskState()))

        result = swap("docs_2", then="drop", context=a_try(TaskState()))

        assert (result["old"], result["changed"]) == (None, False)
        assert "docs_1" in docs.collections

    def test_waits_in_the_triggerer(self, docs: ScriptedMilvus) -> None:
        operator = MilvusSwapAliasOperator(
            task_id="swap", alias=ALIAS, collection_name="docs_2", grace_period=0.3, then="release", deferrable=True
        )
        waiting = deferral(operator)
        assert waiting.trigger.condition["condition"] == "airflow_provider_milvus.conditions.collection.GraceOver"

        assert resume(operator, waiting)["old_is"] == "released"


@pytest.mark.standalone
def test_takes_over_an_alias_that_a_dropped_collection_has_left(standalone: Milvus, make_collection: MakeCollection) -> None:
    """2.3.5 then says "not found" of the alias, and "already exist" to one that creates it."""
    old, new, next_one = make_collection("old"), make_collection("new"), make_collection("next")
    swap(old, require_loaded=False)
    MilvusDropCollectionOperator(task_id="drop", collection_name=old, drop_aliased=True).execute({})

    first, second = swap(new, require_loaded=False), swap(next_one, require_loaded=False)

    with standalone.plain_client() as client:
        assert str(client.describe_alias(ALIAS)["collection_name"]) == next_one
        client.drop_alias(ALIAS)
    assert (first["changed"], second["old"]) == (True, new)


def test_an_error_of_a_look_at_the_alias_names_the_collection(docs: ScriptedMilvus) -> None:
    docs.always("DescribeAlias", abort("UNAUTHENTICATED"))
    with pytest.raises(MilvusError, match=f"^Alias '{ALIAS}' was not pointed to 'docs_2' by this try. Alias"):
        swap("docs_2")
