"""The kinds of failure, and whether another attempt can help.

A kind carries that decision. With ``try_again`` the client repeats the call until the operation's deadline; when such an error
ends a task, Airflow retries the task. A kind that derives from ``AirflowFailException`` ends the task without a retry: no
retry mends a wrong password or a misspelt name. Every other error is left to Airflow's retries.

A message names what failed, the cause, the connection and the database where they are known, and the next step. It never holds
a secret.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException


class MilvusError(Exception):
    """Any failure that this provider reports.

    .. code-block:: python

        from airflow_provider_milvus.exceptions import MilvusCollectionNotFoundError, MilvusError
        from airflow_provider_milvus.hooks.milvus import MilvusHook

        with MilvusHook(timeout=10).client() as client:
            try:
                print(client.describe_collection("docs"))
            except MilvusCollectionNotFoundError:
                print("There is no collection 'docs'.")
            except MilvusError as error:
                print(f"Worth another try: {error.try_again}.", error)

    It is not an ``AirflowException``, so that a sensor's ``soft_fail`` does not hide an outage.
    """

    try_again: ClassVar[bool] = False


class MilvusUnavailableError(MilvusError):
    """The server cannot be reached, or is not ready. It may have carried out the call."""

    try_again = True


class MilvusNotTakenError(MilvusUnavailableError):
    """The server cannot be reached, or takes no calls for now. It certainly did not carry out the call."""


class MilvusTlsError(MilvusNotTakenError):
    """The two ends do not trust each other, or one of them speaks no TLS. Nothing was sent. Waiting does not mend it."""

    try_again = False


class MilvusTimeoutError(MilvusError):
    """No answer in time, or not the awaited state. The server may still be working: look at its state before repeating."""

    try_again = True


class MilvusRateLimitError(MilvusError):
    """The server refuses the call for now, by a rate limit or a quota. Nothing was changed."""

    try_again = True


class MilvusServerError(MilvusError):
    """The server failed in a way that has no kind of its own; the message holds its code and its text."""


class MilvusNotLoadedError(MilvusServerError):
    """The call needs the collection in memory, and it is not: load it first."""


class MilvusReplacedError(MilvusError):
    """The collection was dropped, or dropped and made anew, while the task worked on it. The message says what was done."""


class MilvusLoadFailedError(MilvusError):
    """A load ended as NotLoad or never began: it does not fit, or somebody else released it. Nothing is in memory."""


class MilvusLoadStalledError(MilvusError):
    """A load made no progress for ``stall_timeout`` seconds. The server still reports Loading."""


class MilvusReclaimError(MilvusError):
    """Some releases of a reclaim run failed. The others were carried out; the run's result lists both."""


class MilvusRestoreError(MilvusError):
    """Some collections of a reload are not back in memory. The others are; the run's result lists both."""


class MilvusCheckError(MilvusError):
    """A check of rows or of recall failed; the message has the figures. Nothing was changed. A retry counts again."""


class MilvusImportError(MilvusError):
    """A bulk import failed, or is not known to have succeeded. The message names the files, the causes, and what is in."""


class MilvusMetricsError(MilvusError):
    """The metrics cannot be read: no answer, a late one, or another page. Use and bytes in memory are unknown."""


class MilvusSourceError(MilvusError):
    """A file of rows does not exist, or cannot be read to its end. Rows that were written before stay."""


class MilvusConfigurationError(MilvusError, AirflowFailException):
    """The Airflow connection is missing, incomplete or contradictory. Nothing was sent."""


class MilvusAuthenticationError(MilvusError, AirflowFailException):
    """The server answered, and rejected the credentials."""


class MilvusPermissionError(MilvusAuthenticationError):
    """The user lacks a privilege, which the message names. See docs/roles.md for what each task needs."""


class MilvusInvalidArgumentError(MilvusError, AirflowFailException, ValueError):
    """An argument can never work. Nothing was changed on the server."""


class MilvusRefusedError(MilvusError, AirflowFailException):
    """This provider refused for safety, for example a release through an alias; or the server did, for a limit or a name that
    is taken. Nothing was changed."""


class MilvusBadRowsError(MilvusError, AirflowFailException):
    """The source has bad rows. No row of their chunk was sent; the message names the rows that were written before."""


class MilvusInDoubtError(MilvusError, AirflowFailException):
    """A change may have been made or not, and made again it could double rows, or undo what somebody else did since. The
    message names the rows or the thing."""


class MilvusBeingLoadedError(MilvusRefusedError):
    """The collection is being loaded, and a task that waits for the load would fail. Nothing was changed."""


class MilvusNeverMetError(MilvusError, AirflowFailException):
    """A condition can never be met. Nothing was changed."""


class MilvusIndexFailedError(MilvusNeverMetError):
    """The server failed to build an index; the message has its reason. The index exists, in the state Failed."""


class MilvusSchemaDriftError(MilvusError, AirflowFailException):
    """A collection differs from the DAG's definition; the message names all differences. Nothing was changed."""


class MilvusAliasMovedError(MilvusError, AirflowFailException):
    """The alias was pointed to another collection while the task waited. Nothing was released or dropped after that."""


class MilvusUnsupportedError(MilvusError, AirflowFailException):
    """This server, or the installed pymilvus, does not support the call. Nothing was changed."""


class MilvusNotFoundError(MilvusError, AirflowFailException):
    """A thing that the call names does not exist. Nothing was changed."""


class MilvusDatabaseNotFoundError(MilvusNotFoundError):
    """The database does not exist; ``if_missing`` never applies to it."""


class MilvusCollectionNotFoundError(MilvusNotFoundError):
    """The database exists, the collection (or alias) does not."""


class MilvusPartitionNotFoundError(MilvusNotFoundError):
    """The collection exists, the partition does not."""


class MilvusAliasNotFoundError(MilvusNotFoundError):
    """The alias does not exist."""


class MilvusIndexNotFoundError(MilvusNotFoundError):
    """The collection has no index, or not the named one. Without an index it cannot be loaded."""


def error_of_kind(kind: str, message: str) -> MilvusError:
    """An error from the name of its class, as a trigger's event carries it; of an unknown name a ``MilvusServerError``."""
    return next((known for known in _kinds(MilvusError) if known.__name__ == kind), MilvusServerError)(message)


def _kinds(kind: type[MilvusError]) -> Iterator[type[MilvusError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _kinds(narrower)
