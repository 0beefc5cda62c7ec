"""The nightly reclaim: release what is cold, keep what is needed, and say why of each collection."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.arguments import optional_seconds, seconds
from airflow_provider_milvus.exceptions import (
    MilvusError,
    MilvusInvalidArgumentError,
    MilvusReclaimError,
    MilvusRefusedError,
    MilvusUnavailableError,
)
from airflow_provider_milvus.operators.base import MilvusOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.client import BoundedClient
    from airflow_provider_milvus.flow import Deadline
    from airflow_provider_milvus.hooks.milvus import MilvusHook
    from airflow_provider_milvus.reclaim.inventory import CollectionState
    from airflow_provider_milvus.reclaim.policy import Decision, Policy
    from airflow_provider_milvus.reclaim.report import Outcome


class MilvusReclaimMemoryOperator(MilvusOperator):
    """Release the collections that match patterns, an age, or both, and verify each.

    All load states are read with a few calls, however many collections there are. A plan gives every collection of the
    database a reason; then each release is carried out and seen on the server, and one failure stops no other. A collection
    that is being loaded, has an alias, or is not in memory is left alone.

    Returns ``{"released": […], "kept": […], "failed": […]}``, each entry with ``database``, ``collection``, ``state`` and
    ``reason``; a dry run adds ``planned`` and ``dry_run`` and releases nothing. The result is pushed to XCom before the task
    fails for the sake of a failed release.

    :param collections: patterns of names that may go, such as ``"events_*"``; case matters. (templated)
    :param exclude: patterns of names that stay, whatever else holds. (templated)
    :param older_than: release what is older than this, by the date in its name and from the start of that day to the DAG
        run's logical date (``run_after`` where a run has none). A timedelta, or an ISO 8601 duration such as ``"P7D"``.
        A collection without a date in its name stays. With ``collections``, both must hold. (templated)
    :param date_format: how the date is written, as for ``strptime``. Without a day it is the first of the month. (templated)
    :param timezone: the time zone in which a day starts. (templated)
    :param keep_aliased: keep a collection that an alias points to.
    :param dry_run: only plan. (templated)
    :param max_releases: release at most so many; the oldest go first.
    :param timeout: seconds for the whole run.
    :param release_timeout: seconds for one release; None: the connection's ``timeout``.
    :raises MilvusInvalidArgumentError: neither a pattern nor an age is given, or one that can never work. Nothing was
        changed.
    :raises MilvusReclaimError: at least one release failed; the others were carried out.
    """

    template_fields: Sequence[str] = (
        *MilvusOperator.template_fields,
        "collections",
        "exclude",
        "older_than",
        "date_format",
        "timezone",
        "plan_only",
        "max_releases",
    )

    def __init__(
        self,
        *,
        collections: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        older_than: timedelta | str | None = None,
        date_format: str = "%Y%m%d",
        timezone: str = "UTC",
        keep_aliased: bool = True,
        dry_run: bool | str = False,
        max_releases: int | None = None,
        timeout: float = 3600.0,
        release_timeout: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=seconds("timeout", timeout), **kwargs)
        self.collections = collections
        self.exclude = exclude
        self.older_than = older_than
        self.date_format = date_format
        self.timezone = timezone
        self.keep_aliased = keep_aliased
        # Not self.dry_run: that is a method of every operator.
        self.plan_only = dry_run
        self.max_releases = max_releases
        self.release_timeout = optional_seconds("release_timeout", release_timeout)

    def execute(self, context: Context) -> dict[str, object]:
        from airflow_provider_milvus.reclaim.report import Outcome

        policy, dry_run = self._policy(context), _flag("dry_run", self.plan_only)
        hook = self.hook()
        outcome = Outcome(dry_run=dry_run)
        with hook.client() as client:
            deadline = hook.deadline()
            # The hour is for the releases: a server that does not even list its collections is reported much sooner.
            found = self._inventory(client, hook.settings.database, deadline.at_most(hook.settings.timeout))
            for pattern in policy.unmatched(found):
                self.log.warning("The pattern %r matches no collection of database %r.", pattern, hook.settings.database)
            self._carry_out(client, hook, policy.decide(found), outcome, deadline)
        self.log.info("Reclaim of database %r:\n%s", hook.settings.database, outcome.as_table())
        self.log.info(outcome.as_sentence())
        result = outcome.as_result()
        if outcome.failed:
            _push(context, result)
            raise MilvusReclaimError(
                f"{outcome.as_sentence()} Failed: "
                + " ".join(f"{each['collection']}: {each['reason']}" for each in outcome.failed[:5])
            )
        return result

    def _inventory(self, client: BoundedClient, database: str, deadline: Deadline) -> list[CollectionState]:
        from airflow_provider_milvus import memory
        from airflow_provider_milvus.reclaim.inventory import inventory

        collections = client.run(memory.all_collections(), deadline)
        loaded = client.run(memory.loaded_collections(), deadline)
        aliases = client.run(memory.aliases_by_collection(), deadline) if self.keep_aliased else {}
        return inventory(database, collections, loaded, aliases)

    def _carry_out(
        self, client: BoundedClient, hook: MilvusHook, decisions: list[Decision], outcome: Outcome, deadline: Deadline
    ) -> None:
        from airflow_provider_milvus.reclaim.report import entry

        lost: str | None = None
        for each in decisions:
            if not each.release:
                outcome.kept.append(entry(each.subject, each.reason))
            elif outcome.dry_run:
                outcome.planned.append(entry(each.subject, each.reason))
            elif lost is not None:
                outcome.failed.append(entry(each.subject, f"not tried: {lost}"))
            else:
                lost = self._release(client, hook, each, outcome, deadline)

    def _release(
        self, client: BoundedClient, hook: MilvusHook, decision: Decision, outcome: Outcome, deadline: Deadline
    ) -> str | None:
        """Release one; the answer is why no other need be tried, if that is so."""
        from airflow_provider_milvus import memory
        from airflow_provider_milvus.reclaim.report import entry

        subject = decision.subject
        allowed = deadline.at_most(self.release_timeout or hook.settings.timeout)
        if deadline.remaining <= 0:
            outcome.failed.append(entry(subject, "not tried: the run's timeout is used up"))
            return "the run's timeout is used up"
        flow = memory.release(
            subject.collection, allowed, keep_if_aliased=self.keep_aliased, skip_if_missing=True, report=self.log.info
        )
        try:
            change = client.run(flow, allowed)
        except MilvusRefusedError as changed:
            outcome.kept.append(entry(subject, f"changed since it was planned: {changed}"))
        except MilvusError as error:
            self.log.error("Could not release %r: %s", subject.collection, error)
            outcome.failed.append(entry(subject, str(error), "unknown"))
            return "the server is unavailable" if isinstance(error, MilvusUnavailableError) else None
        else:
            if change.state == "NotExist":
                outcome.kept.append(entry(subject, "dropped since it was planned", "NotExist"))
            else:
                outcome.released.append(entry(subject, decision.reason, change.state))
        return None

    def _policy(self, context: Context) -> Policy:
        from airflow_provider_milvus.reclaim.policy import DateInName, Policy

        patterns, exclude = _patterns("collections", self.collections), _patterns("exclude", self.exclude)
        zone = _zone(self.timezone)
        try:
            return Policy(
                patterns=patterns,
                exclude=exclude,
                older_than=_age(self.older_than),
                date_of=DateInName(self.date_format, zone),
                now=self._now(context),
                keep_aliased=self.keep_aliased,
                max_releases=_count("max_releases", self.max_releases),
            )
        except MilvusInvalidArgumentError:
            raise
        except (ValueError, TypeError) as error:
            if not patterns and self.older_than in (None, ""):
                raise MilvusInvalidArgumentError(f"Set collections, older_than, or both: {error}.") from None
            raise MilvusInvalidArgumentError(f"date_format {self.date_format!r}: {error}.") from None

    def _now(self, context: Context) -> datetime:
        import pendulum

        run = context.get("dag_run")
        moment = context.get("logical_date") or getattr(run, "run_after", None)
        if moment is None:
            moment = pendulum.now("UTC")
            self.log.info("This is no DAG run: ages are counted to now, %s.", moment)
        return pendulum.instance(moment)


def _patterns(argument: str, value: Any) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value
    if listed is None:
        return ()
    if not isinstance(listed, Sequence):
        raise MilvusInvalidArgumentError(f"{argument} must be a pattern or a list of patterns, not {value!r}.")
    for each in listed:
        if not isinstance(each, str) or not each.strip():
            raise MilvusInvalidArgumentError(f"{argument} holds {each!r}, which is no pattern.")
        if each.lstrip().startswith("["):
            raise MilvusInvalidArgumentError(
                f"{argument} holds {each!r}: a list that became text. Set render_template_as_native_obj=True on the DAG."
            )
    return tuple(listed)


def _age(value: Any) -> timedelta | None:
    import pendulum

    if value is None or value == "":
        return None
    age = value
    if isinstance(value, str):
        try:
            age = pendulum.parse(value)
        except ValueError:
            age = None
    if not isinstance(age, timedelta):
        raise MilvusInvalidArgumentError(
            f"older_than must be a timedelta or an ISO 8601 duration such as 'P7D', not {value!r}."
        )
    if age < timedelta(0):
        raise MilvusInvalidArgumentError(f"older_than is negative: {value!r}.")
    return timedelta(seconds=age.total_seconds())


def _zone(value: Any) -> Any:
    import pendulum

    try:
        # It takes a number for an offset, and has no words for None.
        return pendulum.timezone(value if isinstance(value, str) else "")
    except (ValueError, LookupError, OSError):
        raise MilvusInvalidArgumentError(f"timezone {value!r} is not a time zone such as 'Europe/Berlin'.") from None


def _count(argument: str, value: Any) -> int | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise MilvusInvalidArgumentError(f"{argument} must be a whole number from 1 on, not {value!r}.")
    return value


def _flag(argument: str, value: Any) -> bool:
    """A template renders to text; anything but a clear yes or no is refused, for a slip would release for real."""
    if isinstance(value, bool):
        return value
    words = {"true": True, "false": False}
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    raise MilvusInvalidArgumentError(f"{argument} must be true or false, not {value!r}.")


def _push(context: Context, result: dict[str, object]) -> None:
    task_instance = context.get("ti")
    if task_instance is not None:
        task_instance.xcom_push(key="return_value", value=result)
