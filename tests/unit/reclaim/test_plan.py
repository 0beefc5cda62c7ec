"""A plan travels as JSON, is read back with suspicion, and is held against what is there when it is carried out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from airflow_provider_milvus.reclaim.inventory import CollectionState, Memory
from airflow_provider_milvus.reclaim.plan import Planned, plan_from, planned, released_before, since_planned
from airflow_provider_milvus.reclaim.policy import Decision

DOCS = Planned("default", "docs", 7, "matches '*'", 1024, "measured", ("live",), 12.0)


def entry(**other: Any) -> dict[str, Any]:
    return {"database": "default", "collection": "docs", "collection_id": 7, "reason": "matches '*'", **other}


class TestPlan:
    def test_is_made_of_decisions(self):
        subject = CollectionState(
            "default", "docs", "Loaded", ("live",), collection_id=7, memory=Memory(1024, "measured"), rows=5
        )
        assert planned(Decision(subject, True, "matches '*'"), 12.0) == DOCS

    def test_comes_back_as_it_was(self):
        small = Planned("books", "tmp", None, "matches 'tmp'")
        assert plan_from(json.loads(json.dumps([each.as_dict() for each in (DOCS, small)]))) == [DOCS, small]

    def test_leaves_out_what_is_not_known(self):
        assert list(Planned("books", "tmp", None, "why").as_dict()) == ["database", "collection", "reason", "source"]

    def test_keeps_counts_of_zero(self):
        small = Planned("books", "tmp", 0, "why", 0, "measured", (), 0.0)
        assert plan_from([small.as_dict()]) == [small]

    def test_with_no_entries_is_one(self):
        assert plan_from([]) == []

    def test_says_again_what_it_would_release(self):
        assert DOCS.subject.key == DOCS.key
        assert (DOCS.subject.memory, DOCS.subject.aliases) == (Memory(1024, "measured"), ("live",))

    def test_that_names_a_collection_twice_means_it_once_as_it_stands_last(self):
        found = plan_from([entry(), entry(collection="other"), entry(collection_id=8)])
        assert [(each.collection, each.collection_id) for each in found] == [("docs", 8), ("other", 7)]

    def test_may_say_more_than_this_version_knows(self):
        assert plan_from([entry(mood="cold")]) == plan_from([entry()])


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
        plan_from(garbage)


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
        plan = plan_from(read)
    except ValueError:
        return
    for each in plan:
        assert all(isinstance(name, str) and name for name in each.key)
        assert (each.bytes or 0) + 1
        json.dumps(each.as_dict())
    assert len({each.key for each in plan}) == len(plan)


class TestSincePlanned:
    def against(self, entry: Planned, *, keep_aliased: bool = True, **now: Any) -> str | None:
        seen = {"collection_id": 7, "aliases": [], "properties": {}, **now}
        return since_planned(entry, keep_aliased=keep_aliased, now=1000.0, **seen)

    PLAIN = Planned("default", "docs", 7, "why")

    def test_nothing_has_changed(self):
        assert self.against(self.PLAIN) is None
        assert self.against(self.PLAIN, properties={"collection.ttl.seconds": "5", "airflow.reclaim": " "}) is None

    def test_it_was_dropped_and_made_anew(self):
        assert self.against(self.PLAIN, collection_id=8) == "it was dropped and made anew"

    @pytest.mark.parametrize(("then", "now"), [(None, 8), (7, None), (None, None)])
    def test_a_number_that_is_not_known_says_nothing(self, then, now):
        assert self.against(Planned("default", "docs", then, "why"), collection_id=now) is None

    @pytest.mark.parametrize("keep_aliased", [True, False])
    def test_it_has_got_an_alias(self, keep_aliased):
        assert self.against(self.PLAIN, aliases=["live"], keep_aliased=keep_aliased) == "it has the alias live"
        assert self.against(DOCS, aliases=["live", "b", "a"], keep_aliased=keep_aliased) == "it has the alias a, b"

    def test_an_alias_that_it_had_already_keeps_it_only_if_aliases_do(self):
        assert self.against(DOCS, aliases=["live"], keep_aliased=False) is None
        assert self.against(DOCS, aliases=["live"], keep_aliased=True) == "it has the alias live"

    def test_an_alias_that_it_lost_says_nothing(self):
        assert self.against(DOCS, aliases=[], keep_aliased=False) is None

    def test_its_owner_says_never(self):
        found = self.against(self.PLAIN, properties={"airflow.reclaim": " never "})
        assert found == "its property airflow.reclaim says 'never'"


class TestReleasedBefore:
    def released(self, now: CollectionState | None, number: int | None = 7) -> bool:
        entry = Planned("default", "docs", number, "why")
        return released_before([entry], {now.key: now} if now else {}) == [entry]

    def test_is_what_is_out_of_memory_since(self):
        assert self.released(CollectionState("default", "docs", "NotLoad", collection_id=7))
        assert self.released(CollectionState("default", "docs", "NotLoad"), number=None)

    @pytest.mark.parametrize("state", ["Loaded", "Loading"])
    def test_is_not_what_is_in_memory(self, state):
        assert not self.released(CollectionState("default", "docs", state, collection_id=7))

    def test_is_not_what_is_gone(self):
        assert not self.released(None)

    def test_is_not_what_was_made_anew(self):
        assert not self.released(CollectionState("default", "docs", "NotLoad", collection_id=8))

    def test_is_not_its_namesake_in_another_database(self):
        assert not self.released(CollectionState("books", "docs", "NotLoad", collection_id=7))
