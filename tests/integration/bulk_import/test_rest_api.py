"""Bulk import over the REST API v2, against a server that speaks its documentation over a real socket; faults as well."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_milvus.client.flow import Rest
from airflow_provider_milvus.exceptions import (
    MilvusAuthenticationError,
    MilvusImportError,
    MilvusInvalidArgumentError,
    MilvusNeverMetError,
    MilvusNotTakenError,
    MilvusServerError,
    MilvusTimeoutError,
    MilvusUnavailableError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.operators.milvus import MilvusBulkImportOperator
from airflow_provider_milvus.sensors.milvus import MilvusBulkImportSensor
from dev.servers.rest import FAILS, RestMilvus, dripping, frozen, refuse, rest_server, status, unanswered
from dev.servers.scripted import LOADED, NOT_LOADED, Refusal, ScriptedMilvus
from tests.integration.ingest.task_state import TaskState, WorkerLostError, a_try
from tests.integration.support import SLACK, Connect, deferral, ends_within, finish, resume

pytestmark = pytest.mark.newest

IN_BOTH_PLACES = pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferred"])
FILES = [["run/1.parquet"], ["run/2.parquet"]]


@pytest.fixture
def rest(scripted: ScriptedMilvus, connect: Connect) -> Iterator[RestMilvus]:
    """A Milvus 2.4: gRPC of the scripted server, and REST, which knows how many rows its imports have brought."""
    scripted.version = "v2.4.15"
    scripted.add("docs", NOT_LOADED)
    with rest_server() as server:
        connect(scripted.uri, rest_url=server.url)
        play_rows(scripted, server)
        yield server


def play_rows(scripted: ScriptedMilvus, rest: RestMilvus, served: float = 1.0) -> None:
    """Let the scripted server describe a schema, and count 10 rows and what was imported; ``served`` is the part it finds."""

    def describe(server: ScriptedMilvus, request: Any, context: Any) -> Any:
        answer = server.carry_out(request)
        if isinstance(answer, dict):
            answer["schema"] = {**answer["schema"], "fields": [{"name": "id", "is_primary_key": True, "data_type": 5}]}
        return answer

    def partitions(server: ScriptedMilvus, request: Any, context: Any) -> Any:
        if request.type == 1 and server.collections["docs"].now != LOADED:
            return Refusal(101, "collection not loaded")
        return None

    def count(server: ScriptedMilvus, request: Any, context: Any) -> Any:
        return {"fields_data": [{"scalars": {"long_data": {"data": [10 + int(rest.rows * served)]}}}]}

    scripted.always("DescribeCollection", describe)
    scripted.always("ShowPartitions", partitions)
    scripted.always("Query", count)
    scripted.always("DescribeIndex", lambda server, request, context: Refusal(700, "index not found[collection=docs]"))


def importing(**arguments: Any) -> MilvusBulkImportOperator:
    given = {"collection_name": "docs", "files": FILES, "poll_interval": 0.1, "timeout": 20, **arguments}
    return MilvusBulkImportOperator(task_id="import", **given)


@IN_BOTH_PLACES
def test_one_job_imports_all_files_and_the_rows_are_counted(
    rest: RestMilvus, scripted: ScriptedMilvus, deferrable: bool
) -> None:
    scripted.collections["docs"].become([LOADED])

    result = finish(importing(deferrable=deferrable, partition_name="p1", options={"timeout": "300s"}))

    assert rest.asked("create") == [
        {"collectionName": "docs", "partitionName": "p1", "files": FILES, "options": {"timeout": "300s"}}
    ]
    assert {**result, "seconds": 0} == {
        "collection": "docs",
        "database": "default",
        "job_ids": ["448707763884413158"],
        "files": 2,
        "rows": 200,
        "rows_before": 10,
        "rows_after": 210,
        "attached": False,
        "seconds": 0,
    }
    (refresh,) = scripted.received("LoadCollection")
    assert refresh.request.refresh is True


def test_deferred_each_step_is_done_once(rest: RestMilvus, scripted: ScriptedMilvus) -> None:
    docs = scripted.add("docs", LOADED, refresh_progress=50)
    importing_docs = importing(deferrable=True)
    deferred = deferral(importing_docs)
    with pytest.raises(TaskDeferred) as again:
        resume(importing_docs, deferred)
    docs.refresh_progress = 100

    result = resume(importing_docs, again.value)

    assert (result["rows"], len(rest.jobs), len(scripted.received("LoadCollection"))) == (200, 1, 1)


def test_progress_is_in_the_log(rest: RestMilvus, log_text: Any) -> None:
    finish(importing())

    log = log_text()
    assert [words in log for words in ("Importing 30 %", "Importing 70 %", "Completed 100 %")] == [True] * 3


@IN_BOTH_PLACES
def test_a_failed_job_names_its_files_with_reasons(rest: RestMilvus, deferrable: bool) -> None:
    rest.become, rest.reasons = FAILS, {"run/2.parquet": "field 'vector' has dim 4, expected 8"}

    with pytest.raises(MilvusImportError, match=r"is Failed 30 %: id:\d+ paths:\"run/2.parquet\": field 'vector' has dim 4"):
        finish(importing(deferrable=deferrable))


def test_rows_that_are_not_served_fail_the_task(rest: RestMilvus, scripted: ScriptedMilvus) -> None:
    scripted.collections["docs"].become([LOADED])
    play_rows(scripted, rest, served=0.97)

    with pytest.raises(
        MilvusImportError, match="does not serve all of the 200 imported rows: it has 204 rows, and had 10 before"
    ):
        finish(importing())
    assert finish(importing(probe=False))["rows_after"] == 398


@pytest.mark.parametrize("files", [[], "[]", {"files": [], "rows": 0}, "{'files': [], 'rows': 0}"])
def test_no_files_are_nothing_to_do(rest: RestMilvus, scripted: ScriptedMilvus, files: Any, log_text: Any) -> None:
    result = finish(importing(files=files, deferrable=True))

    assert {**result, "seconds": 0} == {
        "collection": "docs",
        "database": "default",
        "job_ids": [],
        "files": 0,
        "rows": 0,
        "rows_before": None,
        "rows_after": None,
        "attached": False,
        "seconds": 0,
    }
    assert "Nothing is imported into collection 'docs'" in log_text()
    assert (rest.jobs, scripted.calls) == ({}, [])


@pytest.mark.parametrize("files", [None, "", "None"])
def test_files_that_a_template_made_nothing_of_are_refused(rest: RestMilvus, files: Any) -> None:
    with pytest.raises(MilvusInvalidArgumentError, match="files is "):
        finish(importing(files=files))


def test_the_token_goes_along_and_a_wrong_one_is_never_tried_again(
    rest: RestMilvus, scripted: ScriptedMilvus, connect: Connect
) -> None:
    rest.token = "root:Milvus-secret"
    connect(scripted.uri, rest_url=rest.url, token="root:Milvus-secret")
    finish(importing())

    connect(scripted.uri, rest_url=rest.url, token="root:wrong-secret")
    with pytest.raises(MilvusAuthenticationError, match=r"user hasn't authenticated \(code 1800\)") as refused:
        finish(importing())

    assert len(rest.jobs) == 1
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("endpoint", "fault"),
    [
        ("create", status(503, "upstream connect error")),
        ("create", status(429)),
        ("create", refuse(8, "rate limit exceeded")),
        ("describe", status(503)),
        ("list", status(503)),
    ],
    ids=["create 503", "create 429", "create rate limit", "describe", "list"],
)
def test_a_server_that_takes_no_calls_for_now_is_waited_for(rest: RestMilvus, endpoint: str, fault: Any) -> None:
    rest.next(endpoint, fault, fault)

    result = finish(importing())

    assert (result["rows"], len(rest.jobs)) == (200, 1)


@pytest.mark.parametrize("lost", [unanswered("create"), unanswered("create", hang=30)], ids=["connection broken", "silence"])
def test_a_create_without_an_answer_is_found_in_the_listing(
    rest: RestMilvus, lost: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_milvus.bulk_import.rest_api.CREATE_TIMEOUT", 1.0)
    rest.next("create", lost)

    result = finish(importing())

    assert (result["rows"], len(rest.jobs), len(rest.asked("create"))) == (200, 1, 1)


def test_a_create_that_was_lost_and_made_no_job_is_left_to_the_next_try(rest: RestMilvus) -> None:
    rest.next("create", status(502, "bad gateway"))
    state = TaskState()

    with pytest.raises(MilvusUnavailableError, match="Whether there is an import job now is not known") as failed:
        finish(importing(), a_try(state))
    assert not isinstance(failed.value, MilvusNotTakenError)
    assert rest.jobs == {}

    assert finish(importing(), a_try(state))["rows"] == 200


def test_a_retry_attaches_by_the_id_that_was_noted(rest: RestMilvus) -> None:
    state = TaskState()
    deferral(importing(deferrable=True), a_try(state))

    result = finish(importing(), a_try(state))

    assert (result["attached"], result["rows"], len(rest.jobs)) == (True, 200, 1)
    assert state.kept == {}


def test_a_retry_finds_a_job_that_was_never_noted_by_its_files(rest: RestMilvus) -> None:
    rest.answer("create", {}, json.dumps({"collectionName": "docs", "files": [["other/1.parquet"]]}).encode())
    state = TaskState()
    rest.next("create", status(502))
    with pytest.raises(MilvusUnavailableError):
        finish(importing(), a_try(state))
    # The lost call was carried out after all, and so was one of somebody else's.
    for files in ([["theirs/1.parquet"]], FILES):
        rest.carry_out("create", {"collectionName": "docs", "files": files})

    result = finish(importing(), a_try(state))

    assert (result["job_ids"], result["attached"], len(rest.jobs)) == (["448707763884413160"], True, 3)


def test_a_job_that_does_not_tell_its_files_yet_is_waited_for(rest: RestMilvus) -> None:
    state = TaskState()
    rest.next("create", status(502))
    with pytest.raises(MilvusUnavailableError):
        finish(importing(), a_try(state))
    rest.tells_files = False
    rest.carry_out("create", {"collectionName": "docs", "files": FILES})
    (job,) = rest.jobs.values()

    def tell(server: RestMilvus, body: dict[str, Any]) -> None:
        job.told_files = True

    rest.next("describe", lambda server, body: None, tell)

    assert finish(importing(), a_try(state))["job_ids"] == [job.job_id]


def test_a_job_that_the_server_has_forgotten_is_not_imported_again_unasked(rest: RestMilvus) -> None:
    state = TaskState()
    deferral(importing(deferrable=True), a_try(state))
    rest.jobs.clear()

    with pytest.raises(MilvusImportError, match=r"does not know import job 448707763884413158 any more.*reattach=False"):
        finish(importing(), a_try(state))
    assert rest.jobs == {}

    assert finish(importing(reattach=False), a_try(state))["attached"] is False


def test_a_collection_that_was_made_anew_gets_the_rows_of_the_retry(rest: RestMilvus, scripted: ScriptedMilvus) -> None:
    state = TaskState()
    deferral(importing(deferrable=True), a_try(state))
    scripted.add("docs", NOT_LOADED)

    result = finish(importing(), a_try(state))

    assert (result["attached"], len(rest.jobs)) == (False, 2)


@pytest.mark.parametrize("lost_at", [1, 2], ids=["before the job is made", "before its id is noted"])
def test_a_worker_lost_around_the_making_of_the_job_makes_no_second_one(rest: RestMilvus, lost_at: int) -> None:
    state = TaskState(lost_at)
    with pytest.raises(WorkerLostError):
        finish(importing(), a_try(state))
    state.lost_at = None

    result = finish(importing(), a_try(state))

    assert (result["rows"], result["attached"], len(rest.jobs)) == (200, lost_at == 2, 1)


def test_a_task_that_succeeded_and_is_cleared_imports_again(rest: RestMilvus) -> None:
    state = TaskState()
    finish(importing(), a_try(state))

    assert finish(importing(), a_try(state))["attached"] is False
    assert len(rest.jobs) == 2


def test_a_failed_job_is_replaced_by_a_retry(rest: RestMilvus) -> None:
    state = TaskState()
    rest.become = FAILS
    with pytest.raises(MilvusImportError, match="the server gives no reason"):
        finish(importing(), a_try(state))
    rest.become = (("Completed", 100),)

    result = finish(importing(), a_try(state))

    assert (result["rows"], len(rest.jobs)) == (200, 2)


@IN_BOTH_PLACES
def test_a_frozen_server_ends_with_the_timeout(rest: RestMilvus, deferrable: bool) -> None:
    rest.next("describe", *[frozen()] * 5)

    with ends_within(2 + SLACK), pytest.raises(MilvusTimeoutError, match=r"The state of import job [0-9]+ could not be read"):
        finish(importing(timeout=2, deferrable=deferrable))


def test_an_answer_that_drips_ends_with_the_timeout(rest: RestMilvus) -> None:
    rest.next("list", *[dripping()] * 5)

    with ends_within(1 + SLACK), pytest.raises(MilvusTimeoutError, match="did not answer"):
        finish(importing(timeout=1))


def test_a_refused_port_is_called_that(rest: RestMilvus, scripted: ScriptedMilvus, connect: Connect, refused: str) -> None:
    connect(scripted.uri, rest_url=refused)

    with pytest.raises(MilvusNotTakenError, match=f"the connection was refused.*REST API at {refused}"):
        finish(importing(timeout=1))


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (status(200, "<html>login</html>"), MilvusServerError, "not one of Milvus's REST API"),
        (status(500, "oops"), MilvusServerError, "HTTP 500"),
        (status(404, "404 page not found"), MilvusUnsupportedError, "from 2.4 on"),
        (refuse(65535, "something broke"), MilvusServerError, r"something broke \(code 65535\)"),
        (status(403), MilvusAuthenticationError, "HTTP 403"),
    ],
)
def test_other_failures_say_what_was_answered(rest: RestMilvus, fault: Any, kind: type[Exception], words: str) -> None:
    rest.next("list", fault)

    with pytest.raises(kind, match=rf"^The import jobs of collection 'docs' could not be listed: .*{words}.*milvus_default"):
        finish(importing())


def test_an_early_server_with_another_name_for_describe_is_understood(rest: RestMilvus) -> None:
    rest.old = True

    assert finish(importing())["rows"] == 200


def test_the_rest_api_is_on_the_servers_own_port_by_default(connect: Connect) -> None:
    with rest_server() as server:
        connect(f"{server.url}/books")
        with MilvusHook().client() as client:
            client.perform(Rest("/v2/vectordb/jobs/import/list", {"collectionName": "docs"}))

        assert server.asked("list") == [{"dbName": "books", "collectionName": "docs"}]


class TestSensor:
    def wait(self, job_id: Any, **arguments: Any) -> Any:
        sensor = MilvusBulkImportSensor(
            task_id="wait", collection_name="docs", job_ids=job_id, poke_interval=0.1, timeout=10, **arguments
        )
        return finish(sensor)

    @IN_BOTH_PLACES
    def test_waits_for_the_job(self, rest: RestMilvus, deferrable: bool) -> None:
        rest.carry_out("create", {"collectionName": "docs", "files": FILES})

        self.wait(*rest.jobs, deferrable=deferrable)

        (job,) = rest.jobs.values()
        assert job.now == ("Completed", 100)

    @IN_BOTH_PLACES
    def test_fails_for_good_when_the_job_has(self, rest: RestMilvus, deferrable: bool) -> None:
        rest.become, rest.reasons = FAILS, {"run/1.parquet": "no such object"}
        rest.carry_out("create", {"collectionName": "docs", "files": FILES})

        with pytest.raises(MilvusNeverMetError, match="no such object"):
            self.wait(*rest.jobs, deferrable=deferrable)


class TestZillizCloud:
    @pytest.fixture
    def cloud(self, scripted: ScriptedMilvus, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> Iterator[RestMilvus]:
        scripted.version = "Zilliz Cloud Vector Database(Compatible with Milvus 2.5)"
        scripted.add("docs", NOT_LOADED)
        stored = {
            "conn_type": "aws",
            "login": "AKIA-key",
            "password": "storage-secret",
            "extra": {"aws_session_token": "sts-1"},
        }
        monkeypatch.setenv("AIRFLOW_CONN_STORAGE", json.dumps(stored))
        with rest_server(cluster_id="in01-0123", token="api-key-secret") as server:
            connect(scripted.uri, rest_url=server.url, cluster_id="in01-0123", token="api-key-secret")
            play_rows(scripted, server)
            yield server

    URLS = [["s3://bucket/run/1.parquet"], ["s3://bucket/run/2.parquet"]]

    def test_takes_urls_and_the_keys_of_their_storage(self, cloud: RestMilvus) -> None:
        prepared = {"files": [["run/1.parquet"], ["run/2.parquet"]], "urls": self.URLS, "rows": 200}

        result = finish(importing(files=prepared, storage_conn_id="storage"))

        assert cloud.asked("create") == [
            {
                "clusterId": "in01-0123",
                "collectionName": "docs",
                "objectUrls": self.URLS,
                "accessKey": "AKIA-key",
                "secretKey": "storage-secret",
                "token": "sts-1",
            }
        ]
        assert (result["rows"], result["job_ids"]) == (200, ["job-448707763884413158"])

    def test_looks_through_all_pages_of_its_jobs(self, cloud: RestMilvus) -> None:
        for number in range(250):
            cloud.carry_out(
                "create", {"clusterId": "in01-0123", "collectionName": "docs", "objectUrls": [[f"s3://b/{number}"]]}
            )
        state = TaskState()
        cloud.next("create", unanswered("create"))

        result = finish(importing(files=self.URLS), a_try(state))

        assert (result["job_ids"], len(cloud.jobs)) == ([f"job-{448707763884413158 + 250}"], 251)

    def test_an_illegal_key_is_a_matter_of_credentials(
        self, cloud: RestMilvus, scripted: ScriptedMilvus, connect: Connect
    ) -> None:
        connect(scripted.uri, rest_url=cloud.url, cluster_id="in01-0123", token="other")

        with pytest.raises(MilvusAuthenticationError, match="The apikey is illegal"):
            finish(importing(files=self.URLS))

    def test_no_secret_is_in_a_text_the_notes_or_what_travels_to_the_triggerer(self, cloud: RestMilvus, log_text: Any) -> None:
        state = TaskState()
        deferred = deferral(importing(files=self.URLS, storage_conn_id="storage", deferrable=True), a_try(state))
        cloud.next("list", refuse(1100, "invalid token api-key-secret"))
        with pytest.raises(Exception, match=r"invalid token \*\*\*") as refused:
            finish(importing(files=self.URLS, storage_conn_id="storage"))
        resume(importing(files=self.URLS, storage_conn_id="storage"), deferred, a_try(state))

        everything = f"{log_text()} {deferred.trigger.serialize()} {deferred.kwargs} {state.kept} {refused.value}"
        assert [key for key in ("secret", "AKIA", "sts-1") if key in everything] == []
