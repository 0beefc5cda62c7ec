"""The operators that move an alias from one collection to another, and drop one.

The work is in ``server/aliases.py``, which is imported when a task runs.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.kinds import check_flag, check_name, check_seconds, one_of
from airflow_provider_milvus.operators.base import MilvusWriteOperator, WatchedOperator, known, result
from airflow_provider_milvus.operators.run_notes import RetryNotes

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.client.tries import Tries
    from airflow_provider_milvus.hooks.milvus import MilvusHook


def check_grace(argument: str, value: Any) -> float:
    """Seconds, or a timedelta; 0 is no grace period."""
    return 0.0 if value in (0, "0", timedelta(0)) and not isinstance(value, bool) else check_seconds(argument, value)


class MilvusSwapAliasOperator(WatchedOperator, MilvusWriteOperator):
    """Point an alias to another collection, in one step for all who search through it; done when the server shows it.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusSwapAliasOperator

        go_live = MilvusSwapAliasOperator(
            task_id="go_live", alias="docs_live", collection_name="docs", grace_period=600, then="release"
        )

    All arguments are templates. An alias that does not exist is created. Afterwards the old collection is kept, released or
    dropped (``then``). It is looked at just before: it is kept when another alias points to it or when it is being loaded. When
    somebody moves the alias in the grace period, the task fails without a retry, which would repeat the swap. A retry knows the
    old collection from the first try.

    Returns ``alias``, ``collection``, ``database``, ``old`` (the old collection; None if the alias is new or pointed to the
    collection before this run), ``changed``, ``old_is`` (``"kept"``, ``"released"``, ``"dropped"``, ``"gone"`` or None),
    ``reason`` where that is not what ``then`` says, and ``seconds``.

    :param alias: the alias.
    :param collection_name: the collection that the alias is to point to; not an alias.
    :param expected_old: swap only if the alias points to this collection now; by default, or with ``"*"``, wherever it points.
    :param require_loaded: refuse a collection that is not in memory, where every search would fail; True by default.
    :param grace_period: seconds, or a timedelta, between the swap and what ``then`` says, for searches under way and for second
        thoughts; none by default. The task's ``timeout`` does not include it.
    :param then: ``"keep"``, the default, ``"release"`` or ``"drop"`` the old collection.
    :param timeout: seconds for the whole operation; 3600 by default.
    :param poll_interval: seconds between two looks at the alias in the grace period, at most; 2 by default.
    :param stall_timeout: seconds, of no use here: nothing moves in a grace period, so a shorter one fails the task.
    :param deferrable: wait for the end of the grace period in the triggerer; by default what ``[operators] default_deferrable``
        says.
    :raises MilvusRefusedError: the collection is not in memory, its name is an alias, the alias is a collection's name, or it
        points elsewhere than ``expected_old``. Nothing was changed.
    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: it does not exist. Nothing was changed.
    :raises MilvusAliasMovedError: somebody moved the alias in the grace period. The old collection was left as it is.
    :raises MilvusTimeoutError, MilvusUnavailableError: the swap, or what ``then`` says, was not seen in time. A retry goes on.
    """

    alias = Argument(check_name)
    expected_old = OptionalArgument(check_name, widens=True, nothing="*")
    require_loaded = Argument(check_flag)
    grace_period = OptionalArgument(check_grace)
    then = Argument(one_of("keep", "release", "drop"))

    def __init__(
        self,
        *,
        alias: str,
        expected_old: str | None = None,
        require_loaded: bool = True,
        grace_period: float | timedelta | str | None = None,
        then: str = "keep",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.take(locals())

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.client.flow import Deadline
        from airflow_provider_milvus.conditions import GraceOver
        from airflow_provider_milvus.server import aliases

        began, hook = time.time(), self.hook()
        alias, target, grace = self.alias, self.collection_name, self.grace_period or 0.0
        with hook.client() as client, self._tries(context) as tries:
            swapped = client.run(
                aliases.swap(
                    alias,
                    target,
                    expected_old=self.expected_old,
                    require_loaded=self.require_loaded,
                    tries=tries,
                    report=self.log.info,
                ),
                hook.deadline(),
            )
            submitted = {"collection": target, **asdict(swapped), "began": began}
            since = time.time()
            if not swapped.changed and (earlier := tries.earlier):
                submitted |= {"old": earlier["old"], "old_id": earlier["old_id"], "changed": True}
                since = earlier["at"]
            until = since + grace
            left = until - time.time()
            if submitted["old"] is None or left <= 0:
                return self.finish(context, hook, submitted, "Over")
            condition = GraceOver(target, alias, until)
            deadline = Deadline(left + hook.deadline().seconds)
            if self.deferrable:
                self.hand_over(condition, deadline, submitted)
            return self.finish(context, hook, submitted, self.watch(client, condition, deadline).state)

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        with self._tries(context):
            return super().execute_complete(context, event)

    def _tries(self, context: Context) -> AbstractContextManager[Tries]:
        return RetryNotes(context).of(swapping=[self.alias, self.collection_name])

    def finish(self, context: Context, hook: MilvusHook, submitted: dict[str, Any], state: str) -> dict[str, Any]:
        from airflow_provider_milvus.server import aliases

        target, old = submitted["collection"], submitted["old"]
        more: dict[str, Any] = {"alias": self.alias, "old": old, "changed": submitted["changed"], "old_is": None}
        if old is not None:
            from airflow_provider_milvus.client.subject import Subject

            subject = Subject(old, submitted["old_id"])
            retired = self.carry_out(
                hook,
                lambda deadline: aliases.retire(
                    self.alias,
                    target,
                    subject,
                    self.then,
                    deadline,
                    tries=RetryNotes(context).tries(swapping=[self.alias, target]).part("retired"),
                    report=self.log.info,
                ),
            )
            more |= {"old_is": retired.outcome, **known(reason=retired.reason)}
        if submitted["changed"]:
            self.wrote(context, hook, self.alias, from_collections=[target, *([old] if old else [])], points_to=target)
        return result(hook, target, submitted["began"], **more)


class MilvusDropAliasOperator(MilvusWriteOperator):
    """Drop an alias; done when the server has it no more. The collection behind it stays. All arguments are templates.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusDropAliasOperator

        drop = MilvusDropAliasOperator(task_id="drop", alias="docs_old", if_missing="skip")

    Every search through the alias fails afterwards. A retry succeeds if an earlier try sent the drop and did not see its end.

    Returns ``collection`` (the one that the alias pointed to, or None), ``database``, ``alias``, ``dropped`` and ``seconds``.

    :param alias: the alias.
    :param expected_old: drop it only if it points to this collection; by default, or with ``"*"``, wherever it points.
    :param if_missing: ``"fail"``, the default, or ``"skip"``: succeed when the alias does not exist.
    :param timeout: seconds for the whole operation; by default the connection's ``timeout``, which is 60 unless it says
        otherwise.
    :raises MilvusAliasNotFoundError, MilvusDatabaseNotFoundError: it does not exist. Nothing was changed.
    :raises MilvusRefusedError: it points elsewhere than ``expected_old``. Nothing was changed.
    :raises MilvusAliasMovedError: somebody moved it meanwhile. Nothing was changed.
    :raises MilvusInDoubtError: the answer was lost, and the alias is there: it was not dropped, or was made again.
    """

    alias = Argument(check_name)
    expected_old = OptionalArgument(check_name, widens=True, nothing="*")
    if_missing = Argument(one_of("fail", "skip"))

    def __init__(self, *, alias: str, expected_old: str | None = None, if_missing: str = "fail", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.take(locals())

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server import aliases

        began, hook, alias, skip = time.time(), self.hook(), self.alias, self.if_missing == "skip"
        with RetryNotes(context).of(dropping_alias=alias) as tries:
            drop = aliases.drop_alias(
                alias, expected_old=self.expected_old, skip_if_missing=skip, tries=tries, report=self.log.info
            )
            if (old := self.carry_out(hook, drop)) is not None:
                self.wrote(context, hook, alias, from_collections=[old], dropped=True)
        return result(hook, old, began, alias=alias, dropped=old is not None)
