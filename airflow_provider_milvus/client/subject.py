"""The collection that a task means, told from another one that gets the same name.

Between a look and a change somebody may drop a collection and make another of its name, or give the name to an alias. Milvus
tells them apart by the collection's id. Milvus Lite has no ids: there only another schema tells.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_milvus.client.flow import Flow
from airflow_provider_milvus.client.reads import aliases_of, describe, real_name, target_of
from airflow_provider_milvus.exceptions import (
    MilvusCollectionNotFoundError,
    MilvusError,
    MilvusInDoubtError,
    MilvusReplacedError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.schema.pairs import from_pairs
from airflow_provider_milvus.schema.window_marks import marks_of, open_windows


@dataclass(frozen=True, slots=True)
class Standing:
    """What may speak against a change of a collection, at one look: its aliases and its properties."""

    collection_id: int
    aliases: list[str]
    properties: dict[str, str]

    @property
    def windows(self) -> list[str]:
        """The windows (``milvus_loaded``) that are open."""
        return sorted(open_windows(marks_of(self.properties), time.time()))

    def came_after(self, aliases: Collection[str], windows: Collection[str]) -> str | None:
        """Who has begun to need the collection since it had these: in words, or ``None``."""
        if added := sorted(set(self.aliases) - set(aliases)):
            return f"it was given the alias {', '.join(map(repr, added))} while this task worked"
        if opened := sorted(set(self.windows) - set(windows)):
            return f"a window (milvus_loaded) was opened while this task worked: {', '.join(opened)}"
        return None


Unless = Callable[[Standing], str | None]
"""Asked just before a change is sent: why the collection has to stay as it is, or ``None``."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A collection as the first look saw it.

    ``collection_id`` is 0 where the server tells none. ``alias`` is the name that the task has for it, where that is an alias.
    """

    name: str
    collection_id: int = 0
    first: Any = None
    alias: str | None = None

    def look(self) -> Flow[Any | None]:
        """The collection's description now; ``None`` where it does not exist any more, whatever has its name."""
        try:
            now = yield from describe(self.name)
        except MilvusCollectionNotFoundError:
            return None
        return None if self.is_another(now) else now

    def is_another(self, now: Any) -> bool:
        """Whether a description is certainly not of this collection."""
        if real_name(now) != self.name:
            return True
        if self.collection_id and now.collectionID:
            return bool(now.collectionID != self.collection_id)
        return self.first is not None and bool(now.schema != self.first.schema)

    def standing(self) -> Flow[Standing | None]:
        """The aliases and properties now; ``None`` where the collection does not exist any more.

        From 2.5.18 on a description comes from a proxy's memory, which may not have the newest alias: a listing has it.
        """
        try:
            listed = yield from aliases_of(self.name)
        except MilvusCollectionNotFoundError:
            return None
        except MilvusUnsupportedError:
            listed = None
        described = yield from self.look()
        if described is None:
            return None
        aliases = list(described.aliases) if listed is None else listed
        for newer in set(described.aliases).difference(aliases):
            # Made between the two calls, or a description that is old.
            if (yield from target_of(newer)) == self.name:
                aliases.append(newer)
        return Standing(int(described.collectionID), aliases, from_pairs(described.properties))

    def at_first(self) -> Flow[Standing | None]:
        """As :meth:`standing`, with the windows of the first look: one that was opened since has come while the task worked."""
        standing = yield from self.standing()
        if standing is None or self.first is None:
            return standing
        return replace(standing, properties=from_pairs(self.first.properties))

    def still(self, lost: MilvusError | None) -> Flow[bool]:
        """The look of a change that may be made twice, but to no other collection.

        :raises MilvusReplacedError: the collection does not exist any more.
        """
        yield from self.check(lost)
        return True

    def check(self, done: object = None) -> Flow[dict[str, str]]:
        """Make sure that the name stands for this collection still, and return its properties.

        ``done`` is what the task has done, for the message.

        :raises MilvusReplacedError: it does not.
        """
        now = yield from self.look()
        if now is None:
            raise self.replaced(done)
        return from_pairs(now.properties)

    def replaced(self, done: object = None) -> MilvusReplacedError:
        return MilvusReplacedError(
            f"Collection {self.name!r} was dropped by somebody else while this task worked on it; if there is one of that name "
            f"now, it is another one.{f' {done}' if done else ''}"
        )

    def replaced_between_tries(self, done: str) -> MilvusInDoubtError:
        """No retry follows, and whoever clears the task has looked: it is done to this collection then."""
        return MilvusInDoubtError(
            f"Collection {self.name!r} is another one than that of an earlier try of this task, which somebody has dropped. "
            f"{done} Look at this one, and clear the task to have it done here."
        )


def find_subject(name: str) -> Flow[Subject]:
    """The collection behind a name or an alias.

    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: it does not exist.
    """
    described = yield from describe(name)
    return subject_of(described, name)


def subject_of(described: Any, name: str = "") -> Subject:
    """The collection of a description, which was asked for by ``name``."""
    real = real_name(described)
    return Subject(real, int(described.collectionID), described, name if name not in ("", real) else None)
