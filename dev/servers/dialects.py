"""How the versions of Milvus answer where they differ, as data, for the stand-in to play.

Read in the server's source, except 2.3.5's answers, which were seen on the real one. Nothing of 2.4 and later was run.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dialect:
    """One version.

    ``missing`` are the fields of the status with which DescribeCollection answers for a missing collection.
    ``describes_database``: DescribeCollection names a missing database by its own code. ``load_updates``: a load of a
    collection that is in memory sets its replicas, resource groups and fields anew. ``remembers_failure``: for a day after a
    load has failed, GetLoadState and GetLoadingProgress answer with the failure.
    """

    version: str
    missing: dict[str, int]
    describes_database: bool
    load_updates: bool
    remembers_failure: bool


_BY_CODE = {"code": 100, "error_code": 1}
# proxy/service_provider.go: the cached provider fills in the older number only.
_BY_OLDER_NUMBER = {"code": 0, "error_code": 4}
_BY_BOTH = {"code": 100, "error_code": 4}

DIALECTS = {
    dialect.version: dialect
    for dialect in (
        Dialect("2.3.5", _BY_CODE, describes_database=False, load_updates=False, remembers_failure=False),
        Dialect("2.4.15", _BY_CODE, describes_database=True, load_updates=True, remembers_failure=True),
        Dialect("2.5.17", _BY_CODE, describes_database=True, load_updates=True, remembers_failure=True),
        Dialect("2.5.18", _BY_OLDER_NUMBER, describes_database=True, load_updates=True, remembers_failure=True),
        Dialect("2.6.9", _BY_OLDER_NUMBER, describes_database=True, load_updates=True, remembers_failure=True),
        Dialect("2.6.16", _BY_OLDER_NUMBER, describes_database=True, load_updates=True, remembers_failure=False),
        Dialect("3.0.0", _BY_BOTH, describes_database=True, load_updates=True, remembers_failure=False),
    )
}
