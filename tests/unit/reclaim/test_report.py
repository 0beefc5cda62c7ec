"""The outcome of a reclaim run as people and other tasks read it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from airflow_provider_milvus.reclaim.inventory import CollectionState, Memory
from airflow_provider_milvus.reclaim.packed import unpack
from airflow_provider_milvus.reclaim.plan import PlannedRelease, read_plan
from airflow_provider_milvus.reclaim.report import MOST_IN_RESULT, MOST_ROWS, ReclaimReport, make_entry
from airflow_provider_milvus.reclaim.restore import read_restore_set

pytestmark = pytest.mark.newest

GIB = 2**30


def loaded(name: str, gib: float | None = None, source: str = "measured", database: str = "default") -> CollectionState:
    memory = Memory() if gib is None else Memory(int(gib * GIB), source)
    return CollectionState(database, name, "Loaded", memory=memory)


def made(*names: str, reason: str = "matches 'x*'", state: str = "NotLoad", **known: Any) -> list[dict[str, Any]]:
    return [make_entry(loaded(name, **known), reason, state) for name in names]


def meant(*names: str, gib: float | None = None) -> list[PlannedRelease]:
    source = "unknown" if gib is None else "estimated"
    return [
        PlannedRelease("default", name, 7, "matches 'x*'", None if gib is None else int(gib * GIB), source) for name in names
    ]


def many(count: int) -> list[CollectionState]:
    return [loaded(f"events_of_a_customer_{number:05}_20240301", 1.5) for number in range(count)]


class TestTable:
    @pytest.mark.parametrize(
        "names",
        [
            ["a"],
            ["a", "events_20240301"],
            ["a", "b" * 255],
            ["Bücher", "книги", "a"],
            ["1", "20240301", "1e5"],
            ["None", "nan"],
        ],
        ids=["short", "mixed", "longest", "letters", "numeric", "words"],
    )
    def test_is_aligned_and_leaves_names_as_they_are(self, names):
        head, _, *rows = (
            ReclaimReport(released=made(*names), kept=made(names[0], reason="not in memory")).as_table().splitlines()
        )
        assert len(rows) == len(names) + 1
        for row, name in zip(rows, [*names, names[0]], strict=True):
            assert row[head.index("collection") : head.index("state now")].strip() == name
            assert row[head.index("state now") : head.index("memory")].strip() == "NotLoad"

    def test_says_what_happened_to_each_and_why(self):
        outcome = ReclaimReport(
            released=made("events_1", reason="14 days old", gib=1),
            kept=made("docs", reason="behind the alias live", state="Loaded"),
            failed=made("tmp_1", reason="no answer", state="unknown", gib=2, source="estimated"),
        )
        rows = [line.split() for line in outcome.as_table().splitlines()[2:]]
        assert rows == [
            ["released", "events_1", "NotLoad", "1.0", "GiB", "14", "days", "old"],
            ["FAILED", "tmp_1", "unknown", "~2.0", "GiB", "no", "answer"],
            ["kept", "docs", "Loaded", "behind", "the", "alias", "live"],
        ]

    def test_has_what_was_not_in_memory_last(self):
        outcome = ReclaimReport(kept=[*made("a", "b"), *made("c", state="Loaded")])
        assert [line.split()[1] for line in outcome.as_table().splitlines()[2:]] == ["c", "a", "b"]

    def test_of_several_databases_tells_them_apart(self):
        outcome = ReclaimReport(released=[*made("a"), *made("a", database="books")])
        assert [line.split()[1:3] for line in outcome.as_table().splitlines()[2:]] == [["default", "a"], ["books", "a"]]
        assert "database" not in ReclaimReport(released=made("a", "b")).as_table()

    def test_of_an_empty_run_still_has_a_head(self):
        assert ReclaimReport().as_table().split()[:3] == ["collection", "state", "now"]

    def test_ends_somewhere_and_says_what_it_left_out(self):
        outcome = ReclaimReport(released=made(*map(str, range(150))), kept=made(*map(str, range(150))))
        *_, last = outcome.as_table().splitlines()
        assert len(outcome.as_table().splitlines()) == 2 + MOST_ROWS + 1
        assert last == "… and 100 more kept"

    def test_is_there_as_markdown_below_the_one_line(self):
        outcome = ReclaimReport(released=made("a"))
        first, _, head, rule, row = outcome.as_markdown().splitlines()
        assert first == outcome.as_sentence()
        assert [cell.strip() for cell in head.split("|")[1:-1]] == ["", "collection", "state now", "memory", "why"]
        assert set(rule) <= set("|:-")
        assert [cell.strip() for cell in row.split("|")[1:-1]] == ["released", "a", "NotLoad", "", r"matches 'x\*'"]

    def test_as_markdown_names_the_server_below_the_one_line(self):
        outcome = ReclaimReport(server="Connection 'a_b' (http://h:1)", kept=made("a"))
        assert outcome.as_markdown().splitlines()[2] == "Connection 'a_b' (http://h:1)"
        assert "Connection" not in outcome.as_sentence()

    def test_as_markdown_has_the_warnings_before_the_table(self):
        outcome = ReclaimReport(
            released=made("a"), warnings=["The budget is not met.", "The pattern 'b*' matches no collection."]
        )
        _, _, *warnings, _, head, _, _ = outcome.as_markdown().splitlines()
        assert warnings == ["- The budget is not met.", r"- The pattern 'b\*' matches no collection."]
        assert head.startswith("|")

    @pytest.mark.parametrize(
        ("reason", "shown"),
        [
            ("excluded by '*_keep*'", r"excluded by '\*\_keep\*'"),
            ("behind the alias docs_live", "behind the alias docs_live"),
            ("behind the alias _live_", r"behind the alias \_live\_"),
            ("its property airflow.reclaim is 'a|b'", r"its property airflow.reclaim is 'a\|b'"),
            ("its property airflow.reclaim is '[x](y)<b>'", r"its property airflow.reclaim is '\[x\](y)\<b\>'"),
            ("no answer\nat all", "no answer at all"),
        ],
    )
    def test_as_markdown_shows_every_character_of_a_reason(self, reason, shown):
        (row,) = ReclaimReport(kept=made("a", reason=reason)).as_markdown().splitlines()[4:]
        assert row.endswith(f" {shown} |")


class TestResult:
    @pytest.mark.parametrize("dry_run", [False, True])
    def test_is_what_json_can_carry(self, dry_run):
        outcome = ReclaimReport(
            dry_run=dry_run,
            planned=meant("a", gib=1),
            released=made("b"),
            kept=made("c"),
            failed=made("Bücher"),
            loaded=[loaded("b", 1)],
            budget=GIB,
            warnings=["No name holds a date."],
        )
        result = outcome.as_result()
        assert json.loads(json.dumps(result)) == result

    def test_of_a_run(self):
        outcome = ReclaimReport(
            released=made("b", gib=1),
            kept=made("c", gib=2),
            loaded=[loaded("b", 1), loaded("c", 2)],
            budget=3,
            warnings=["careful"],
        )
        result = outcome.as_result()
        assert list(result) == [
            "released",
            "kept",
            "failed",
            "restore",
            "replicas",
            "totals",
            "warnings",
            "summary",
            "markdown",
        ]
        assert result["released"] == made("b", gib=1)
        assert result["restore"] == {"default": ["b"]}
        assert result["warnings"] == ["careful"]
        assert result["summary"] == outcome.as_sentence()
        assert result["totals"] == {
            "released": 1,
            "kept": 1,
            "failed": 0,
            "loaded_before": 2,
            "bytes_before": 3 * GIB,
            "bytes_after": 2 * GIB,
            "bytes_reclaimed": GIB,
            "bytes_source": "measured",
            "unknown_sizes": 0,
            "budget": 3,
        }

    def test_of_a_dry_run_tells_what_was_planned_apart_from_what_was_done(self):
        planned = meant("a")
        result = ReclaimReport(dry_run=True, planned=planned).as_result()
        assert (result["dry_run"], result["released"], result["restore"]) == (True, [], {})
        assert result["planned"] == made("a", state="Loaded")
        assert result["plan"] == [release.as_dict() for release in planned]

    def test_tells_nothing_of_bytes_that_are_not_known(self):
        totals = ReclaimReport(released=made("a"), loaded=[loaded("a")]).totals()
        assert [totals[key] for key in ("bytes_before", "bytes_after", "bytes_reclaimed")] == [None, None, None]
        assert (totals["bytes_source"], totals["unknown_sizes"]) == ("unknown", 1)

    def test_names_all_that_was_released_in_the_order_in_which_it_went(self):
        released = [*made("b", "a"), *made("c", database="books"), *made("d")]
        assert ReclaimReport(released=released).as_result()["restore"] == {"default": ["b", "a", "d"], "books": ["c"]}


def varied(count: int) -> list[CollectionState]:
    """Names and sizes that have little in common, so that they are hard to pack."""
    random = Random(1)
    return [
        loaded(f"events_{random.choice(REGIONS)}_{random.randrange(16**6):06x}", random.uniform(0, 9)) for _ in range(count)
    ]


REGIONS = ("eu", "us", "ap")
LARGEST = 100_000


class TestFiveThousandCollections:
    """At most 100 kB, and complete where the next task needs it."""

    @pytest.mark.parametrize("collections", [many(5000), varied(5000)], ids=["alike", "varied"])
    def test_that_were_released(self, collections):
        result = ReclaimReport(
            released=[make_entry(collection, "matches 'events_*'", "NotLoad") for collection in collections], loaded=collections
        ).as_result()
        assert len(json.dumps(result)) < LARGEST
        assert unpack(result["restore"]) == {"default": [collection.collection for collection in collections]}
        assert len(result["released"]) + result["omitted"]["released"] == 5000
        assert result["totals"]["released"] == 5000
        assert [entry.collection for entry in read_restore_set(result)] == [each.collection for each in reversed(collections)]

    @pytest.mark.parametrize("longest", [0, 200])
    def test_that_were_kept(self, longest):
        collections = [replace(state, collection=state.collection + "x" * longest) for state in many(5000)]
        result = ReclaimReport(
            kept=[make_entry(collection, "behind the alias live") for collection in collections], loaded=collections
        ).as_result()
        assert len(json.dumps(result)) < LARGEST
        assert len(result["kept"]) + result["omitted"]["kept"] == 5000
        assert result["totals"]["kept"] == 5000

    def test_that_would_be_released_are_all_in_the_plan(self):
        planned = [
            PlannedRelease(*collection.key, 450_000_000_000_000_000 + number, "matches 'events_*'", collection.memory.bytes)
            for number, collection in enumerate(many(5000))
        ]
        result = ReclaimReport(dry_run=True, planned=planned).as_result()
        assert len(json.dumps(result)) < LARGEST
        assert read_plan(result["plan"]) == planned
        assert len(result["planned"]) + result["omitted"]["planned"] == 5000

    def test_that_would_be_released_are_in_a_file_where_there_is_one(self):
        result = ReclaimReport(dry_run=True, planned=meant("a"), plan_path="s3://plans/tonight.json").as_result()
        assert result["plan"] == "s3://plans/tonight.json"

    def test_that_is_one_more_than_fits_is_told(self):
        entries = made(*(f"{number:04}" for number in range(1000)))
        fit = MOST_IN_RESULT // len(json.dumps(entries[0]))
        assert "omitted" not in ReclaimReport(failed=entries[:fit]).as_result()
        assert ReclaimReport(failed=entries[: fit + 1]).as_result()["omitted"] == {"failed": 1}


def test_an_entry_has_the_state_that_was_seen_last():
    subject = CollectionState("db", "a", "Loaded", memory=Memory(5, "estimated"), loaded_for=timedelta(days=1))
    assert make_entry(subject, "why") == {
        "database": "db",
        "collection": "a",
        "state": "Loaded",
        "reason": "why",
        "bytes": 5,
        "bytes_source": "estimated",
    }
    assert make_entry(subject, "why", "NotLoad")["state"] == "NotLoad"


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (ReclaimReport(), "0 released, 0 kept, 0 failed; 0 were in memory."),
        (
            ReclaimReport(released=made("a", "b"), kept=made("c"), loaded=[loaded("a"), loaded("b"), loaded("c")]),
            "2 released, 1 kept, 0 failed; 3 were in memory.",
        ),
        (
            ReclaimReport(released=made("a"), kept=made("b", "c"), loaded=[loaded("a", 1), loaded("b", 2), loaded("c")]),
            "1 (1.0 GiB measured) released, 2 kept, 0 failed; 3 (3.0 GiB measured and 1 of unknown size) were in memory.",
        ),
        (
            ReclaimReport(dry_run=True, planned=meant("a", gib=1), kept=made("c"), loaded=[loaded("a", 1)]),
            "Dry run: 1 (1.0 GiB estimated) would be released, 1 kept, 0 failed; 1 (1.0 GiB measured) were in memory. "
            "Nothing was changed.",
        ),
    ],
)
def test_one_sentence_counts(outcome, words):
    assert outcome.as_sentence() == words
