"""Since when a collection has been seen loaded, by one run after the other."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_milvus.reclaim.inventory import CollectionState
from airflow_provider_milvus.reclaim.loaded_since import seen_loaded

DAY = 86400.0
START = 1_700_000_000.0


def docs(state: str = "Loaded", number: int | None = 7) -> CollectionState:
    return CollectionState("default", "docs", state, collection_id=number)


def runs(*seen: CollectionState | None) -> timedelta | None:
    """A run a day, each of which hands its notes on as JSON; what the last one tells."""
    kept: Any = None
    told: list[CollectionState] = []
    for day, each in enumerate(seen):
        told, kept = seen_loaded(kept, [each] if each else [], START + day * DAY)
        kept = json.loads(json.dumps(kept))
    return told[0].loaded_for if told else None


def test_the_first_run_knows_of_no_time_before_it():
    assert runs(docs()) == timedelta(0)


def test_each_run_adds_to_it():
    assert runs(docs(), docs(), docs()) == timedelta(days=2)


@pytest.mark.parametrize("between", [docs("NotLoad"), docs("Loading"), None])
def test_a_run_that_did_not_see_it_loaded_ends_it(between):
    assert runs(docs(), docs(), between, docs(), docs()) == timedelta(days=1)


def test_one_that_was_made_anew_begins_anew():
    assert runs(docs(number=7), docs(number=7), docs(number=8)) == timedelta(0)


@pytest.mark.parametrize("subject", [docs("NotLoad"), docs("Loading"), docs(number=None)])
def test_of_what_is_not_loaded_or_has_no_number_nothing_is_claimed(subject):
    assert runs(subject, subject) is None


def test_two_of_one_name_in_two_databases_are_two():
    here, there = (
        CollectionState("a", "docs", "Loaded", collection_id=1),
        CollectionState("b", "docs", "Loaded", collection_id=2),
    )
    _, kept = seen_loaded(None, [here], START)
    told, _ = seen_loaded(kept, [here, there], START + DAY)
    assert [each.loaded_for for each in told] == [timedelta(days=1), timedelta(0)]


@pytest.mark.parametrize(
    "kept",
    [
        None,
        [],
        "text",
        5,
        {"7": "long ago"},
        {"7": None},
        {"7": True},
        {"7": 0.0},
        {"7": -1.0},
        {"7": float("nan")},
        {"7": float("inf")},
        {"7": float("-inf")},
        {"7": START + DAY},
        {"7": [START - DAY]},
    ],
)
def test_notes_that_cannot_be_true_claim_nothing(kept):
    told, since = seen_loaded(kept, [docs()], START)
    assert told[0].loaded_for == timedelta(0)
    assert since == {"7": START}


def test_collections_that_are_gone_are_forgotten():
    _, kept = seen_loaded({"7": START - DAY, "9": START - DAY}, [docs()], START)
    assert kept == {"7": START - DAY}
