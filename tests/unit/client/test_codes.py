"""The server's own word for a failure: its code, the older number, and what else a status says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from pymilvus.grpc_gen import common_pb2

from airflow_provider_milvus import exceptions as kinds
from airflow_provider_milvus.client.codes import KIND_OF_CODE, StatusError, check_status, kind_of

PAGE = Path(__file__).parents[3] / "docs" / "errors.md"


def refused(**status: object) -> StatusError:
    with pytest.raises(StatusError) as refusal:
        check_status(common_pb2.Status(**status))
    return refusal.value


class TestTwoNumberings:
    def test_a_missing_collection_by_the_older_number_alone_is_not_a_busy_server(self):
        """Milvus 2.5.18 to 3.0-beta."""
        refusal = refused(error_code=4, reason="can't find collection[database=d][collection=c]", extra_info=INPUT_ERROR)
        assert (refusal.code, refusal.kind) == (100, kinds.MilvusCollectionNotFoundError)

    @pytest.mark.parametrize(
        ("old", "kind"),
        [
            ("UnexpectedError", kinds.MilvusServerError),
            ("PermissionDenied", kinds.MilvusPermissionError),
            ("CollectionNotExists", kinds.MilvusCollectionNotFoundError),
            ("CollectionNameNotFound", kinds.MilvusCollectionNotFoundError),
            ("IllegalArgument", kinds.MilvusInvalidArgumentError),
            ("IllegalIndexType", kinds.MilvusInvalidArgumentError),
            ("IllegalCollectionName", kinds.MilvusInvalidArgumentError),
            ("IllegalTOPK", kinds.MilvusInvalidArgumentError),
            ("OutOfMemory", kinds.MilvusLoadFailedError),
            ("InsufficientMemoryToLoad", kinds.MilvusLoadFailedError),
            ("IndexNotExist", kinds.MilvusIndexNotFoundError),
            ("NoReplicaAvailable", kinds.MilvusUnavailableError),
            ("ForceDeny", kinds.MilvusRateLimitError),
            ("MemoryQuotaExhausted", kinds.MilvusRateLimitError),
            ("DiskQuotaExhausted", kinds.MilvusRateLimitError),
            ("RateLimit", kinds.MilvusRateLimitError),
            ("UpsertAutoIDTrue", kinds.MilvusUnsupportedError),
            ("TimeTickLongDelay", kinds.MilvusUnavailableError),
            ("NotReadyServe", kinds.MilvusUnavailableError),
            ("SchemaMismatch", kinds.MilvusInvalidArgumentError),
        ],
    )
    def test_an_older_number_is_translated_first(self, old, kind):
        assert refused(error_code=common_pb2.ErrorCode.Value(old), reason="something").kind is kind

    @pytest.mark.parametrize("old", common_pb2.ErrorCode.values()[1:])
    def test_no_older_number_is_read_as_a_code(self, old):
        refusal = refused(error_code=old, reason="something")
        assert refusal.code in KIND_OF_CODE
        assert refusal.code != old or old in (2,)

    def test_a_code_comes_before_the_older_number(self):
        assert refused(code=800, error_code=4, reason="something").kind is kinds.MilvusDatabaseNotFoundError


INPUT_ERROR = {"is_input_error": "true"}


class TestWhatElseAStatusSays:
    @pytest.mark.parametrize("code", [5, 1001, 4711, 65535])
    def test_an_error_that_may_pass_is_tried_again(self, code):
        assert refused(code=code, reason="something", retriable=True).kind is kinds.MilvusUnavailableError

    @pytest.mark.parametrize("code", [5, 4711, 65535])
    def test_a_wrong_call_is_not(self, code):
        assert refused(code=code, reason="something", extra_info=INPUT_ERROR).kind is kinds.MilvusInvalidArgumentError

    def test_a_kind_that_says_more_is_kept(self):
        assert refused(code=103, reason="collection not fully loaded", retriable=True).kind is kinds.MilvusNotLoadedError
        assert refused(code=101, reason="something", extra_info=INPUT_ERROR).kind is kinds.MilvusNotLoadedError

    def test_an_answer_without_an_error_is_the_answer(self):
        answer = common_pb2.Status(reason="all is well", retriable=True)
        assert check_status(answer) is answer


@pytest.mark.parametrize(
    ("code", "words", "kind"),
    [
        (3, "memory limit exceeded[predict(MB)=9000][limit(MB)=8000]", kinds.MilvusLoadFailedError),
        (103, "collection not fully loaded[collection=7]", kinds.MilvusNotLoadedError),
        (503, "channel not available[channel=dml_0]", kinds.MilvusUnavailableError),
        (1807, "request is rejected by limiter, please try later", kinds.MilvusRateLimitError),
        (2100, "importing data failed: import job does not exist, jobID=7", kinds.MilvusNotFoundError),
        (2101, "importing data failed on server side: import job does not exist, jobID=7", kinds.MilvusNotFoundError),
        (2100, "importing data failed: row 3 has no key", kinds.MilvusServerError),
        (10000, "context canceled", kinds.MilvusUnavailableError),
        (10001, "proxy TaskCondition context Done: context deadline exceeded", kinds.MilvusTimeoutError),
        (65535, "database does not exist: books", kinds.MilvusDatabaseNotFoundError),
        (65535, "collection not found[database=books][collection=c]", kinds.MilvusServerError),
        (65535, "there is no vector index on field: [v], please create index firstly", kinds.MilvusIndexNotFoundError),
    ],
)
def test_a_code_has_its_kind(code, words, kind):
    assert kind_of(code, words) is kind


def test_every_code_of_the_server_has_a_row():
    """Those that merr of Milvus 3.0 registers, and those that 2.4 had besides."""
    spans = [(1, 12), (100, 110), (200, 202), (250, 250), (300, 305), (400, 401), (500, 507), (600, 605), (700, 703)]
    spans += [
        (800, 802),
        (901, 906),
        (1000, 1012),
        (1100, 1102),
        (1200, 1200),
        (1300, 1303),
        (1400, 1402),
        (1600, 1603),
        (1700, 1701),
    ]
    spans += [(1800, 1807), (1900, 1903), (2000, 2002), (2037, 2040), (2099, 2101), (2200, 2201), (2300, 2316), (2400, 2401)]
    spans += [(2500, 2500), (3000, 3001), (10000, 10001), (65535, 65535)]
    assert sorted(KIND_OF_CODE) == [code for first, last in spans for code in range(first, last + 1)]


def test_what_no_retry_can_mend_is_not_tried_again():
    hopeless = [102, 104, 105, 107, 108, 250, 701, 801, 802, 1101, 1102, 1402, 1601, 1602, 1700, 1701, 2001, 2303, 3000]
    assert [code for code in hopeless if not issubclass(KIND_OF_CODE[code], AirflowFailException)] == []


def test_the_page_names_every_code_under_its_kind():
    rows = re.findall(r"^\| `(Milvus\w+)` \| (\d.*) \|$", PAGE.read_text(), re.M)
    named = {int(code): kind for kind, codes in rows for code in re.findall(r"(?:^|; )(\d+) \w", codes)}
    assert named == {code: kind.__name__ for code, kind in KIND_OF_CODE.items()}
