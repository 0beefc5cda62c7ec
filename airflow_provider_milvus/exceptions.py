"""What can go wrong, and whether trying again can help.

Each kind carries that decision. ``try_again`` kinds are ridden out by the client until the operation's deadline and, when
they do surface, are ordinary failures that Airflow retries. The kinds that derive from ``AirflowFailException`` end the
task at once: no retry mends a wrong password or a misspelt name.

Every message names the connection, the database, what was tried and what to do next, and never holds a secret.
"""

from __future__ import annotations

from typing import ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException


class MilvusError(Exception):
    """Any failure this provider reports. Not an ``AirflowException``: a sensor's ``soft_fail`` must not hide an outage."""

    try_again: ClassVar[bool] = False


class MilvusUnavailableError(MilvusError):
    """The server cannot be reached, or says that it is not ready. Whether it carried out the call is not known."""

    try_again = True


class MilvusNotTakenError(MilvusUnavailableError):
    """The server cannot be reached, or takes no calls for now. The call was certainly not carried out."""


class MilvusTimeoutError(MilvusError):
    """No answer, or not the awaited state, in time. The server may still be working on it: look before repeating."""

    try_again = True


class MilvusRateLimitError(MilvusError):
    """The server refuses for now: rate limit, or reads or writes denied by a quota. Nothing was changed."""

    try_again = True


class MilvusServerError(MilvusError):
    """The server failed in a way that has no kind of its own; the message holds its code and words."""


class MilvusNotLoadedError(MilvusServerError):
    """The call needs the collection in memory, and it is not: load it first."""


class MilvusLoadFailedError(MilvusError):
    """A load ended as NotLoad or never began: out of memory, or released by somebody else. Nothing is in memory."""


class MilvusLoadStalledError(MilvusError):
    """A load made no progress for ``stall_timeout`` seconds. The server still says Loading."""


class MilvusReclaimError(MilvusError):
    """Some releases of a reclaim run failed. The others were carried out; the run's result tells which."""


class MilvusRestoreError(MilvusError):
    """Some collections of a restore set are not back in memory. The others are; the run's result tells which."""


class MilvusCheckError(MilvusError):
    """A check of rows or of recall does not hold; the message has the figures. Nothing was changed. A retry counts anew."""


class MilvusImportError(MilvusError):
    """A bulk import failed, or is not known to have succeeded. The message says which files, why, and what is in."""


class MilvusMetricsError(MilvusError):
    """The metrics cannot be read: down, slow, or not what they should be. Nothing is known of use and of bytes."""


class MilvusSourceError(MilvusError):
    """A file of rows is not there, or cannot be read to its end. What was written before stays."""


class MilvusConfigurationError(MilvusError, AirflowFailException):
    """The Airflow connection is missing, incomplete or contradictory. Nothing was sent."""


class MilvusAuthenticationError(MilvusError, AirflowFailException):
    """The server answered, and rejected the credentials or the privilege."""


class MilvusInvalidArgumentError(MilvusError, AirflowFailException, ValueError):
    """An argument that can never work. Nothing was changed on the server."""


class MilvusRefusedError(MilvusError, AirflowFailException):
    """This provider refused for safety's sake, for example to release through an alias. Nothing was changed."""


class MilvusBadRowsError(MilvusError, AirflowFailException):
    """Rows of the source that cannot be written. Nothing of their chunk was sent; the message says what was written before."""


class MilvusInDoubtError(MilvusError, AirflowFailException):
    """Whether some rows were inserted cannot be told, and a retry could write them twice. The message says which rows."""


class MilvusBeingLoadedError(MilvusRefusedError):
    """The collection is being loaded just now, and whoever waits for that would see it fail. Nothing was changed."""


class MilvusNeverMetError(MilvusError, AirflowFailException):
    """What a sensor waits for will never be. Nothing was changed."""


class MilvusIndexFailedError(MilvusNeverMetError):
    """The server gave up building an index; the message has its reason. The index is there, and Failed."""


class MilvusSchemaDriftError(MilvusError, AirflowFailException):
    """A collection is not what the DAG says; the message names each difference. Nothing was changed."""


class MilvusAliasMovedError(MilvusError, AirflowFailException):
    """Somebody pointed the alias elsewhere while the task waited. Nothing was released or dropped after that."""


class MilvusUnsupportedError(MilvusError, AirflowFailException):
    """This server cannot do that. Nothing was changed."""


class MilvusNotFoundError(MilvusError, AirflowFailException):
    """Something that the call names does not exist. Nothing was changed."""


class MilvusDatabaseNotFoundError(MilvusNotFoundError):
    """The database does not exist; ``if_missing`` never applies to it."""


class MilvusCollectionNotFoundError(MilvusNotFoundError):
    """The database exists, the collection (or alias) does not."""


class MilvusPartitionNotFoundError(MilvusNotFoundError):
    """The collection exists, the partition does not."""


class MilvusAliasNotFoundError(MilvusNotFoundError):
    """No such alias."""


class MilvusIndexNotFoundError(MilvusNotFoundError):
    """The collection has no index: it cannot be loaded."""


def error_of_kind(kind: str, message: str) -> MilvusError:
    """Rebuild an error from its class name, as a trigger's event carries it."""
    found = _kinds().get(kind, MilvusServerError)
    return found(message)


def _kinds() -> dict[str, type[MilvusError]]:
    kinds: dict[str, type[MilvusError]] = {}
    waiting: list[type[MilvusError]] = [MilvusError]
    while waiting:
        kind = waiting.pop()
        kinds[kind.__name__] = kind
        waiting.extend(kind.__subclasses__())
    return kinds
