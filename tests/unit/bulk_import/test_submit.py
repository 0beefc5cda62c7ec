"""How an import is begun or found again, how a job is read, and what files a DAG author may name; without a server."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_milvus.bulk_import import import_api
from airflow_provider_milvus.bulk_import.condition import ImportFinished, SubmittedImport
from airflow_provider_milvus.bulk_import.grpc_api import GrpcImports
from airflow_provider_milvus.bulk_import.job import Files, ImportApi, ImportTarget, Job, ReportedFile
from airflow_provider_milvus.bulk_import.rest_api import RestImports
from airflow_provider_milvus.bulk_import.submit import LOOKS, Submission, submit
from airflow_provider_milvus.client.flow import Deadline, Flow, Still, drive
from airflow_provider_milvus.client.subject import Subject
from airflow_provider_milvus.client.tries import Tries
from airflow_provider_milvus.conditions import Verdict, wait_for
from airflow_provider_milvus.exceptions import (
    MilvusImportError,
    MilvusInvalidArgumentError,
    MilvusLoadStalledError,
    MilvusTimeoutError,
    MilvusUnavailableError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.kinds import check_files, read_files
from tests.unit.play import Clock, Server, play

pytestmark = pytest.mark.newest

FILES = [["a.parquet"], ["b.parquet"]]


class Jobs(ImportApi):
    """A server with one job for each file, as Milvus 2.3. ``errors`` are those of the next calls of ``create``."""

    def __init__(self) -> None:
        self.all: dict[str, Job] = {}
        self.errors: list[Exception | None] = []
        self.made_although_lost = False

    def portions(self, files: Files) -> list[Files]:
        return [[group] for group in files]

    def add(self, files: Files, state: str = "Importing", *, reported: bool = True) -> str:
        job_id = str(len(self.all) + 1)
        reported_files = tuple(ReportedFile(path, state) for group in files for path in group) if reported else ()
        self.all[job_id] = Job(job_id, state, files=reported_files)
        return job_id

    def create(self, target: ImportTarget, files: Files, still: Still) -> Flow[str]:
        """As a call with this look is made: again, after an error, where the look does not find it done."""
        error: Any = None
        while (yield from still(error)):
            error = self.errors.pop(0) if self.errors else None
            if error is None or self.made_although_lost:
                job_id = self.add(files)
            if error is None:
                return job_id
        return ""

    def jobs(self, collection_name: str, job_ids: Sequence[str]) -> Flow[list[Job]]:
        yield from ()
        return [self.all[job_id] for job_id in job_ids if job_id in self.all]

    def listed(self, collection_name: str) -> Flow[list[str]]:
        yield from ()
        return list(self.all)


class Try:
    """One task and its tries. ``notes`` are those of the last try, and ``reports`` the lines of the log."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self.notes: dict[str, Any] = {}
        self.reports: list[str] = []
        self.slept: list[float] = []

    def run(self, files: Files = FILES, collection_id: int = 1, **target: Any) -> Submission:
        flow = submit(
            self.jobs,
            ImportTarget("docs", **target),
            files,
            subject=Subject("docs", collection_id),
            rows_before=None,
            tries=Tries(self.notes, self.keep, self.keep),
            report=self.reports.append,
        )
        return drive(flow, Server(DescribeCollection=lambda call: described(collection_id)), self.slept.append)

    def keep(self, submission: dict[str, Any]) -> None:
        self.notes = submission


def described(collection_id: int) -> SimpleNamespace:
    return SimpleNamespace(
        schema=SimpleNamespace(name="docs"), collection_name="docs", collectionID=collection_id, properties=[]
    )


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


class TestSubmit:
    def test_makes_a_job_for_each_portion_and_notes_both(self, jobs):
        task = Try(jobs)
        assert task.run().job_ids == ["1", "2"]
        assert [portion["job_id"] for portion in task.notes["portions"]] == ["1", "2"]

    def test_a_second_try_makes_none(self, jobs):
        task = Try(jobs)
        task.run()
        again = task.run()
        assert (again.job_ids, again.attached, len(jobs.all)) == (["1", "2"], True, 2)

    def test_jobs_that_were_there_before_are_never_taken_for_ours(self, jobs):
        jobs.add([["b.parquet"]])
        task = Try(jobs)
        jobs.errors = [None, MilvusTimeoutError("silence")]
        with pytest.raises(MilvusTimeoutError, match="is not known; a retry looks for it"):
            task.run()
        assert task.run().job_ids == ["2", "3"]

    @pytest.mark.parametrize("lost", [MilvusTimeoutError("silence"), MilvusUnavailableError("broken")])
    def test_a_job_that_began_without_an_answer_is_found(self, jobs, lost):
        jobs.errors, jobs.made_although_lost = [lost], True
        assert Try(jobs).run().job_ids == ["1", "2"]
        assert len(jobs.all) == 2

    def test_files_whose_job_failed_are_imported_anew_and_the_others_are_kept(self, jobs):
        task = Try(jobs)
        task.run()
        jobs.all["1"] = Job("1", "Failed", reason="no such file")
        jobs.all["2"] = Job("2", "Completed")
        assert task.run().job_ids == ["3", "2"]
        # The one that failed is not found again as a job that imports the same file.
        assert "1" in task.notes["other_job_ids"]

    def test_a_failed_job_that_was_never_noted_is_not_attached_to(self, jobs):
        task = Try(jobs)
        jobs.errors = [MilvusTimeoutError("silence")]
        with pytest.raises(MilvusTimeoutError):
            task.run()
        jobs.add([["a.parquet"]], "Failed")
        assert task.run().job_ids == ["2", "3"]

    def test_a_job_whose_files_are_never_reported_is_not_guessed_about(self, jobs):
        task = Try(jobs)
        jobs.errors = [MilvusTimeoutError("silence")]
        with pytest.raises(MilvusTimeoutError):
            task.run()
        jobs.add([["whose?"]], reported=False)
        with pytest.raises(
            MilvusImportError, match=r"imported into 'docs': import job 1 began after this task did.*reattach=False"
        ):
            task.run()
        assert len(task.slept) == LOOKS - 1
        assert len(jobs.all) == 1

    def test_a_forgotten_job_is_not_imported_again(self, jobs):
        task = Try(jobs)
        task.run()
        del jobs.all["2"]
        with pytest.raises(
            MilvusImportError, match=r"Whether b\.parquet is in 'docs' is not known.*does not know import job 2 any more"
        ):
            task.run()

    def test_other_files_are_another_import(self, jobs):
        task = Try(jobs)
        task.run()
        assert task.run([["c.parquet"]]).job_ids == ["3"]
        assert "began another import, jobs 1, 2" in task.reports[-2]

    @pytest.mark.parametrize("other", [{"partition_name": "p"}, {"options": {"backup": "true"}}])
    def test_into_another_partition_or_with_other_options_is_another_import(self, jobs, other):
        task = Try(jobs)
        task.run()
        assert task.run(**other).job_ids == ["3", "4"]
        assert task.run(**other).attached

    def test_the_order_of_the_files_makes_no_difference(self, jobs):
        task = Try(jobs)
        task.run()
        assert task.run(FILES[::-1]).job_ids == ["1", "2"]

    def test_another_collection_of_the_name_gets_its_own(self, jobs):
        task = Try(jobs)
        task.run()
        assert task.run(collection_id=2).job_ids == ["3", "4"]


class TestReportedFile:
    """By its name as a server reports it: with ids, quotes, a root path before it, or without its bucket."""

    @pytest.mark.parametrize(
        ("name", "path"),
        [
            ("/data/run/1.parquet", "/data/run/1.parquet"),
            ("1.parquet", "1.parquet"),
            ('id:448761313698322012 paths:"run/1.parquet" ', "run/1.parquet"),
            ('["files/run/1.parquet"]', "run/1.parquet"),
            ("run/1.parquet", "/run/1.parquet"),
            ("run/1.parquet", "s3://bucket/run/1.parquet"),
            ("bucket/run/1.parquet", "s3://bucket/run/1.parquet"),
        ],
    )
    def test_is_the_one_that_was_requested(self, name, path):
        assert ReportedFile(name, "Importing").is_among([["other/2"], [path]]) is True

    @pytest.mark.parametrize(
        ("name", "path"),
        [
            ("/data/run/2.parquet", "/data/run/1.parquet"),
            ("/data/monday/1.parquet", "/data/tuesday/1.parquet"),
            ('id:1 paths:"run/11.parquet" ', "run/1.parquet"),
            ('id:1 paths:"another-run/1.parquet" ', "run/1.parquet"),
            ("1.parquet", "s3://bucket/run/21.parquet"),
            ("parquet", "run/1.parquet"),
        ],
    )
    def test_is_another_one(self, name, path):
        assert ReportedFile(name, "Importing").is_among([[path]]) is False

    @pytest.mark.parametrize(
        ("name", "path"),
        [("1.parquet", "s3://bucket/run/1.parquet"), ("files/1.parquet", "1.parquet"), ("run/1.parquet", "s3://bucket/run/")],
    )
    def test_may_be_the_one_or_somebody_elses_of_the_same_name(self, name, path):
        assert ReportedFile(name, "Importing").is_among([[path]]) is None

    def test_numpy_files_of_the_same_rows_are_reported_as_one(self):
        seen = ReportedFile('id:1 paths:"run/id.npy" paths:"run/vector.npy" ', "Importing")
        assert seen.is_among([["run/id.npy", "run/vector.npy"]]) is True
        assert seen.is_among([["run/id.npy"]]) is False
        on_2_3 = ReportedFile("/run/id.npy,/run/vector.npy", "Importing")
        assert on_2_3.is_among([["/other/id.npy"], ["/run/id.npy", "/run/vector.npy"]]) is True
        assert on_2_3.is_among([["/run/vector.npy"]]) is False

    def test_may_have_a_comma_in_its_name(self):
        assert ReportedFile("/data/a,b.json", "Importing").is_among([["/data/a,b.json"]]) is True

    def test_a_job_with_a_file_that_is_not_ours_is_not_ours(self):
        job = Job("1", "Importing", files=(ReportedFile("a.parquet", ""), ReportedFile("z.parquet", "")))
        assert job.imports(FILES) is False
        unsure = Job("1", "Importing", files=(ReportedFile("1.parquet", ""), ReportedFile("z.parquet", "")))
        assert unsure.imports([["s3://bucket/run/1.parquet"]]) is False


class TestApi:
    @pytest.mark.parametrize(
        ("version", "kind"),
        [
            ("v2.3.5", GrpcImports),
            ("v2.3.5-lite", GrpcImports),
            ("2.2.16", GrpcImports),
            ("v2.4.0", RestImports),
            ("v2.10.1-dev", RestImports),
            ("v3.0.0", RestImports),
            ("Zilliz Cloud Vector Database(Compatible with Milvus 2.5)", RestImports),
            ("master-20260101-abcdef", RestImports),
        ],
    )
    def test_goes_by_the_servers_version(self, version, kind, clock):
        server = Server(GetVersion=SimpleNamespace(version=version))
        assert type(play(import_api("docs"), server, clock)) is kind

    def test_lite_has_none(self, clock):
        with pytest.raises(MilvusUnsupportedError, match="MilvusUpsertOperator"):
            play(import_api("docs"), Server(GetVersion=SimpleNamespace(version="milvus_lite 3.2.2")), clock)


def task(number: int, state: int, **infos: Any) -> SimpleNamespace:
    """As 2.3.5 lists it."""
    pairs = [SimpleNamespace(key=key, value=str(value)) for key, value in {"files": f"{number}.json", **infos}.items()]
    return SimpleNamespace(id=number, state=state, row_count=10 * number, infos=pairs)


class TestCondition:
    def look(self, clock: Clock, *tasks: SimpleNamespace, ids: Sequence[str] = ("1", "2")) -> Any:
        server = Server(
            GetVersion=SimpleNamespace(version="v2.3.5"), ListImportTasks=SimpleNamespace(tasks=[task(9, 1), *tasks])
        )
        return play(ImportFinished("docs", list(ids)).look(), server, clock)

    def test_all_completed(self, clock):
        assert self.look(clock, task(1, 6), task(2, 6)).verdict is Verdict.MET

    @pytest.mark.parametrize("state", [0, 2, 5, 8])
    def test_one_under_way(self, clock, state):
        seen = self.look(clock, task(1, 6), task(2, state, progress_percent=40))
        assert (seen.verdict, seen.state, seen.progress) == (Verdict.NOT_YET, "Importing", 70)

    def test_none_begun(self, clock):
        assert self.look(clock, task(1, 0), task(2, 0)).state == "Pending"

    def test_the_others_are_waited_for_when_one_has_failed(self, clock):
        assert self.look(clock, task(1, 1), task(2, 2)).verdict is Verdict.NOT_YET

    @pytest.mark.parametrize("state", [1, 7])
    def test_one_failed(self, clock, state):
        seen = self.look(clock, task(1, 6), task(2, state, failed_reason="no such file"))
        assert (seen.verdict, seen.state) == (Verdict.NEVER, "Failed")
        assert seen.reason == "2.json: no such file. 1 other job(s) completed, and their rows are in"

    def test_a_job_that_is_not_known_may_or_may_not_have_completed(self, clock):
        seen = self.look(clock, task(1, 6))
        assert (seen.verdict, seen.state) == (Verdict.NEVER, "Unknown")
        assert "does not know job 2" in seen.reason

    def test_no_more_than_ten_files_are_named(self, clock):
        failed = [task(number, 1, failed_reason="x") for number in range(10, 25)]
        seen = self.look(clock, *failed, ids=[str(import_task.id) for import_task in failed])
        assert seen.reason.count(".json") == 10
        assert seen.reason.endswith("; and 5 more")


def test_an_outage_and_a_stall_are_not_reported_as_those_of_a_load(clock):
    under_way = SimpleNamespace(tasks=[task(1, 2)])
    looks = [MilvusUnavailableError("down"), *[under_way] * 9]
    server = Server(GetVersion=SimpleNamespace(version="v2.3.5"), ListImportTasks=looks)
    reports: list[str] = []
    waiting = wait_for(
        SubmittedImport("docs", ["1"]), deadline := Deadline(900), poll_interval=20, stall_timeout=120, report=reports.append
    )
    with pytest.raises(MilvusLoadStalledError) as stalled:
        play(waiting, server, clock, deadline)
    assert str(stalled.value).endswith("The server still reports Importing.")
    assert [line for line in reports if "load again" in line] == []
    assert any("is back" in line for line in reports)


def read(value: Any, **options: Any) -> list[list[str]]:
    return read_files("files", check_files("files", value), **options)


class TestFiles:
    @pytest.mark.parametrize(
        ("value", "groups"),
        [
            ("a.parquet", [["a.parquet"]]),
            (["a.parquet", "b.json"], [["a.parquet"], ["b.json"]]),
            ([["id.npy", "vector.npy"]], [["id.npy", "vector.npy"]]),
            (("a", ["b"]), [["a"], ["b"]]),
            ({"files": [["a"]], "rows": 7}, [["a"]]),
            ('{"files": [["a"]], "rows": 7}', [["a"]]),
            ("{'files': [['a']], 'rows': 7}", [["a"]]),
            ("[['a'], ['b']]", [["a"], ["b"]]),
            ([], []),
            ("[]", []),
            ({"files": []}, []),
            ([{"files": [["a"], ["b"]]}, {"files": []}, {"files": [["c"]]}], [["a"], ["b"], ["c"]]),
            (deque([{"files": [["a"]]}, {"files": [["b"]]}]), [["a"], ["b"]]),
        ],
    )
    def test_may_be_named_in_many_ways(self, value, groups):
        assert read(value) == groups

    def test_are_urls_where_the_server_does_not_own_them(self):
        assert read({"files": [["k"]], "urls": [["s3://b/k"]]}, as_urls=True) == [["s3://b/k"]]
        assert read([{"files": [["k"]], "urls": [["s3://b/k"]]}], as_urls=True) == [["s3://b/k"]]

    @pytest.mark.parametrize(
        "value", [None, 7, {}, "", " ", {"files": None}, [[]], [["a", 7]], [[" "]], [None], [{"files": None}]]
    )
    def test_that_name_no_file_are_refused(self, value):
        with pytest.raises(MilvusInvalidArgumentError, match=r"^files"):
            read(value)
