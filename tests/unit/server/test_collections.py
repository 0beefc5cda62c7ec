"""Making and dropping collections and indexes as flows: what is asked of the server, and what is never sent."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_milvus.client.flow import Deadline
from airflow_provider_milvus.client.tries import Tries
from airflow_provider_milvus.conditions import GraceOver, IndexBuilt, Observation, Verdict
from airflow_provider_milvus.exceptions import (
    MilvusAliasNotFoundError,
    MilvusCollectionNotFoundError,
    MilvusDatabaseNotFoundError,
    MilvusIndexFailedError,
    MilvusIndexNotFoundError,
    MilvusInDoubtError,
    MilvusRefusedError,
    MilvusSchemaDriftError,
    MilvusServerError,
    MilvusTimeoutError,
    MilvusUnavailableError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.schema.definition import Definition, Index
from airflow_provider_milvus.schema.window_marks import Mark, properties_of
from airflow_provider_milvus.server.collections import CREATED_BY, TRIAL, Created, create, drop
from airflow_provider_milvus.server.indexes import drop_index, submit_index
from tests.unit.play import LOADED, LOADING, NOT_LOAD, Clock, Server, play

pytestmark = pytest.mark.newest

GONE = MilvusCollectionNotFoundError("no such collection")
NO_INDEX = MilvusIndexNotFoundError("no index")
REAL = SimpleNamespace(version="v2.3.5")
SCHEMA = {"fields": [{"name": "id", "type": "INT64", "is_primary": True}, {"name": "vector", "type": "FLOAT_VECTOR", "dim": 8}]}
HNSW = {"field_name": "vector", "index_type": "HNSW", "metric_type": "L2"}
WANTED = Definition.of("docs", SCHEMA, indexes=[HNSW])
CHANGES = {"CreateCollection", "DropCollection", "CreateIndex", "DropIndex", "CreateAlias", "AlterAlias"}


def quiet(words: str) -> None:
    """Nobody reads it."""


class Model(Server):
    """A server with collections and indexes, which keeps what it is given but for what ``answers`` say."""

    def __init__(self, clock: Clock, **answers: Any) -> None:
        self.there: dict[str, Any] = {}
        self.indexes: dict[str, list[Any]] = {}
        self.aliases: dict[str, list[str]] = {}
        self._numbers = 0
        own = {
            "GetVersion": REAL,
            "ShowCollections": None,
            "CreateCollection": self.create,
            "DescribeCollection": self.describe,
            "DropCollection": self.drop,
            "CreateIndex": self.index,
            "DescribeIndex": self.describe_index,
            "ListAliases": lambda call: SimpleNamespace(aliases=self.aliases.get(call.fields["collection_name"], [])),
        }
        super().__init__(clock, **{**own, **answers})

    def create(self, call: Any) -> Any:
        from pymilvus.grpc_gen import milvus_pb2, schema_pb2

        fields = dict(call.fields)
        name = fields["collection_name"]
        if name in self.there:
            return MilvusServerError("create duplicate collection with different parameters")
        self._numbers += 1
        self.there[name] = milvus_pb2.DescribeCollectionResponse(
            schema=schema_pb2.CollectionSchema.FromString(fields["schema"]),
            collectionID=self._numbers,
            consistency_level=fields["consistency_level"],
            shards_num=1,
            num_partitions=1,
            properties=fields["properties"],
        )
        return None

    def describe(self, call: Any) -> Any:
        return self.there.get(call.fields["collection_name"], GONE)

    def drop(self, call: Any) -> None:
        self.there.pop(call.fields["collection_name"], None)
        self.indexes.pop(call.fields["collection_name"], None)

    def index(self, call: Any) -> None:
        fields = call.fields
        params = [SimpleNamespace(**param) for param in fields["extra_params"]]
        self._numbers += 1
        made = SimpleNamespace(
            field_name=fields["field_name"], index_name=fields["index_name"], params=params, indexID=self._numbers
        )
        self.indexes.setdefault(fields["collection_name"], []).append(made)

    def describe_index(self, call: Any) -> Any:
        name = call.fields["collection_name"]
        if name not in self.there:
            return GONE
        return SimpleNamespace(index_descriptions=self.indexes[name]) if self.indexes.get(name) else NO_INDEX

    @property
    def changes(self) -> list[str]:
        return [name for name in self.calls if name in CHANGES]


@pytest.fixture
def model(clock: Clock) -> Callable[..., Model]:
    return lambda **answers: Model(clock, **answers)


def make(server: Model, clock: Clock, definition: Definition = WANTED, **arguments: Any) -> Created:
    made = create(definition, **{"if_exists": "fail", "created_by": "me", "report": quiet, **arguments})
    result: Created = play(made, server, clock)
    return result


class TestCreate:
    def test_makes_a_collection_and_its_indexes(self, clock, model):
        server = model()
        made = make(server, clock)
        assert (made.created, made.replaced, made.indexes_created) == (True, False, ["vector"])
        assert [index.index_type for index in made.indexes] == ["HNSW"]
        assert server.changes == ["CreateCollection", "CreateIndex"]

    def test_leaves_what_exists_alone(self, clock, model):
        server = model()
        make(server, clock, created_by="somebody")
        with pytest.raises(MilvusRefusedError, match=r"'docs' was not created: it exists, created by somebody. Set if_exists"):
            make(server, clock)
        assert server.changes == ["CreateCollection", "CreateIndex"]

    @pytest.mark.parametrize("if_exists", ["fail", "skip", "check"])
    def test_completes_what_an_earlier_try_left_half_made(self, clock, model, if_exists):
        server = model(CreateIndex=[MilvusUnavailableError("gone")])
        with pytest.raises(MilvusUnavailableError):
            play(create(WANTED, if_exists=if_exists, created_by="me", report=quiet), server, clock, Deadline(0.1))
        assert server.indexes == {}
        server._answers["CreateIndex"] = server.index
        made = make(server, clock, if_exists=if_exists)
        assert (made.created, made.indexes_created) == (True, ["vector"])
        assert server.changes.count("CreateCollection") == 1

    def test_does_not_complete_what_somebody_else_left_half_made(self, clock, model):
        server = model()
        make(server, clock, Definition.of("docs", SCHEMA), created_by="somebody")
        assert make(server, clock, if_exists="skip").indexes == []
        with pytest.raises(MilvusRefusedError, match="exists"):
            make(server, clock)
        assert server.changes == ["CreateCollection"]

    def test_takes_its_own_for_its_own_when_the_answer_got_lost(self, clock, model):
        server = model()

        def lose(call: Any) -> Any:
            server.create(call)
            server._answers["CreateCollection"] = server.create
            return MilvusUnavailableError("gone")

        server._answers["CreateCollection"] = lose
        assert make(server, clock).created
        assert server.changes == ["CreateCollection", "CreateIndex"]

    @pytest.mark.parametrize("if_exists", ["fail", "skip"])
    def test_of_two_at_once_only_one_has_made_it(self, clock, model, if_exists):
        server = model()

        def be_late(call: Any) -> Any:
            server.create(SimpleNamespace(fields={**call.fields, "properties": [{"key": CREATED_BY, "value": "somebody"}]}))
            return server.create(call)

        server._answers["CreateCollection"] = be_late
        if if_exists == "skip":
            assert make(server, clock, if_exists="skip") == Created(False)
        else:
            with pytest.raises(MilvusRefusedError, match="created by somebody"):
                make(server, clock)
        assert list(server.there) == ["docs"]

    def test_drops_what_the_server_did_not_keep(self, clock, model):
        server = model()

        def forget(call: Any) -> None:
            server.create(call)
            server.there["docs"].schema.fields[1].nullable = False

        server._answers["CreateCollection"] = forget
        schema = {"fields": [SCHEMA["fields"][0], {**SCHEMA["fields"][1], "nullable": True}]}
        with pytest.raises(MilvusUnsupportedError, match="field 'vector': nullable is False, not True"):
            make(server, clock, Definition.of("docs", schema))
        assert server.there == {}

    def test_drops_what_it_made_when_the_index_is_refused(self, clock, model):
        server = model(CreateIndex=MilvusServerError("invalid index type: HSNW"))
        with pytest.raises(MilvusServerError, match="HSNW"):
            make(server, clock)
        assert server.there == {}

    def test_does_not_drop_what_an_earlier_try_made_when_the_index_is_refused_now(self, clock, model):
        """It may have been written to since."""
        server = model()
        make(server, clock, Definition.of("docs", SCHEMA))
        server._answers["CreateIndex"] = MilvusServerError("invalid index type: HSNW")
        with pytest.raises(MilvusServerError, match="HSNW"):
            make(server, clock)
        assert list(server.there) == ["docs"]

    def test_says_what_was_not_seen_in_time(self, clock, model):
        server = model(CreateIndex=None)
        with pytest.raises(MilvusTimeoutError, match="Not every index of 'docs' was seen on the server: Not done within 60 s"):
            make(server, clock)


class TestCheck:
    def test_creates_only_the_indexes_that_are_missing(self, clock, model):
        server = model()
        make(server, clock, created_by="somebody")
        two = Definition.of("docs", SCHEMA, indexes=[HNSW, {"field_name": "id", "index_type": "STL_SORT"}])
        made = make(server, clock, two, if_exists="check")
        assert (made.created, made.indexes_created) == (False, ["id"])
        assert sorted(index.name for index in made.indexes) == ["id", "vector"]

    def test_names_all_that_differs_and_changes_nothing(self, clock, model):
        server = model()
        make(server, clock, created_by="somebody")
        schema = {"fields": [*SCHEMA["fields"], {"name": "text", "type": "VARCHAR", "max_length": 9}]}
        more = [{"field_name": "id", "index_type": "STL_SORT"}, {**HNSW, "metric_type": "COSINE"}]
        definition = Definition.of("docs", schema, indexes=more, properties={"owner": "search"})
        with pytest.raises(MilvusSchemaDriftError) as refused:
            make(server, clock, definition, if_exists="check")
        for difference in ("field 'text' (VARCHAR) is missing", "property: owner is not set", "metric_type is L2, not COSINE"):
            assert difference in str(refused.value)
        assert server.changes == ["CreateCollection", "CreateIndex"]

    def test_takes_an_index_of_another_name_for_a_difference(self, clock, model):
        server = model()
        make(server, clock, created_by="somebody")
        with pytest.raises(MilvusSchemaDriftError, match="index_name is vector, not mine"):
            make(server, clock, Definition.of("docs", SCHEMA, indexes=[{**HNSW, "index_name": "mine"}]), if_exists="check")

    def test_knows_several_indexes_of_one_json_field_by_their_names(self, clock, model):
        schema = {"fields": [*SCHEMA["fields"], {"name": "more", "type": "JSON"}]}
        paths = [
            {
                "field_name": "more",
                "index_type": "INVERTED",
                "index_name": name,
                "index_params": {"json_path": f"more['{name}']"},
            }
            for name in ("a", "b")
        ]
        server = model()
        make(server, clock, Definition.of("docs", schema, indexes=paths[:1]), created_by="somebody")
        made = make(server, clock, Definition.of("docs", schema, indexes=paths), if_exists="check")
        assert made.indexes_created == ["b"]


class TestReplace:
    def test_tries_the_definition_under_another_name_first(self, clock, model):
        server = model()
        make(server, clock, created_by="somebody")
        made = make(server, clock, if_exists="replace")
        assert (made.created, made.replaced) == (True, True)
        assert server.there["docs"].collectionID == 5
        dropped = [call["collection_name"] for call in server.sent("DropCollection")]
        assert dropped == [f"{TRIAL}docs", "docs"]
        assert list(server.there) == ["docs"]

    def test_drops_nothing_for_a_definition_that_the_server_refuses(self, clock, model):
        server = model()
        make(server, clock, created_by="somebody")
        before = server.there["docs"]
        server._answers["CreateIndex"] = MilvusServerError("invalid index type: HSNW")
        with pytest.raises(MilvusServerError, match="HSNW"):
            make(server, clock, if_exists="replace")
        assert server.there == {"docs": before}

    def test_refuses_an_aliased_one_until_it_is_allowed(self, clock, model):
        server = model()
        make(server, clock, created_by="somebody")
        server.aliases["docs"] = ["live"]
        with pytest.raises(MilvusRefusedError, match="has the alias 'live'"):
            make(server, clock, if_exists="replace")
        assert server.changes == ["CreateCollection", "CreateIndex"]
        assert make(server, clock, if_exists="replace", drop_aliased=True).replaced

    def test_clears_away_a_trial_that_a_killed_task_left(self, clock, model):
        server = model()
        make(server, clock, created_by="somebody")
        make(server, clock, Definition.of(f"{TRIAL}docs", SCHEMA), created_by=f"{TRIAL}somebody")
        make(server, clock, if_exists="replace")
        assert list(server.there) == ["docs"]

    def test_does_not_drop_what_only_has_the_name_of_a_trial(self, clock, model):
        server = model()
        make(server, clock, created_by="somebody")
        make(server, clock, Definition.of(f"{TRIAL}docs", SCHEMA), created_by="a user")
        with pytest.raises(MilvusRefusedError, match=r"Nothing was replaced: .*somebody else has created"):
            make(server, clock, if_exists="replace")
        assert set(server.there) == {"docs", f"{TRIAL}docs"}

    def test_of_what_somebody_else_has_dropped_meanwhile_is_a_creation(self, clock, model):
        server = model()
        make(server, clock, created_by="somebody")

        def drop_both(call: Any) -> None:
            server.drop(call)
            server.there.pop("docs")

        server._answers["DropCollection"] = drop_both
        made = make(server, clock, if_exists="replace")
        assert (made.created, made.replaced) == (True, False)
        assert [call["collection_name"] for call in server.sent("DropCollection")] == [f"{TRIAL}docs"]

    def test_does_not_drop_what_somebody_has_made_in_between(self, clock, model):
        server = model()
        make(server, clock, created_by="somebody")

        def be_overtaken(call: Any) -> Any:
            if call.fields["collection_name"] == "docs":
                server.create(SimpleNamespace(fields={**call.fields, "properties": []}))
            return server.create(call)

        server._answers["CreateCollection"] = be_overtaken
        with pytest.raises(
            MilvusRefusedError, match=r"the one before was dropped, and there is another one since\. Another run"
        ):
            make(server, clock, if_exists="replace")
        assert server.there["docs"].collectionID == 5

    @pytest.mark.parametrize("made_before", [False, True])
    def test_tells_what_an_earlier_try_has_dropped(self, clock, model, made_before):
        server = model()
        if made_before:
            make(server, clock)
        made = make(server, clock, if_exists="replace", tries=Tries({"created_by": "me", "replacing": 1, "dropping": True}))
        assert (made.created, made.replaced) == (True, True)

    def test_makes_what_does_not_exist(self, clock, model):
        server = model()
        assert make(server, clock, if_exists="replace") == Created(
            True, False, [Index("vector", "HNSW", "L2", {}, "vector")], ["vector"]
        )
        assert server.changes == ["CreateCollection", "CreateIndex"]


class TestDrop:
    def drop(self, server: Model, clock: Clock, name: str = "docs", **arguments: Any) -> bool:
        result: bool = play(drop(name, **{"report": quiet, **arguments}), server, clock)
        return result

    def test_refuses_an_alias(self, clock, model):
        server = model(DescribeCollection=SimpleNamespace(schema=SimpleNamespace(name="docs_1"), collection_name="docs"))
        with pytest.raises(MilvusRefusedError, match="'docs' is an alias of the collection 'docs_1'"):
            self.drop(server, clock, drop_aliased=True)
        assert server.changes == []

    def test_of_nothing_fails_or_is_skipped(self, clock, model):
        with pytest.raises(MilvusCollectionNotFoundError, match="'docs' was not dropped: it does not exist"):
            self.drop(model(), clock)
        assert self.drop(model(), clock, skip_if_missing=True) is False

    def test_of_a_missing_database_always_fails(self, clock, model):
        server = model(ShowCollections=MilvusDatabaseNotFoundError("no database"))
        with pytest.raises(MilvusDatabaseNotFoundError):
            self.drop(server, clock, skip_if_missing=True)

    def test_is_sent_again_when_it_was_lost(self, clock, model):
        server = model()
        make(server, clock)
        server._answers["DropCollection"] = [MilvusUnavailableError("gone"), server.drop]
        assert self.drop(server, clock) is True

    def test_in_which_somebody_else_was_quicker_is_theirs(self, clock, model):
        def somebody(call: Any) -> Any:
            found = server.describe(call)
            if server.calls.count("DescribeCollection") == looks + 2:
                server.there.clear()
            return found

        for skip_if_missing in (False, True):
            server = model()
            make(server, clock)
            looks = server.calls.count("DescribeCollection")
            server._answers["DescribeCollection"] = somebody
            if skip_if_missing:
                assert self.drop(server, clock, skip_if_missing=True) is False
            else:
                with pytest.raises(MilvusCollectionNotFoundError, match="Somebody else has dropped it just now"):
                    self.drop(server, clock)
            assert "DropCollection" not in server.changes

    def test_is_not_sent_again_to_what_has_been_made_since(self, clock, model):
        server = model()
        make(server, clock)

        def lose(call: Any) -> Any:
            server.drop(call)
            server.create(SimpleNamespace(fields={**server.sent("CreateCollection")[0]}))
            return MilvusTimeoutError("no answer")

        server._answers["DropCollection"] = lose
        assert self.drop(server, clock) is True
        assert server.changes.count("DropCollection") == 1
        assert server.there["docs"].collectionID == 3

    @pytest.mark.parametrize("collection_id", [0, 1])
    def test_in_a_retry_is_in_doubt_where_nothing_tells_one_collection_from_another(self, clock, model, collection_id):
        server = model()
        make(server, clock)
        server.there["docs"].collectionID = collection_id
        if collection_id:
            assert self.drop(server, clock, tries=Tries(collection_id)) is True
            return
        with pytest.raises(MilvusInDoubtError, match="may have been dropped: an earlier try of this task has sent its drop"):
            self.drop(server, clock, tries=Tries(collection_id))
        assert list(server.there) == ["docs"]

    def test_stops_when_a_window_opens_after_its_first_look(self, clock, model):
        server = model()
        make(server, clock)

        def lists_aliases(call: Any) -> Any:
            docs = deepcopy(server.there["docs"])
            for key, value in properties_of({"dag/load/1": Mark(4e9, True)}).items():
                docs.properties.add(key=key, value=value)
            server.there["docs"] = docs
            return SimpleNamespace(aliases=[])

        server._answers["ListAliases"] = lists_aliases
        with pytest.raises(MilvusRefusedError, match=r"a window .* was opened while this task worked"):
            self.drop(server, clock)
        assert list(server.there) == ["docs"]

    def test_stops_when_it_is_given_an_alias_meanwhile(self, clock, model):
        server = model()
        make(server, clock)

        def be_swapped(call: Any) -> Any:
            server.aliases["docs"] = ["live"]
            return MilvusUnavailableError("gone")

        server._answers["DropCollection"] = be_swapped
        with pytest.raises(MilvusRefusedError, match="has the alias 'live'"):
            self.drop(server, clock)
        assert list(server.there) == ["docs"]

    def test_notes_before_it_sends(self, clock, model):
        server = model()
        make(server, clock)
        before: list[list[int | str]] = []
        self.drop(server, clock, tries=Tries(note=lambda id: before.append([id, *server.changes])))
        assert before == [[1, "CreateCollection", "CreateIndex"]]

    def test_that_never_shows_says_so(self, clock, model):
        server = model(DropCollection=None)
        make(server, clock)
        with pytest.raises(MilvusTimeoutError, match="has answered the drop of collection 'docs', and shows it still"):
            self.drop(server, clock)


class TestSubmitIndex:
    def submit(self, server: Model, clock: Clock, **arguments: Any) -> tuple[IndexBuilt, bool]:
        requested = Index.of(arguments.pop("requested", HNSW))
        flow = submit_index("docs", requested, **{"if_exists": "skip", "report": quiet, **arguments})
        result: tuple[IndexBuilt, bool] = play(flow, server, clock)
        return result

    @pytest.fixture
    def server(self, clock, model):
        server = model()
        make(server, clock, Definition.of("docs", SCHEMA))
        return server

    def test_asks_for_what_is_missing(self, clock, server):
        assert self.submit(server, clock) == (IndexBuilt("docs", "vector", "vector"), True)
        assert self.submit(server, clock) == (IndexBuilt("docs", "vector", "vector"), False)
        assert server.changes.count("CreateIndex") == 1

    def test_waits_for_the_one_that_is_there_by_its_own_name(self, clock, server):
        self.submit(server, clock, requested={**HNSW, "index_name": "theirs"})
        assert self.submit(server, clock) == (IndexBuilt("docs", "vector", "theirs"), False)

    def test_refuses_one_that_is_there(self, clock, server):
        self.submit(server, clock)
        with pytest.raises(MilvusRefusedError, match=r"has the index 'vector' \(HNSW\)"):
            self.submit(server, clock, if_exists="fail")
        with pytest.raises(MilvusSchemaDriftError, match="metric_type is L2, not IP"):
            self.submit(server, clock, if_exists="check", requested={**HNSW, "metric_type": "IP"})

    def test_takes_its_own_of_an_earlier_try(self, clock, server):
        self.submit(server, clock)
        assert self.submit(server, clock, if_exists="fail", tries=Tries(True))[1] is False
        with pytest.raises(MilvusRefusedError):
            self.submit(server, clock, if_exists="fail", tries=Tries(True), requested={**HNSW, "metric_type": "IP"})

    def test_names_the_fields_there_are(self, clock, server):
        from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError

        with pytest.raises(MilvusInvalidArgumentError, match="has no field 'vektor'; it has id, vector"):
            self.submit(server, clock, requested={"field_name": "vektor"})

    def test_meets_its_own_when_the_answer_got_lost(self, clock, server):
        def lose(call: Any) -> Any:
            server.index(call)
            server._answers["CreateIndex"] = MilvusServerError("index already exists")
            return MilvusUnavailableError("gone")

        server._answers["CreateIndex"] = lose
        assert self.submit(server, clock)[1] is True


class TestDropIndex:
    def drop(self, server: Model, clock: Clock, **arguments: Any) -> list[str]:
        result: list[str] = play(drop_index("docs", **{"report": quiet, **arguments}), server, clock)
        return result

    @pytest.fixture
    def server(self, clock, model):
        server = model(GetLoadState=NOT_LOAD)
        server._answers["DropIndex"] = lambda call: server.indexes.pop("docs")
        make(server, clock, Definition.of("docs", SCHEMA, indexes=[{**HNSW, "index_name": "by_vector"}]))
        return server

    @pytest.mark.parametrize("named", [{"field_name": "vector"}, {"index_name": "by_vector"}])
    def test_finds_it_by_its_field_or_its_name(self, clock, server, named):
        assert self.drop(server, clock, **named) == ["by_vector"]
        assert server.sent("DropIndex") == [{"collection_name": "docs", "index_name": "by_vector"}]

    def test_of_nothing_fails_or_is_skipped(self, clock, server):
        """Milvus 2.3.5 drops an index that does not exist without a word."""
        with pytest.raises(MilvusIndexNotFoundError, match="'docs' has no index 'theirs'"):
            self.drop(server, clock, index_name="theirs")
        assert self.drop(server, clock, field_name="id", skip_if_missing=True) == []
        assert "DropIndex" not in server.calls

    @pytest.mark.parametrize(("state", "state_name"), [(LOADED, "Loaded"), (LOADING, "Loading")])
    def test_of_a_collection_in_memory_is_refused(self, clock, server, state, state_name):
        server._answers |= {"GetLoadState": state, "GetLoadingProgress": SimpleNamespace(progress=0, refresh_progress=0)}
        with pytest.raises(MilvusRefusedError, match=f"'docs' is {state_name}.*Release it first"):
            self.drop(server, clock, field_name="vector")
        assert "DropIndex" not in server.calls

    def test_does_not_guess_which_of_several(self, clock, server):
        server.indexes["docs"] = [
            SimpleNamespace(field_name="more", index_name=name, params=[], indexID=1) for name in ("a", "b")
        ]
        with pytest.raises(MilvusRefusedError, match=r"has a, b\. Name one with index_name"):
            self.drop(server, clock, field_name="more")


def index(field: str, state: int, rows: tuple[int, int, int] = (0, 0, 0), reason: str = "") -> SimpleNamespace:
    """An index as DescribeIndex tells it; rows are all, indexed, pending."""
    total, indexed, pending = rows
    return SimpleNamespace(
        field_name=field,
        index_name=field,
        state=state,
        total_rows=total,
        indexed_rows=indexed,
        pending_index_rows=pending,
        index_state_fail_reason=reason,
    )


class TestIndexBuilt:
    def look(self, clock: Clock, *indexes: SimpleNamespace, **which: str) -> Observation:
        server = Server(DescribeIndex=SimpleNamespace(index_descriptions=list(indexes)))
        result: Observation = play(IndexBuilt("docs", **which).look(), server, clock)
        assert server.asked == [("DescribeIndex", {"collection_name": "docs"})]
        return result

    def test_the_names_of_index_states_stand_at_milvus_numbers(self):
        from pymilvus.grpc_gen import common_pb2

        from airflow_provider_milvus.conditions.collection import _STATES

        assert {name: number for number, name in enumerate(_STATES)} == {
            name.removeprefix("IndexState"): number for name, number in common_pb2.IndexState.items()
        }

    @pytest.mark.parametrize(
        ("listed", "expected"),
        [
            (index("v", 3), Observation(Verdict.MET, "Finished", 100)),
            (index("v", 3, (500, 500, 0)), Observation(Verdict.MET, "Finished", 100)),
            (index("v", 2, (20_000, 500, 19_500)), Observation(Verdict.NOT_YET, "InProgress", 2)),
            (index("v", 1, (20_000, 0, 20_000)), Observation(Verdict.NOT_YET, "Unissued", 0)),
            (index("v", 5, (20_000, 0, 20_000)), Observation(Verdict.NOT_YET, "Retry", 0)),
            (index("v", 3, (40_000, 20_000, 20_000)), Observation(Verdict.NOT_YET, "InProgress", 50)),
        ],
        ids=str,
    )
    def test_is_finished_and_without_a_pending_row(self, clock, listed, expected):
        assert self.look(clock, listed) == expected

    def test_fails_with_the_servers_reason(self, clock):
        server = Server(DescribeIndex=SimpleNamespace(index_descriptions=[index("v", 4, reason="no disk")]))
        from airflow_provider_milvus.conditions import wait_for

        with pytest.raises(MilvusIndexFailedError, match="Every index of 'docs' is Failed: the server says: no disk"):
            play(wait_for(IndexBuilt("docs"), Deadline(9), poll_interval=1), server, clock)

    def test_is_of_those_that_were_named(self, clock):
        two = index("v", 3), index("id", 2, (9, 0, 9))
        assert self.look(clock, *two).verdict is Verdict.NOT_YET
        assert self.look(clock, *two, field_name="v").verdict is Verdict.MET
        assert self.look(clock, *two, index_name="id").verdict is Verdict.NOT_YET
        assert self.look(clock, *two, index_name="other") == Observation(Verdict.NOT_YET, "NotExist")

    def test_waits_for_an_index_but_not_for_a_collection(self, clock):
        assert play(IndexBuilt("docs").look(), Server(DescribeIndex=NO_INDEX), clock).state == "NotExist"
        with pytest.raises(MilvusCollectionNotFoundError):
            play(IndexBuilt("docs").look(), Server(DescribeIndex=GONE, DescribeCollection=GONE, ShowCollections=None), clock)


class TestGraceOver:
    @pytest.mark.parametrize(
        ("answer", "until", "expected"),
        [
            (SimpleNamespace(collection="docs_2"), 4e9, Observation(Verdict.NOT_YET, "Running")),
            (SimpleNamespace(collection="docs_2"), 1.0, Observation(Verdict.MET, "Over")),
            (SimpleNamespace(collection="docs_1"), 4e9, Observation(Verdict.MET, "Moved")),
            (MilvusAliasNotFoundError("no alias"), 4e9, Observation(Verdict.MET, "Moved")),
        ],
        ids=str,
    )
    def test_ends_with_the_time_or_with_the_alias(self, clock, answer, until, expected):
        assert play(GraceOver("docs_2", "docs", until).look(), Server(DescribeAlias=answer), clock) == expected
