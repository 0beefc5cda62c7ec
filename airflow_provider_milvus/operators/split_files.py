"""Many files in parts, for as many mapped tasks."""

from __future__ import annotations

import re
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.kinds import check_whole_number

if TYPE_CHECKING:
    from airflow_provider_milvus.rows.storage import File

MOST_PARTS = 1000
"""Airflow maps a task 1,024 times at most, unless it is told otherwise."""


def split_files(rows: Any, parts: int) -> list[list[str]]:
    """Split files into lists of about the same number of bytes, each for one mapped task.

    .. code-block:: python

        from airflow.providers.common.compat.sdk import DAG, task
        from airflow_provider_milvus.operators.milvus import MilvusUpsertOperator, split_files

        with DAG("ingest", schedule=None):

            @task
            def parts():
                return split_files("/data/docs/", parts=8)

            MilvusUpsertOperator.partial(task_id="upsert", collection_name="docs").expand(rows=parts())

    It lists the storage, so call it in a task and not in a DAG file. The same files in the same sizes give the same parts, in a
    retry and in a backfill as well. No file is read or cut: one large file is one part.

    :param rows: paths or URLs of files, directories or patterns, as ``MilvusUpsertOperator`` takes them, or a list of these. A
        connection in a URL (``s3://my_conn@bucket/docs/``) stays in the URLs of the parts.
    :param parts: how many lists there are, at most; fewer where there are fewer files.
    :raises MilvusInvalidArgumentError: ``rows`` names no files, or ``parts`` is not a whole number from 1 to 1,000.
    :raises MilvusSourceError: there is no such file.
    """
    from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
    from airflow_provider_milvus.rows.source import paths_of
    from airflow_provider_milvus.rows.storage import files, is_path

    check_whole_number("parts", parts, 1, MOST_PARTS)
    paths = paths_of(rows)
    if not paths or not all(map(is_path, paths)):
        raise MilvusInvalidArgumentError("rows: only files can be split: paths or URLs, or a list of these.")
    sizes = {_address(str(path), file): file.fs.size(file.path) or 0 for path in paths for file in files(path)}
    lists: list[list[str]] = [[] for _ in range(min(parts, len(sizes)))]
    # The largest first, each into the part that has the fewest bytes so far, and of these the fewest files.
    least = [(0, 0, part) for part in range(len(lists))]
    for address in sorted(sizes, key=lambda address: (-sizes[address], address)):
        size, count, part = heappop(least)
        lists[part].append(address)
        heappush(least, (size + sizes[address], count + 1, part))
    return sorted(map(sorted, lists))


def _address(path: str, file: File) -> str:
    """The file's own path or URL, with the connection that ``path`` has it from."""
    from airflow_provider_milvus.rows.storage import is_local

    if is_local(file.fs):
        return file.path
    found = re.match(r"[^:/]+://([^/@]*@)", path)
    connection = found[1] if found else ""
    scheme, separator, rest = str(file.fs.unstrip_protocol(file.path)).partition("://")
    # A storage without buckets, such as HTTP, has the whole URL for a path.
    return f"{scheme}{separator}{connection}{rest.removeprefix(connection)}"
