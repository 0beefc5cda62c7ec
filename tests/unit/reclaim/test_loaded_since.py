"""Since when a collection has been seen loaded, by one run after the other."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_milvus.reclaim.inventory import CollectionState
from airflow_provider_milvus.reclaim.loaded_since import with_loaded_for

DAY = 86400.0
START = 1_700_000_000.0


def docs(state: str = "Loaded", number: int | None = 7) -> CollectionState:
    return CollectionState("default", "docs", state, collection_id=number)


def runs(*states: CollectionState | None) -> timedelta | None:
    """One run a day, which passes its notes on as JSON; the result is ``loaded_for`` of the last run."""
    kept: Any = None
    collections: list[CollectionState] = []
    for day, state in enumerate(states):
        collections, kept = with_loaded_for(kept, [state] if state else [], START + day * DAY)
        kept = json.loads(json.dumps(kept))
    return collections[0].loaded_for if collections else None


def test_the_first_run_knows_of_no_time_before_it():
    assert runs(docs()) == timedelta(0)


def test_each_run_adds_to_it():
    assert runs(docs(), docs(), docs()) == timedelta(days=2)


@pytest.mark.parametrize("between", [docs("NotLoad"), docs("Loading"), None])
def test_a_run_that_did_not_see_it_loaded_ends_it(between):
    assert runs(docs(), docs(), between, docs(), docs()) == timedelta(days=1)


def test_one_that_was_created_again_begins_at_zero():
    assert runs(docs(number=7), docs(number=7), docs(number=8)) == timedelta(0)


@pytest.mark.parametrize("subject", [docs("NotLoad"), docs("Loading"), docs(number=None)])
def test_of_what_is_not_loaded_or_has_no_number_nothing_is_claimed(subject):
    assert runs(subject, subject) is None


def test_two_of_one_name_in_two_databases_are_two():
    here, there = (
        CollectionState("a", "docs", "Loaded", collection_id=1),
        CollectionState("b", "docs", "Loaded", collection_id=2),
    )
    _, kept = with_loaded_for(None, [here], START)
    collections, _ = with_loaded_for(kept, [here, there], START + DAY)
    assert [collection.loaded_for for collection in collections] == [timedelta(days=1), timedelta(0)]


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
    collections, since = with_loaded_for(kept, [docs()], START)
    assert collections[0].loaded_for == timedelta(0)
    assert since == {"7": START}


def test_collections_that_are_gone_are_forgotten():
    _, kept = with_loaded_for({"7": START - DAY, "9": START - DAY}, [docs()], START)
    assert kept == {"7": START - DAY}
