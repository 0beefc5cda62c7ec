"""What is there: the collections of one database, as the server listed them at one moment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CollectionState:
    """One collection: its load state and the aliases that point to it."""

    database: str
    collection: str
    state: str
    aliases: tuple[str, ...] = ()


def inventory(
    database: str, collections: list[str], loaded: dict[str, int], aliases: dict[str, list[str]]
) -> list[CollectionState]:
    """Put together what the server's listings say. ``loaded`` maps what is in memory, or on its way, to per cent."""
    listed = sorted({*collections, *loaded})
    return [CollectionState(database, each, _state(loaded.get(each)), tuple(sorted(aliases.get(each, ())))) for each in listed]


def _state(percent: int | None) -> str:
    if percent is None:
        return "NotLoad"
    return "Loaded" if percent >= 100 else "Loading"
