"""The outcome of a reclaim run as people and other tasks read it."""

from __future__ import annotations

import json

import pytest

from airflow_provider_milvus.reclaim.inventory import CollectionState
from airflow_provider_milvus.reclaim.report import Outcome, entry


def made(*names: str, reason: str = "matches 'x*'", state: str = "NotLoad") -> list[dict[str, str]]:
    return [entry(CollectionState("default", name, "Loaded"), reason, state) for name in names]


@pytest.mark.parametrize(
    "names",
    [["a"], ["a", "events_20240301"], ["a", "b" * 255], ["Bücher", "книги", "a"], ["1", "20240301", "1e5"], ["None", "nan"]],
    ids=["short", "mixed", "longest", "letters", "numeric", "words"],
)
def test_the_table_is_aligned_and_leaves_names_as_they_are(names):
    head, _, *rows = Outcome(released=made(*names), kept=made(names[0], reason="not in memory")).as_table().splitlines()
    assert len(rows) == len(names) + 1
    for row, name in zip(rows, [*names, names[0]], strict=True):
        assert row[head.index("collection") : head.index("state now")].strip() == name
        assert row[head.index("state now") : head.index("why")].strip() == "NotLoad"


def test_the_table_says_what_happened_to_each_and_why():
    outcome = Outcome(
        released=made("events_1", reason="14.5 days old"),
        kept=made("docs", reason="behind the alias live", state="Loaded"),
        failed=made("tmp_1", reason="no answer", state="unknown"),
    )
    rows = [line.split(maxsplit=3) for line in outcome.as_table().splitlines()[2:]]
    assert rows == [
        ["released", "events_1", "NotLoad", "14.5 days old"],
        ["FAILED", "tmp_1", "unknown", "no answer"],
        ["kept", "docs", "Loaded", "behind the alias live"],
    ]


def test_an_empty_run_still_has_a_head():
    assert Outcome().as_table().split()[:2] == ["collection", "state"]


@pytest.mark.parametrize("dry_run", [False, True])
def test_the_result_is_what_json_can_carry(dry_run):
    outcome = Outcome(dry_run=dry_run, planned=made("a"), released=made("b"), kept=made("c"), failed=made("Bücher"))
    result = outcome.as_result()
    assert json.loads(json.dumps(result)) == result


def test_the_result_of_a_run_has_three_lists():
    assert list(Outcome().as_result()) == ["released", "kept", "failed"]


def test_the_result_of_a_dry_run_tells_what_was_planned_apart_from_what_was_done():
    result = Outcome(dry_run=True, planned=made("a", state="Loaded")).as_result()
    assert (result["dry_run"], result["released"]) == (True, [])
    assert result["planned"] == [{"database": "default", "collection": "a", "state": "Loaded", "reason": "matches 'x*'"}]


def test_an_entry_has_the_state_that_was_seen_last():
    subject = CollectionState("db", "a", "Loaded")
    assert entry(subject, "why") == {"database": "db", "collection": "a", "state": "Loaded", "reason": "why"}
    assert entry(subject, "why", "NotLoad")["state"] == "NotLoad"


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome(released=made("a", "b"), kept=made("c")), "2 released, 1 kept, 0 failed."),
        (
            Outcome(dry_run=True, planned=made("a"), kept=made("c")),
            "Dry run: 1 would be released, 1 kept, 0 failed; nothing was changed.",
        ),
    ],
)
def test_one_sentence_counts(outcome, words):
    assert outcome.as_sentence() == words
