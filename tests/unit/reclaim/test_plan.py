"""A plan travels as JSON, is checked when it is read back, and is compared with the server when it is carried out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from airflow_provider_milvus.reclaim.inventory import CollectionState, Memory
from airflow_provider_milvus.reclaim.plan import PlannedRelease, read_plan, reason_to_keep, released_before
from airflow_provider_milvus.reclaim.policy import Decision

DOCS = PlannedRelease("default", "docs", 7, "matches '*'", 1024, "measured", ("live",), 12.0)


def entry(**other: Any) -> dict[str, Any]:
    return {"database": "default", "collection": "docs", "collection_id": 7, "reason": "matches '*'", **other}


class TestPlan:
    def test_is_made_of_decisions(self):
        subject = CollectionState(
            "default", "docs", "Loaded", ("live",), collection_id=7, memory=Memory(1024, "measured"), rows=5
        )
        assert PlannedRelease.of(Decision(subject, True, "matches '*'"), 12.0) == DOCS

    def test_comes_back_as_it_was(self):
        small = PlannedRelease("books", "tmp", None, "matches 'tmp'")
        assert read_plan(json.loads(json.dumps([planned.as_dict() for planned in (DOCS, small)]))) == [DOCS, small]

    def test_leaves_out_what_is_not_known(self):
        assert list(PlannedRelease("books", "tmp", None, "why").as_dict()) == ["database", "collection", "reason", "source"]

    def test_keeps_counts_of_zero(self):
        small = PlannedRelease("books", "tmp", 0, "why", 0, "measured", (), 0.0)
        assert read_plan([small.as_dict()]) == [small]

    def test_with_no_entries_is_one(self):
        assert read_plan([]) == []

    def test_gives_back_the_collections_it_would_release(self):
        assert DOCS.subject.key == DOCS.key
        assert (DOCS.subject.memory, DOCS.subject.aliases) == (Memory(1024, "measured"), ("live",))

    def test_that_names_a_collection_twice_takes_the_last_entry(self):
        plan = read_plan([entry(), entry(collection="other"), entry(collection_id=8)])
        assert [(planned.collection, planned.collection_id) for planned in plan] == [("docs", 8), ("other", 7)]

    def test_may_have_more_keys_than_this_version_knows(self):
        assert read_plan([entry(mood="cold")]) == read_plan([entry()])


@pytest.mark.parametrize(
    "garbage",
    [
        None,
        "[]",
        "[{'database': 'default'}]",
        5,
        {},
        entry(),
        [None],
        ["docs"],
        [[entry()]],
        [{}],
        [{"collection": "docs"}],
        [{"database": "default", "collection": "docs"}],
        [entry(), entry(collection=None)],
        [entry(collection="")],
        [entry(collection=["docs"])],
        [entry(database=5)],
        [entry(database="")],
        [entry(reason=None)],
        [entry(source=3)],
        [entry(aliases=None)],
        [entry(aliases=5)],
        [entry(aliases=[["live"]])],
        [entry(collection_id="7")],
        [entry(bytes="64GiB")],
        [entry(bytes=[])],
        [entry(attempts="12")],
        [entry(attempts={})],
    ],
)
def test_what_is_no_plan_is_refused(garbage):
    with pytest.raises(ValueError, match=r"^(it is not|an entry|the entry)"):
        read_plan(garbage)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(
        st.lists(inner), st.dictionaries(st.sampled_from(["database", "collection", "reason", "bytes", "aliases"]), inner)
    ),
    max_leaves=8,
)


SPOILT = st.builds(lambda key, value: entry(**{key: value}), st.sampled_from([*entry(), "bytes", "aliases"]), JSON)


@given(st.one_of(JSON, st.lists(SPOILT)))
def test_whatever_is_not_refused_can_be_carried_out_and_shown(read):
    try:
        plan = read_plan(read)
    except ValueError:
        return
    for planned in plan:
        assert all(isinstance(name, str) and name for name in planned.key)
        assert (planned.bytes or 0) + 1
        json.dumps(planned.as_dict())
    assert len({planned.key for planned in plan}) == len(plan)


class TestReasonToKeep:
    def reason(self, entry: PlannedRelease, *, keep_aliased: bool = True, **now: Any) -> str | None:
        state = {"collection_id": 7, "aliases": [], "properties": {}, "windows": 0, **now}
        return reason_to_keep(entry, keep_aliased=keep_aliased, **state)

    PLAIN = PlannedRelease("default", "docs", 7, "why")

    def test_nothing_has_changed(self):
        assert self.reason(self.PLAIN) is None
        assert self.reason(self.PLAIN, properties={"collection.ttl.seconds": "5", "airflow.reclaim": " "}) is None

    def test_it_was_dropped_and_created_again(self):
        assert self.reason(self.PLAIN, collection_id=8) == "it was dropped and created again"

    @pytest.mark.parametrize(("then", "now"), [(None, 8), (7, None), (None, None)])
    def test_an_unknown_id_is_no_reason(self, then, now):
        assert self.reason(PlannedRelease("default", "docs", then, "why"), collection_id=now) is None

    @pytest.mark.parametrize("keep_aliased", [True, False])
    def test_it_has_a_new_alias(self, keep_aliased):
        assert self.reason(self.PLAIN, aliases=["live"], keep_aliased=keep_aliased) == "it has the alias live"
        assert self.reason(DOCS, aliases=["live", "b", "a"], keep_aliased=keep_aliased) == "it has the alias a, b"

    def test_an_alias_that_it_had_already_keeps_it_only_if_aliases_do(self):
        assert self.reason(DOCS, aliases=["live"], keep_aliased=False) is None
        assert self.reason(DOCS, aliases=["live"], keep_aliased=True) == "it has the alias live"

    def test_an_alias_that_it_lost_is_no_reason(self):
        assert self.reason(DOCS, aliases=[], keep_aliased=False) is None

    def test_its_owner_says_never(self):
        reason = self.reason(self.PLAIN, properties={"airflow.reclaim": " never "})
        assert reason == "its property airflow.reclaim is 'never'"

    def test_an_open_window_needs_it(self):
        assert self.reason(self.PLAIN, windows=1) == "a window (milvus_loaded) needs it"


class TestReleasedBefore:
    def released(self, now: CollectionState | None, number: int | None = 7) -> bool:
        entry = PlannedRelease("default", "docs", number, "why")
        return released_before([entry], {now.key: now} if now else {}) == [entry]

    def test_is_what_is_out_of_memory_since(self):
        assert self.released(CollectionState("default", "docs", "NotLoad", collection_id=7))
        assert self.released(CollectionState("default", "docs", "NotLoad"), number=None)

    @pytest.mark.parametrize("state", ["Loaded", "Loading"])
    def test_is_not_what_is_in_memory(self, state):
        assert not self.released(CollectionState("default", "docs", state, collection_id=7))

    def test_is_not_what_is_gone(self):
        assert not self.released(None)

    def test_is_not_what_was_created_again(self):
        assert not self.released(CollectionState("default", "docs", "NotLoad", collection_id=8))

    def test_is_not_its_namesake_in_another_database(self):
        assert not self.released(CollectionState("books", "docs", "NotLoad", collection_id=7))
