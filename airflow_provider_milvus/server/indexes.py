"""Creating and dropping indexes, as flows; success is what the server shows afterwards."""

from __future__ import annotations

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.flow import Flow, Pause, Report, Rpc, after, in_doubt, in_time
from airflow_provider_milvus.client.reads import find, is_lite, version_for
from airflow_provider_milvus.client.subject import Subject, find_subject, subject_of
from airflow_provider_milvus.client.tries import ONE_TRY, Tries
from airflow_provider_milvus.conditions import IndexBuilt, describe_indexes, load_state
from airflow_provider_milvus.schema.definition import Definition, Index
from airflow_provider_milvus.schema.diff import index_drift

POLL = 0.2
"""Seconds between two looks for a change that the server has answered."""


def submit_index(
    name: str,
    requested: Index,
    *,
    if_exists: str,
    tries: Tries = ONE_TRY,
    report: Report,
) -> Flow[tuple[IndexBuilt, bool]]:
    """Request an index; return the condition to wait for, and whether the index was created just now.

    ``tries`` note that it is sent: what an earlier try may have requested is this task's own.

    :raises MilvusRefusedError: the field has an index (``"fail"``). Nothing was changed.
    :raises MilvusSchemaDriftError: the field has an index that differs (``"check"``). Nothing was changed.
    """
    subject = yield from find_subject(name)
    described, collection, field_name = subject.first, subject.name, requested.field_name
    fields = [field.name for field in described.schema.fields]
    if field_name not in fields and not described.schema.enable_dynamic_field:
        raise exceptions.MilvusInvalidArgumentError(
            f"The index was not created: collection {collection!r} has no field {field_name!r}; it has {', '.join(fields)}."
        )
    descriptions = yield from describe_indexes(collection, field_name)
    existing = _counterpart(requested, [Index.of_described(description) for description in descriptions])
    if existing is not None:
        differences = index_drift(requested, existing, lite=is_lite((yield from version_for(collection))))
        if if_exists == "fail" and (differences or tries.earlier is None):
            raise exceptions.MilvusRefusedError(
                f"The index was not created: field {field_name!r} of collection {collection!r} has the index "
                f"{existing.name!r} ({existing.index_type}). Set if_exists to 'skip' or 'check', or drop it first."
            )
        if if_exists == "check" and differences:
            raise exceptions.MilvusSchemaDriftError(
                f"Collection {collection!r} was left as it is: its index differs from what is requested: "
                f"{'; '.join(differences)}. Drop the index first, or request it as it is."
            )
        report(f"Field {field_name!r} of collection {collection!r} has the index {existing.name!r} already.")
        return IndexBuilt(collection, existing.field_name, existing.name), False
    yield from create_index(subject, requested, tries)
    return IndexBuilt(collection, field_name, requested.name), True


def drop_index(
    name: str,
    *,
    field_name: str = "",
    index_name: str = "",
    skip_if_missing: bool = False,
    tries: Tries = ONE_TRY,
    report: Report,
) -> Flow[list[str]]:
    """Drop a field's index, or the index of that name; return what was dropped when the server does not have it any more.

    ``tries`` note the index's name and id just before the drop is sent: a later try drops no other index.

    :raises MilvusRefusedError: the collection is in memory, ``name`` is an alias, or the field has several indexes.
    :raises MilvusIndexNotFoundError: there is no such index, unless ``skip_if_missing``.
    """
    described = yield from find(name)
    if described is None:
        raise exceptions.MilvusCollectionNotFoundError(
            f"The index was not dropped: there is no collection {name!r}. Check the name and the database."
        )
    subject = subject_of(described)
    descriptions = yield from describe_indexes(name, field_name, index_name)
    names = [str(description.index_name) for description in descriptions]
    which = repr(index_name) if index_name else f"of field {field_name!r}"
    if tries.earlier and tries.earlier not in [[found.index_name, int(found.indexID)] for found in descriptions]:
        report(f"Index {tries.earlier[0]!r} of collection {name!r} was dropped by an earlier try of this task.")
        return [tries.earlier[0]]
    if not names:
        if not skip_if_missing:
            raise exceptions.MilvusIndexNotFoundError(f"The index was not dropped: collection {name!r} has no index {which}.")
        report(f"Collection {name!r} has no index {which}: nothing to drop.")
        return []
    index, index_id = names[0], int(descriptions[0].indexID)
    if len(names) > 1:
        raise exceptions.MilvusRefusedError(
            f"The index was not dropped: field {field_name!r} of collection {name!r} has {', '.join(names)}. "
            "Name one with index_name."
        )

    def is_due(lost: exceptions.MilvusError | None) -> Flow[bool]:
        if not (yield from _is_there(subject, index, index_id)):
            return False
        if lost is not None and not index_id:
            raise in_doubt(lost, "There is an index of that name, and this server does not tell whether it is another one.")
        state = yield from load_state(name)
        if state != "NotLoad":
            raise exceptions.MilvusRefusedError(
                f"Index {index!r} was not dropped: collection {name!r} is {state}, and Milvus drops no index of a collection "
                "in memory. Release it first."
            )
        return True

    call = Rpc("DropIndex", {"collection_name": name, "index_name": index}, still=is_due)
    answer = yield from tries.send(call, lambda: [index, index_id])
    if answer is not None and index_id:
        # Without ids, what has the name after the answer is another index.
        gone = in_time(_see_no_index(subject, index, index_id), "The server has answered it, and shows the index still")
        yield from after(f"The drop of index {index!r} of collection {name!r} was sent.", gone)
    return names


def _is_there(subject: Subject, index: str, index_id: int) -> Flow[bool]:
    """Whether the collection has this index, and not another one of its name."""
    if (yield from subject.look()) is None:
        return False
    found = yield from describe_indexes(subject.name, index_name=index)
    return bool(found) and int(found[0].indexID) == index_id


def _see_no_index(subject: Subject, index: str, index_id: int) -> Flow[None]:
    while (yield from _is_there(subject, index, index_id)):
        yield Pause(POLL)


def create_index(subject: Subject, index: Index, tries: Tries = ONE_TRY) -> Flow[None]:
    """Send an index; return when the server has answered. It need not be built then.

    :raises MilvusReplacedError: the collection was dropped meanwhile.
    """
    fields = {"collection_name": subject.name, "field_name": index.field_name, "index_name": index.name}

    def is_due(lost: exceptions.MilvusError | None) -> Flow[bool]:
        yield from subject.check(lost)
        return not (yield from _has(subject.name, index))

    yield from tries.send(Rpc("CreateIndex", {**fields, "extra_params": index.extra_params}, still=is_due), lambda: True)


def _has(collection: str, index: Index) -> Flow[bool]:
    descriptions = yield from describe_indexes(collection, index.field_name, index.name)
    return bool(descriptions) and not index_drift(index, Index.of_described(descriptions[0]))


def indexes_of(collection: str) -> Flow[list[Index]]:
    """All indexes that a collection has on the server."""
    descriptions = yield from describe_indexes(collection)
    return [Index.of_described(description) for description in descriptions]


def see_indexes(definition: Definition, *, lite: bool) -> Flow[list[Index]]:
    """Return all indexes of the collection when the server shows every one that was requested.

    :raises MilvusUnsupportedError: the server shows an index that differs from the requested one.
    """
    return (
        yield from in_time(_see_indexes(definition, lite), f"Not every index of {definition.name!r} was seen on the server")
    )


def _see_indexes(definition: Definition, lite: bool) -> Flow[list[Index]]:
    while True:
        existing = yield from indexes_of(definition.name)
        missing, differences = compare(definition, existing, lite=lite)
        if differences:
            raise exceptions.MilvusUnsupportedError(
                f"{definition.name!r} got other indexes than requested: {'; '.join(differences)}."
            )
        if not missing:
            return existing
        yield Pause(POLL)


def compare(definition: Definition, existing: list[Index], *, lite: bool) -> tuple[list[Index], list[str]]:
    """The requested indexes that are missing, and how the existing ones differ from what is requested."""
    missing, differences = [], []
    for requested in definition.indexes:
        counterpart = _counterpart(requested, existing)
        if counterpart is None:
            missing.append(requested)
        else:
            differences += index_drift(requested, counterpart, lite=lite)
    return missing, differences


def _counterpart(requested: Index, existing: list[Index]) -> Index | None:
    """The index of that name, or else the field's own: Milvus allows a field one index, except for paths into a JSON field."""
    same_field = [index for index in existing if index.field_name == requested.field_name]
    same_name = [index for index in same_field if index.name == requested.name]
    no_path = [index for index in same_field if "json_path" not in index.index_params.keys() | requested.index_params.keys()]
    return next(iter(same_name + no_path), None)
