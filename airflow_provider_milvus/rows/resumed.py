"""What a retry needs to know of rows: whether the source is still the same, and a chunk without those that are written."""

from __future__ import annotations

import hashlib
from typing import Any

from airflow_provider_milvus.rows.check import Checked
from airflow_provider_milvus.rows.storage import files, is_path


def fingerprint(source: Any) -> str | None:
    """Tells files apart by path, size and time, or whatever their storage tells of a change; ``None`` for all that is not a
    path or a list of paths, since nobody knows whether it gives the same rows in the same order again."""
    paths = list(source) if isinstance(source, (list, tuple)) else [source]
    if not paths or not all(is_path(each) for each in paths):
        return None
    found = [file for path in paths for file in files(path)]
    return hashlib.sha256("\n".join(f"{each.url} {each.fs.ukey(each.path)}" for each in found).encode()).hexdigest()


def without_first(checked: Checked, count: int) -> Checked:
    """The same rows without the first ``count``."""
    import numpy

    if not count:
        return checked
    keep = numpy.arange(len(checked)) >= count
    columns = {name: column.where(keep) for name, column in checked.columns.items()}
    return Checked(checked.numbers[count:], columns, checked.bad, checked.replaced)
