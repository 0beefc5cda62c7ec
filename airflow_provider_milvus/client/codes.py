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

_CODES: dict[type[MilvusError], tuple[int, ...]] = {
    exceptions.MilvusUnavailableError: (
        NOT_READY, 2, 11, 12, 106, 110, 305, 401, 503, 505, 507, 901, 902, 903, 905, 1002, 1003, 2200, 2307, 2308,
        2309, 2311, 2312, 2313, 2316, 2401, 10000,
    ),
    exceptions.MilvusLoadFailedError: (3, 7, 604, 605),
    exceptions.MilvusRateLimitError: (4, 8, 9, 1807),
    exceptions.MilvusServerError: (
        5, LITE_NOT_FOUND, 400, 500, 501, 502, 504, 506, 600, 601, 602, 603, 703, 904, 906, 1000, 1001, 1004, 1005,
        1006, 1007, 1008, 1009, 1010, 1011, 1012, 1200, 1300, 1301, 1302, 1303, 1603, 1805, 1901, 1902, 1903, 2000,
        2002, 2037, 2038, 2039, 2040, 2099, 2100, 2101, 2201, 2300, 2301, 2302, 2305, 2310, 2314, 2315, 2400, 3001,
        UNEXPECTED,
    ),
    exceptions.MilvusUnsupportedError: (10, 2303, 2304, 2306, 3000),
    exceptions.MilvusCollectionNotFoundError: (100,),
    exceptions.MilvusNotLoadedError: (101, 103, 201, 202),
    exceptions.MilvusRefusedError: (102, 104, 108, 250, 302, 702, 801, 1601, 1602, 1900, 2500),
    exceptions.MilvusInvalidArgumentError: (
        105, 107, 109, 301, 303, 304, 701, 802, 1100, 1101, 1102, 1402, 1700, 1701, 1801, 1802, 1803, 1804, 1806,
        2001,
    ),
    exceptions.MilvusPartitionNotFoundError: (200,),
    exceptions.MilvusNotFoundError: (300,),
    exceptions.MilvusIndexNotFoundError: (700,),
    exceptions.MilvusDatabaseNotFoundError: (800,),
    exceptions.MilvusAuthenticationError: (1400, 1800),
    exceptions.MilvusPermissionError: (1401,),
    exceptions.MilvusAliasNotFoundError: (1600,),
    exceptions.MilvusTimeoutError: (10001,),
}  # fmt: skip
"""The codes of each kind; docs/errors.md has the server's words. ``MilvusServerError`` leaves it to what else it says."""
KIND_OF_CODE = {code: kind for kind, codes in _CODES.items() for code in codes}

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
    kind = KIND_OF_CODE.get(code, exceptions.MilvusServerError)
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
