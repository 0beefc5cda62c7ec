"""What an import job is, whichever way the server takes it, and what can be asked of it."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from airflow_provider_milvus.client.flow import Flow

Files = list[list[str]]
"""What to import. Each inner list is one Parquet or JSON file, or the NumPy files of the same rows, one for each field."""

PENDING, IMPORTING, COMPLETED, FAILED = "Pending", "Importing", "Completed", "Failed"
ENDED = (COMPLETED, FAILED)

_QUOTED = re.compile(r'"([^"]+)"')


@dataclass(frozen=True, slots=True)
class FileSeen:
    """How far a file of a job is. ``name`` is as the server has it, ``rows`` is ``None`` where it does not say."""

    name: str
    state: str
    rows: int | None = None
    reason: str = ""

    def is_among(self, files: Files) -> bool | None:
        """Whether it is one of ``files``; ``None`` where the last part of a path is all that agrees.

        Servers put ids and quotes around a path, and what they keep everything under before it, or they leave the bucket out.
        The NumPy files of the same rows are one name.
        """
        if self.name in (",".join(group) for group in files):
            return True
        told = [_bare(each) for each in _QUOTED.findall(self.name) or self.name.split(",")]
        asked = [_bare(path) for group in files for path in group]
        return _all(_is_one_of(each, asked) for each in told)


@dataclass(frozen=True, slots=True)
class Job:
    """An import job. ``progress`` is in per cent; ``rows`` are imported so far, ``None`` where the server does not say."""

    job_id: str
    state: str
    progress: int = 0
    rows: int | None = None
    files: tuple[FileSeen, ...] = ()
    reason: str = ""

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    def imports(self, files: Files) -> bool | None:
        """Whether it imports ``files``; ``None`` as long as the server does not say what it imports."""
        return _all(each.is_among(files) for each in self.files) if self.files else None

    def complaints(self) -> list[str]:
        """Why it failed, file by file where the server says so."""
        of_files = [f"{each.name.strip()}: {each.reason}" for each in self.files if each.reason]
        return of_files or [self.reason or "the server gives no reason; its log has one"]


@dataclass(frozen=True, slots=True)
class Target:
    """Where imported rows go, and how.

    ``storage`` holds what opens the object storage that the files are in, for a server that does not own it: then ``files``
    are URLs. It is no part of any text or note.
    """

    collection_name: str
    partition_name: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    object_urls: bool = False
    storage: Mapping[str, str] = field(default_factory=dict, repr=False)


class ImportApi(ABC):
    """The one interface; each method is a flow."""

    @abstractmethod
    def portions(self, files: Files) -> list[Files]:
        """``files``, cut into what one job imports."""

    @abstractmethod
    def create(self, target: Target, files: Files) -> Flow[str]:
        """Begin one job, and its id. It is sent once, unless the server certainly did not take it.

        :raises MilvusTimeoutError, MilvusUnavailableError: whether there is a job now is not known.
        """

    @abstractmethod
    def jobs(self, collection_name: str, job_ids: Sequence[str]) -> Flow[list[Job]]:
        """The jobs with these ids, in this order, without those that the server does not know, or no longer."""

    @abstractmethod
    def listed(self, collection_name: str) -> Flow[list[str]]:
        """The ids of all jobs of a collection that the server still knows."""


def _bare(path: str) -> str:
    return (path.partition("://")[2] or path).strip().lstrip("/")


def _is_one_of(told: str, asked: list[str]) -> bool | None:
    for path in asked:
        longer, shorter = (path, told) if len(path) > len(told) else (told, path)
        if longer == shorter or ("/" in shorter and longer.endswith(f"/{shorter}")):
            return True
    for path in asked:
        same_name = path.rpartition("/")[2] == told.rpartition("/")[2]
        # A name without its folder may be somebody else's, and what a folder holds is not known.
        if path.endswith("/") or (same_name and not ("/" in told and "/" in path)):
            return None
    return False


def _all(verdicts: Iterable[bool | None]) -> bool | None:
    """False if one is, else unknown if one is."""
    found = set(verdicts)
    return False if False in found else None if None in found else True
