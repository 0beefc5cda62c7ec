"""Making and dropping indexes, as flows; success is what the server shows afterwards."""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_milvus.client.flow import Flow, Pause, Report, Rpc, in_time
from airflow_provider_milvus.client.reads import describe, find, is_lite, real_name
from airflow_provider_milvus.conditions import IndexBuilt, describe_indexes, load_states
from airflow_provider_milvus.exceptions import (
    MilvusCollectionNotFoundError,
    MilvusIndexNotFoundError,
    MilvusInvalidArgumentError,
    MilvusRefusedError,
    MilvusSchemaDriftError,
    MilvusServerError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.schema.definition import Definition, Index
from airflow_provider_milvus.schema.diff import index_drift

POLL = 0.2


def submit_index(
    name: str,
    wanted: Index,
    *,
    if_exists: str,
    own: bool = False,
    noting: Callable[[], object] = lambda: None,
    report: Report,
) -> Flow[tuple[IndexBuilt, bool]]:
    """Ask for an index; what to wait for, and whether it was created just now.

    ``own`` says that an earlier try of this task may have asked for it; ``noting`` is called just before it is sent.

    :raises MilvusRefusedError: the field has one (``"fail"``).
    :raises MilvusSchemaDriftError: the field has one that differs (``"check"``).
    """
    described = yield from describe(name)
    collection = real_name(described)
    fields = [each.name for each in described.schema.fields]
    if wanted.field_name not in fields and not described.schema.enable_dynamic_field:
        raise MilvusInvalidArgumentError(
            f"Collection {collection!r} has no field {wanted.field_name!r}; it has {', '.join(fields)}."
        )
    there = [Index.of_described(each) for each in (yield from describe_indexes(collection, wanted.field_name))]
    found = _counterpart(wanted, there)
    if found is not None:
        version = yield Rpc("GetVersion")
        differences = index_drift(wanted, found, lite=is_lite(version))
        if if_exists == "fail" and (differences or not own):
            raise MilvusRefusedError(
                f"Field {wanted.field_name!r} of {collection!r} has the index {found.name!r} ({found.index_type}). "
                "Set if_exists to 'skip' or 'check', or drop it first."
            )
        if if_exists == "check" and differences:
            raise MilvusSchemaDriftError(f"In {collection!r} {'; '.join(differences)}. Nothing was changed.")
        report(f"Field {wanted.field_name!r} of {collection!r} has the index {found.name!r}.")
        return IndexBuilt(collection, found.field_name, found.name), False
    noting()
    yield from create_index(collection, wanted)
    return IndexBuilt(collection, wanted.field_name, wanted.name), True


def drop_index(
    name: str,
    *,
    field_name: str = "",
    index_name: str = "",
    skip_if_missing: bool = False,
    noting: Callable[[str], object] = lambda found: None,
    report: Report,
) -> Flow[list[str]]:
    """Drop a field's index, or the one of that name; return what was dropped when the server does not have it any more.

    ``noting`` is told its name just before the drop is sent.

    :raises MilvusRefusedError: the collection is in memory, the name is an alias, or the field has several indexes.
    :raises MilvusIndexNotFoundError: there is none, unless ``skip_if_missing``.
    """
    if (yield from find(name)) is None:
        raise MilvusCollectionNotFoundError(f"There is no collection {name!r}. Check the name and the database.")
    found = [str(each.index_name) for each in (yield from describe_indexes(name, field_name, index_name))]
    asked = repr(index_name) if index_name else f"of field {field_name!r}"
    if not found:
        if not skip_if_missing:
            raise MilvusIndexNotFoundError(f"Collection {name!r} has no index {asked}.")
        report(f"Collection {name!r} has no index {asked}: nothing to drop.")
        return []
    if len(found) > 1:
        raise MilvusRefusedError(f"Field {field_name!r} of {name!r} has {', '.join(found)}: say which with index_name.")
    ((state, _),) = yield from load_states(name)
    if state != "NotLoad":
        raise MilvusRefusedError(
            f"Collection {name!r} is {state}: Milvus drops no index of a collection in memory. Release it first."
        )
    noting(found[0])
    yield Rpc("DropIndex", {"collection_name": name, "index_name": found[0]})
    yield from in_time(
        _index_gone(name, found[0]), f"The drop of index {found[0]!r} of {name!r} was sent, and the server still has it"
    )
    return found


def _index_gone(collection: str, index: str) -> Flow[None]:
    while (yield from describe_indexes(collection, index_name=index)):
        yield Pause(POLL)


def create_index(collection: str, index: Index) -> Flow[None]:
    request = {"collection_name": collection, "field_name": index.field_name, "index_name": index.name}
    try:
        yield Rpc("CreateIndex", {**request, "extra_params": index.extra_params})
    except MilvusServerError:
        # A call that was repeated after its answer got lost meets what it has made.
        there = yield from describe_indexes(collection, index.field_name, index.name)
        if not there or index_drift(index, Index.of_described(there[0])):
            raise


def indexes_of(collection: str) -> Flow[list[Index]]:
    return [Index.of_described(each) for each in (yield from describe_indexes(collection))]


def indexes_seen(wanted: Definition, *, lite: bool) -> Flow[list[Index]]:
    """Return when the server shows all that were asked for."""
    return (yield from in_time(_indexes_seen(wanted, lite), f"Not every index of {wanted.name!r} was seen on the server"))


def _indexes_seen(wanted: Definition, lite: bool) -> Flow[list[Index]]:
    while True:
        there = yield from indexes_of(wanted.name)
        missing, differences = compare(wanted, there, lite=lite)
        if differences:
            raise MilvusUnsupportedError(f"This server made other indexes than asked for: {'; '.join(differences)}.")
        if not missing:
            return there
        yield Pause(POLL)


def compare(wanted: Definition, there: list[Index], *, lite: bool) -> tuple[list[Index], list[str]]:
    """The indexes that are missing, and how others differ."""
    missing, differences = [], []
    for each in wanted.indexes:
        found = _counterpart(each, there)
        if found is None:
            missing.append(each)
        else:
            differences += index_drift(each, found, lite=lite)
    return missing, differences


def _counterpart(wanted: Index, there: list[Index]) -> Index | None:
    """The index of that name, or else the field's own: Milvus allows one, but for paths into a JSON field."""
    same_field = [each for each in there if each.field_name == wanted.field_name]
    named = [each for each in same_field if each.name == wanted.name]
    only = [each for each in same_field if not {"json_path"} & (each.params.keys() | wanted.params.keys())]
    return next(iter(named + only), None)
