"""What an import job is, and what can be asked of a server about it, over gRPC or REST."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from airflow_provider_milvus.client.flow import Flow, Still

Files = list[list[str]]
"""What to import. Each inner list is one Parquet or JSON file, or the NumPy files of the same rows, one for each field."""

_QUOTED = re.compile(r'"([^"]+)"')


class JobState(StrEnum):
    PENDING = "Pending"
    IMPORTING = "Importing"
    COMPLETED = "Completed"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class ReportedFile:
    """A file of a job, as the server reports it. ``rows`` is ``None`` where the server does not count them by file."""

    name: str
    state: str
    rows: int | None = None
    reason: str = ""

    def is_among(self, files: Files) -> bool | None:
        """Whether it is one of ``files``. ``None`` is not known: only the last parts of the two paths agree.

        A server may put ids and quotes around a path, put its own root directory before it, or leave out the bucket. It
        reports the NumPy files of the same rows under one name.
        """
        if self.name in (",".join(group) for group in files):
            return True
        reported = [_without_scheme(path) for path in _QUOTED.findall(self.name) or self.name.split(",")]
        requested = [_without_scheme(path) for group in files for path in group]
        return _all_of(_is_one_of(path, requested) for path in reported)


@dataclass(frozen=True, slots=True)
class Job:
    """An import job. ``progress`` is in per cent. ``rows`` are imported so far; ``None`` is not known."""

    job_id: str
    state: str
    progress: int = 0
    rows: int | None = None
    files: tuple[ReportedFile, ...] = ()
    reason: str = ""

    @property
    def ended(self) -> bool:
        return self.state in (JobState.COMPLETED, JobState.FAILED)

    def imports(self, files: Files) -> bool | None:
        """Whether all that it imports is among ``files``. ``None`` is not known."""
        return _all_of(file.is_among(files) for file in self.files) if self.files else None

    def failure_reasons(self) -> list[str]:
        """Why it failed: a reason for each file, where the server reports them, or one for the job."""
        by_file = [f"{file.name.strip()}: {file.reason}" for file in self.files if file.reason]
        return by_file or [self.reason or "the server gives no reason; its log has one"]


@dataclass(frozen=True, slots=True)
class ImportTarget:
    """Where imported rows go, and how.

    With ``object_urls`` the files are URLs in an object storage that the server does not own. ``storage`` then holds the keys
    of that storage, which are in no text and in no note.
    """

    collection_name: str
    partition_name: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    object_urls: bool = False
    storage: Mapping[str, str] = field(default_factory=dict, repr=False)


class ImportApi(ABC):
    """How a server takes imports. The methods that ask it something are flows."""

    @abstractmethod
    def portions(self, files: Files) -> list[Files]:
        """``files``, divided into what one job can import."""

    @abstractmethod
    def create(self, target: ImportTarget, files: Files, still: Still) -> Flow[str]:
        """Begin one job, and return its id; empty where ``still``, the look before it is sent, says that it is there."""

    @abstractmethod
    def jobs(self, collection_name: str, job_ids: Sequence[str]) -> Flow[list[Job]]:
        """The jobs with these ids, in this order. A job that the server does not know, or no longer, is left out."""

    @abstractmethod
    def listed(self, collection_name: str) -> Flow[list[str]]:
        """The ids of all jobs of a collection that the server still knows."""


def _without_scheme(path: str) -> str:
    return (path.partition("://")[2] or path).strip().lstrip("/")


def _is_one_of(reported: str, requested: list[str]) -> bool | None:
    for path in requested:
        longer, shorter = (path, reported) if len(path) > len(reported) else (reported, path)
        if longer == shorter or ("/" in shorter and longer.endswith(f"/{shorter}")):
            return True
    for path in requested:
        same_name = path.rpartition("/")[2] == reported.rpartition("/")[2]
        # A name without its folder may be somebody else's file, and what a requested folder holds is not known.
        if path.endswith("/") or (same_name and not ("/" in reported and "/" in path)):
            return None
    return False


def _all_of(answers: Iterable[bool | None]) -> bool | None:
    """False if one answer is, otherwise not known if one is."""
    distinct = set(answers)
    return False if False in distinct else None if None in distinct else True
