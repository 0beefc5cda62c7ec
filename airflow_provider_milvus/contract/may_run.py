"""Which tasks a user may run, from its grants alone: plain data in, plain data out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_provider_milvus.contract.grants import ALL, Grants, subject
from airflow_provider_milvus.contract.privileges import TASKS, kind_of


@dataclass(frozen=True, slots=True)
class Verdict:
    """``may_run``: ``None`` where it is not known. ``collections``: those on which it may; ``*``: on all.

    ``missing``: the privileges that it lacks, each with what it lacks it on.
    """

    task: str
    may_run: bool | None
    collections: tuple[str, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)


def verdicts(grants: Grants) -> list[Verdict]:
    """One for each task of docs/roles.md.

    A task may run on a collection on which the user holds all that it needs. Where there is none, the collection on which the
    least is missing says what is: all of them, unless another one is nearer.
    """
    held = grants.held()
    names = [ALL, *sorted(set().union(*held.values()) - {ALL})]
    found = []
    for task, needs in TASKS.items():
        needed = sorted(needs.on_2_3 if grants.on_2_3 else needs.later)
        missing = {name: [each for each in needed if held.get(each, set()).isdisjoint({ALL, name})] for name in names}
        nearest = min(names, key=lambda name: len(missing[name]))
        if lacks := missing[nearest]:
            on = {each: subject(kind_of(each), ALL if kind_of(each) == "Global" else nearest) for each in lacks}
            found.append(Verdict(task, None if grants.not_told else False, missing=on))
        else:
            there = [ALL] if nearest == ALL else [name for name in names if not missing[name]]
            found.append(Verdict(task, True, tuple(there)))
    return found
