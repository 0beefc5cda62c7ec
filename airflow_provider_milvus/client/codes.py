"""Every code that a Milvus server reports an error by, and the kind of error that it stands for.

A ``Status`` has two numbers, of two numberings that are never mixed: ``code`` is one of the server's package ``merr`` (Milvus
2.3 and later), and ``error_code`` is of an older enumeration, where 4 is a missing collection and not a busy server. An answer
may carry the older number alone: Milvus 2.5.18 to 3.0-beta report a missing collection so. The codes were read in the source
of Milvus 2.4, 2.6 and 3.0 (``pkg/util/merr/errors.go``).
"""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.exceptions import MilvusError

NOT_READY = 1
"""Milvus Lite has it for any error that it has no other code for, and pymilvus for its own: the text tells them apart."""
UNEXPECTED = 65535
"""The code of an error that the server has no code for."""
LITE_NOT_FOUND = 6
"""What Milvus Lite says of a missing database, among other things."""

CODES: dict[int, tuple[str, type[MilvusError]]] = {
    NOT_READY: ("service not ready", exceptions.MilvusUnavailableError),
    2: ("service unavailable", exceptions.MilvusUnavailableError),
    3: ("memory limit exceeded", exceptions.MilvusLoadFailedError),
    4: ("too many concurrent requests", exceptions.MilvusRateLimitError),
    5: ("service internal error", exceptions.MilvusServerError),
    LITE_NOT_FOUND: ("cross cluster routing", exceptions.MilvusServerError),
    7: ("disk limit exceeded", exceptions.MilvusLoadFailedError),
    8: ("rate limit exceeded", exceptions.MilvusRateLimitError),
    9: ("quota exceeded", exceptions.MilvusRateLimitError),
    10: ("service unimplemented", exceptions.MilvusUnsupportedError),
    11: ("time tick long delay", exceptions.MilvusUnavailableError),
    12: ("service resource insufficient", exceptions.MilvusUnavailableError),
    100: ("collection not found", exceptions.MilvusCollectionNotFoundError),
    101: ("collection not loaded", exceptions.MilvusNotLoadedError),
    102: ("exceeded the limit number of collections", exceptions.MilvusRefusedError),
    103: ("collection not fully loaded", exceptions.MilvusNotLoadedError),
    104: ("collection already loaded", exceptions.MilvusRefusedError),
    105: ("illegal collection schema", exceptions.MilvusInvalidArgumentError),
    106: ("collection on recovering", exceptions.MilvusUnavailableError),
    107: ("vector clustering key not allowed", exceptions.MilvusInvalidArgumentError),
    108: ("can't operate on the collection under standby mode", exceptions.MilvusRefusedError),
    109: ("collection schema mismatch", exceptions.MilvusInvalidArgumentError),
    110: ("collection schema version not ready", exceptions.MilvusUnavailableError),
    200: ("partition not found", exceptions.MilvusPartitionNotFoundError),
    201: ("partition not loaded", exceptions.MilvusNotLoadedError),
    202: ("partition not fully loaded", exceptions.MilvusNotLoadedError),
    250: ("general capacity exceeded", exceptions.MilvusRefusedError),
    300: ("resource group not found", exceptions.MilvusNotFoundError),
    301: ("resource group already exist, but create with different config", exceptions.MilvusInvalidArgumentError),
    302: ("resource group num reach limit", exceptions.MilvusRefusedError),
    303: ("resource group illegal config", exceptions.MilvusInvalidArgumentError),
    304: ("resource group node not enough", exceptions.MilvusInvalidArgumentError),
    305: ("resource group service unavailable", exceptions.MilvusUnavailableError),
    400: ("replica not found", exceptions.MilvusServerError),
    401: ("replica not available", exceptions.MilvusUnavailableError),
    500: ("channel not found", exceptions.MilvusServerError),
    501: ("channel lacks", exceptions.MilvusServerError),
    502: ("channel reduplicates", exceptions.MilvusServerError),
    503: ("channel not available", exceptions.MilvusUnavailableError),
    504: ("channel checkpoint exceed max lag", exceptions.MilvusServerError),
    505: ("channel tsafe stalled", exceptions.MilvusUnavailableError),
    506: ("channel checkpoint is dropped sentinel", exceptions.MilvusServerError),
    507: ("channel misrouted", exceptions.MilvusUnavailableError),
    600: ("segment not found", exceptions.MilvusServerError),
    601: ("segment not loaded", exceptions.MilvusServerError),
    602: ("segment lacks", exceptions.MilvusServerError),
    603: ("segment reduplicates", exceptions.MilvusServerError),
    604: ("segment load failed", exceptions.MilvusLoadFailedError),
    605: ("segment request resource failed", exceptions.MilvusLoadFailedError),
    700: ("index not found", exceptions.MilvusIndexNotFoundError),
    701: ("index type not supported", exceptions.MilvusInvalidArgumentError),
    702: ("index duplicates", exceptions.MilvusRefusedError),
    703: ("task duplicates", exceptions.MilvusServerError),
    800: ("database not found", exceptions.MilvusDatabaseNotFoundError),
    801: ("exceeded the limit number of database", exceptions.MilvusRefusedError),
    802: ("invalid database name", exceptions.MilvusInvalidArgumentError),
    901: ("node not found", exceptions.MilvusUnavailableError),
    902: ("node offline", exceptions.MilvusUnavailableError),
    903: ("node lacks", exceptions.MilvusUnavailableError),
    904: ("node not match", exceptions.MilvusServerError),
    905: ("node not available", exceptions.MilvusUnavailableError),
    906: ("node state unexpected", exceptions.MilvusServerError),
    1000: ("key not found", exceptions.MilvusServerError),
    1001: ("IO failed", exceptions.MilvusServerError),
    1002: ("unexpected EOF", exceptions.MilvusUnavailableError),
    1003: ("too many requests of the object storage", exceptions.MilvusUnavailableError),
    1004: ("data serialization or deserialization failed", exceptions.MilvusServerError),
    1005: ("permission denied by the object storage", exceptions.MilvusServerError),
    1006: ("bucket not found", exceptions.MilvusServerError),
    1007: ("invalid credentials of the object storage", exceptions.MilvusServerError),
    1008: ("storage internal error", exceptions.MilvusServerError),
    1009: ("data integrity check failed", exceptions.MilvusServerError),
    1010: ("invalid argument of the object storage", exceptions.MilvusServerError),
    1011: ("invalid range", exceptions.MilvusServerError),
    1012: ("entity too large", exceptions.MilvusServerError),
    1100: ("invalid parameter", exceptions.MilvusInvalidArgumentError),
    1101: ("missing parameter", exceptions.MilvusInvalidArgumentError),
    1102: ("parameter too large", exceptions.MilvusInvalidArgumentError),
    1200: ("metric not found", exceptions.MilvusServerError),
    1300: ("topic not found", exceptions.MilvusServerError),
    1301: ("topic not empty", exceptions.MilvusServerError),
    1302: ("message queue internal error", exceptions.MilvusServerError),
    1303: ("deny to write the message to mq", exceptions.MilvusServerError),
    1400: ("not authenticated", exceptions.MilvusAuthenticationError),
    1401: ("privilege not permitted", exceptions.MilvusPermissionError),
    1402: ("invalid privilege group name", exceptions.MilvusInvalidArgumentError),
    1600: ("alias not found", exceptions.MilvusAliasNotFoundError),
    1601: ("alias and collection name conflict", exceptions.MilvusRefusedError),
    1602: ("alias already exist", exceptions.MilvusRefusedError),
    1603: ("collection id of alias not found", exceptions.MilvusServerError),
    1700: ("field not found", exceptions.MilvusInvalidArgumentError),
    1701: ("field name invalid", exceptions.MilvusInvalidArgumentError),
    1800: ("user hasn't authenticated", exceptions.MilvusAuthenticationError),
    1801: ("can only accept json format request", exceptions.MilvusInvalidArgumentError),
    1802: ("missing required parameters", exceptions.MilvusInvalidArgumentError),
    1803: ("fail to marshal collection schema", exceptions.MilvusInvalidArgumentError),
    1804: ("fail to deal the insert data", exceptions.MilvusInvalidArgumentError),
    1805: ("fail to parse search result", exceptions.MilvusServerError),
    1806: ("please check the primary key", exceptions.MilvusInvalidArgumentError),
    1807: ("request is rejected by limiter", exceptions.MilvusRateLimitError),
    1900: ("deny to use the replicate message in the normal instance", exceptions.MilvusRefusedError),
    1901: ("invalid replicate msg bytes", exceptions.MilvusServerError),
    1902: ("no assign segment id", exceptions.MilvusServerError),
    1903: ("invalid stream object", exceptions.MilvusServerError),
    2000: ("segcore error", exceptions.MilvusServerError),
    2001: ("segcore unsupported error", exceptions.MilvusInvalidArgumentError),
    2002: ("segcore pretend finished", exceptions.MilvusServerError),
    2037: ("segcore folly other exception", exceptions.MilvusServerError),
    2038: ("segcore Future was canceled", exceptions.MilvusServerError),
    2039: ("segcore out of range", exceptions.MilvusServerError),
    2040: ("segcore GCP native error", exceptions.MilvusServerError),
    2099: ("knowhere error", exceptions.MilvusServerError),
    2100: ("importing data failed", exceptions.MilvusServerError),
    2101: ("importing data failed on server side", exceptions.MilvusServerError),
    2200: ("inconsistent requery result", exceptions.MilvusUnavailableError),
    2201: ("query plan failed", exceptions.MilvusServerError),
    2300: ("fail to read delta log", exceptions.MilvusServerError),
    2301: ("compaction plan illegal", exceptions.MilvusServerError),
    2302: ("compaction plan conflict", exceptions.MilvusServerError),
    2303: ("milvus cluster not support clustering compaction", exceptions.MilvusUnsupportedError),
    2304: ("collection not support clustering compaction", exceptions.MilvusUnsupportedError),
    2305: ("collection is compacting", exceptions.MilvusServerError),
    2306: ("vector field clustering compaction is not supported", exceptions.MilvusUnsupportedError),
    2307: ("fail to submit task", exceptions.MilvusUnavailableError),
    2308: ("fail to update meta in clustering compaction", exceptions.MilvusUnavailableError),
    2309: ("fail to get collection in compaction", exceptions.MilvusUnavailableError),
    2310: ("compaction result not found", exceptions.MilvusServerError),
    2311: ("analyze task not found", exceptions.MilvusUnavailableError),
    2312: ("fail to build CompactionRequest", exceptions.MilvusUnavailableError),
    2313: ("fail to get compaction plan", exceptions.MilvusUnavailableError),
    2314: ("illegal compaction results", exceptions.MilvusServerError),
    2315: ("duplicated compaction task", exceptions.MilvusServerError),
    2316: ("fail to clean partition Stats", exceptions.MilvusUnavailableError),
    2400: ("function execution failed", exceptions.MilvusServerError),
    2401: ("datanode slot exhausted", exceptions.MilvusUnavailableError),
    2500: ("KMS key has been revoked, access denied", exceptions.MilvusRefusedError),
    3000: ("unsupported operation", exceptions.MilvusUnsupportedError),
    3001: ("old session exists", exceptions.MilvusServerError),
    10000: ("context canceled", exceptions.MilvusUnavailableError),
    10001: ("context deadline exceeded", exceptions.MilvusTimeoutError),
    UNEXPECTED: ("unexpected error", exceptions.MilvusServerError),
}
"""The server's words for a code, and its kind. ``MilvusServerError`` leaves the decision to what else the server says."""

_CODE_OF_OLD = {
    2: 2, 3: 1401, 4: 100, 5: 1100, 7: 1100, 8: 1100, 9: 1100, 10: 1100, 23: 1100, 24: 3, 25: 700, 28: 100, 46: 401, 47: 600,
    48: 9, 49: 8, 50: 904, 51: 3000, 52: 3, 53: 9, 54: 9, 55: 11, 56: 1, 57: 1, 62: 109,
}  # fmt: skip
"""The code that stands for a number of the older enumeration (``ErrorCode`` of ``common.proto``)."""

_NO_DATABASE = re.compile(r"database[^\[\]]*not (found|exist)")
_WORDS: tuple[tuple[type[MilvusError], tuple[str, ...]], ...] = (
    (exceptions.MilvusUnavailableError, ("service not ready", "not healthy", "is not ready", "node not found", "no available")),
    # 2.3.5 says it of a release in its queue, when a call's time ended there a moment earlier than here.
    (exceptions.MilvusTimeoutError, ("context done", "deadline exceeded")),
    (exceptions.MilvusIndexNotFoundError, ("there is no vector index on field",)),
)
"""What an error without a code of its own says."""


def code_of(code: int, old: int) -> int:
    """The code of an error, whichever of the two numbers it has; 0 is no error."""
    return code or (_CODE_OF_OLD.get(old, UNEXPECTED) if old else 0)


def kind_of(code: int, text: str, *, retriable: bool = False, is_input_error: bool = False) -> type[MilvusError]:
    """The kind of an error that a server reports.

    :param code: as :func:`code_of` returns it.
    :param retriable: the server says that the same call may succeed later.
    :param is_input_error: the server says that the call itself is wrong.
    """
    lowered = text.lower()
    is_missing = "not found" in lowered or "not exist" in lowered
    if code in (LITE_NOT_FOUND, UNEXPECTED) and _NO_DATABASE.search(lowered):
        return exceptions.MilvusDatabaseNotFoundError
    if code in (2100, 2101) and is_missing:
        return exceptions.MilvusNotFoundError
    kind = CODES.get(code, CODES[UNEXPECTED])[1]
    if code == UNEXPECTED:
        kind = next((kind for kind, signs in _WORDS if any(sign in lowered for sign in signs)), kind)
    if kind is exceptions.MilvusServerError and (retriable or is_input_error):
        return exceptions.MilvusUnavailableError if retriable else exceptions.MilvusInvalidArgumentError
    return kind


class StatusError(Exception):
    """The ``Status`` of an answer that reports an error."""

    def __init__(self, status: Any) -> None:
        self.status = status
        self.code = code_of(status.code, status.error_code)
        self.text = str(status.reason).strip()
        # Of code 1 the words decide whether the server is not ready.
        known = code_of(0 if status.code == NOT_READY else status.code, status.error_code) or UNEXPECTED
        is_input_error = status.extra_info.get("is_input_error") == "true"
        self.kind = kind_of(known, self.text, retriable=status.retriable, is_input_error=is_input_error)
        super().__init__(self.text)


def check_status(answer: Any) -> Any:
    """The answer to a call, unless its status reports an error.

    :raises StatusError: it does.
    """
    status = getattr(answer, "status", answer)
    if status.code or status.error_code:
        raise StatusError(status)
    return answer
