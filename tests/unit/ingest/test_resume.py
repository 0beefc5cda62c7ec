"""Where a retry begins, depending on the progress that the earlier try saved."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_milvus.exceptions import MilvusInDoubtError, MilvusSourceError
from airflow_provider_milvus.ingest.resume import Progress, start_with_generated_keys, start_with_keys
from airflow_provider_milvus.rows.check import check
from airflow_provider_milvus.rows.chunk import MISSING, Chunk
from airflow_provider_milvus.rows.made import Made
from airflow_provider_milvus.rows.source import fingerprint
from airflow_provider_milvus.schema.model import Schema
from dev.servers.pages import Answer, Pages, pages_server

pytestmark = pytest.mark.newest

NOW = Progress("docs", 7, "", "these files")
LAST = replace(NOW, acknowledged=120, written=100, unsure=True, rows_before=1000)


class TestWithKeys:
    def test_a_first_try_begins_at_the_first_row(self):
        start = start_with_keys(None, NOW, None, retry=False)

        assert (start.after, start.already_there, start.upsert, start.reason) == (0, 0, False, "")

    def test_a_retry_begins_after_the_last_row_that_is_certainly_written_and_upserts_the_rest(self):
        start = start_with_keys(LAST, NOW, None, retry=True)

        assert (start.after, start.upsert) == (120, True)

    @pytest.mark.parametrize(
        ("last", "now"),
        [
            (None, NOW),
            (replace(LAST, source=None), replace(NOW, source=None)),
            (LAST, replace(NOW, source="other files")),
            (LAST, replace(NOW, source=None)),
            # Milvus Lite reports no id: the collection may be another one.
            (replace(LAST, collection_id=0), replace(NOW, collection_id=0)),
        ],
        ids=["no progress", "no files", "other files", "files no more", "no id"],
    )
    def test_rows_in_doubt_are_all_written_again_as_an_upsert(self, last, now):
        start = start_with_keys(last, now, None, retry=True)

        assert (start.after, start.already_there, start.upsert) == (0, 0, True)

    @pytest.mark.parametrize("change", [{"collection_id": 8}, {"partition_name": "p"}, {"collection": "docs_2"}])
    def test_another_collection_gets_all_rows(self, change):
        start = start_with_keys(LAST, replace(NOW, **change), None, retry=True)

        # The last rows of the earlier try may have come into this one.
        assert (start.after, start.already_there, start.upsert) == (0, 0, True)

    @pytest.mark.parametrize(("rows_now", "after"), [(100, 120), (5_000, 120), (99, 0), (0, 0)])
    def test_rows_that_are_there_no_more_are_written_again(self, rows_now, after):
        start = start_with_keys(LAST, NOW, rows_now, retry=True)

        assert (start.after, start.upsert) == (after, True)


class TestGeneratedKeys:
    def test_a_first_try_begins_at_the_first_row(self):
        assert start_with_generated_keys(None, NOW, 1000).already_there == 0

    @pytest.mark.parametrize("more", [0, 1, 40])
    def test_rows_that_have_arrived_are_counted(self, more):
        assert start_with_generated_keys(LAST, NOW, 1000 + 100 + more).already_there == 100 + more

    def test_without_doubt_no_count_is_needed(self):
        assert start_with_generated_keys(replace(LAST, unsure=False), NOW, None).already_there == 100

    @pytest.mark.parametrize("unsure", [True, False])
    def test_an_empty_collection_gets_all_rows(self, unsure):
        start = start_with_generated_keys(replace(LAST, unsure=unsure, source="other files"), NOW, 0)

        assert (start.after, start.already_there, start.upsert) == (0, 0, False)

    def test_another_collection_gets_all_rows(self):
        assert start_with_generated_keys(LAST, replace(NOW, collection_id=8), 0).already_there == 0

    @pytest.mark.parametrize(
        ("last", "now", "rows_now", "reason"),
        [
            (LAST, NOW, None, "cannot be counted"),
            (LAST, replace(NOW, collection_id=8), 5, "It has 5 rows, and nothing shows whether that try inserted some"),
            (LAST, replace(NOW, collection_id=8), None, "It has some rows"),
            (replace(LAST, rows_before=None), NOW, 1100, "cannot be counted"),
            (LAST, NOW, 1099, "somebody else has deleted some"),
            (replace(LAST, unsure=False), NOW, 1099, "somebody else has deleted some"),
            (LAST, replace(NOW, source="other files"), 1100, "The source has changed"),
            (replace(LAST, unsure=False), replace(NOW, source="other files"), 1100, "The source has changed"),
        ],
    )
    def test_a_doubt_that_counting_does_not_remove_is_an_error(self, last, now, rows_now, reason):
        with pytest.raises(MilvusInDoubtError, match=reason):
            start_with_generated_keys(last, now, rows_now)


def test_progress_is_read_back_from_its_dict_and_from_no_other():
    assert Progress.of(asdict(LAST)) == LAST
    assert Progress.of({}) is None
    assert Progress.of({**asdict(LAST), "more": 1}) is None


class TestFingerprint:
    def test_is_the_same_until_a_file_changes(self, tmp_path: Path):
        path = tmp_path / "rows.jsonl"
        path.write_text('{"id": 1}\n')
        before = fingerprint(str(path))

        assert before == fingerprint(path) == fingerprint([str(path)])
        path.write_text('{"id": 2}\n')
        assert fingerprint(str(path)) != before

    def test_sees_one_file_more(self, tmp_path: Path):
        (tmp_path / "a.jsonl").write_text("")
        before = fingerprint(str(tmp_path / "*.jsonl"))
        (tmp_path / "b.jsonl").write_text("")

        assert fingerprint(str(tmp_path / "*.jsonl")) != before

    def test_sees_another_order(self, tmp_path: Path):
        paths = [str(tmp_path / name) for name in ("a.jsonl", "b.jsonl")]
        for path in paths:
            Path(path).write_text("")

        assert fingerprint(paths) != fingerprint(paths[::-1])

    def test_sees_what_is_made_of_them(self, tmp_path: Path):
        path = tmp_path / "rows.jsonl"
        path.write_text('{"id": 1}\n')
        keys = [{"id": Made.of("key", text)} for text in ("uuid5(a)", "uuid5(a, b)")]

        assert len({fingerprint(path), *(fingerprint(path, made=made) for made in keys)}) == 3

    @pytest.mark.parametrize("header", ["ETag", "Last-Modified", None])
    def test_of_a_web_address_is_that_of_what_the_server_says(self, header):
        def of_version(pages: Pages, says: str) -> str | None:
            pages.at["/rows.jsonl"] = Answer('{"id": 1}\n', 200, {header: says} if header else {})
            return fingerprint(f"{pages.url}/rows.jsonl")

        with pages_server() as pages:
            first, same, other = (of_version(pages, says) for says in ("one", "one", "two"))
        assert (first, same, other) == (None, None, None) if header is None else first == same != other

    @pytest.mark.parametrize("source", [[], [{"id": 1}], iter([]), lambda: "x.jsonl", ["x.jsonl", {"id": 1}]])
    def test_is_none_where_nobody_knows(self, source: Any):
        assert fingerprint(source) is None

    def test_of_a_missing_file_says_so(self, tmp_path: Path):
        with pytest.raises(MilvusSourceError):
            fingerprint(str(tmp_path / "nowhere.jsonl"))


def test_the_first_rows_are_left_out_of_every_column():
    schema = Schema.of(
        {
            "fields": [
                {"name": "id", "type": "INT64", "is_primary": True},
                {"name": "text", "type": "VARCHAR", "max_length": 9, "nullable": True},
                {"name": "v", "type": "FLOAT_VECTOR", "dim": 1},
            ],
            "enable_dynamic_field": True,
        }
    )
    columns = {"id": [5, 6, 7], "text": ["a", None, "c"], "v": [[1.0], [2.0], [3.0]], "more": [MISSING, 1, 2]}
    checked = check(Chunk(range(11, 14), columns), schema)

    left = checked.without_first(2)

    assert list(left.row_numbers) == [13]
    assert [list(left.columns["id"].values), list(left.columns["text"].values)] == [[7], ["c"]]
    assert left.columns["text"].valid.tolist() == [True]
    assert checked.without_first(0) is checked
    assert len(checked.without_first(3)) == 0
