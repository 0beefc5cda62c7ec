"""What operators that change a collection have in common: they tell Airflow that they did.

An event for each asset, so that other DAGs can be scheduled by it, and the inputs and outputs that OpenLineage reports. Both go
through Airflow's own collectors; where nobody listens they cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AssetAlias

from airflow_provider_milvus.operators.base import MilvusOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.hooks.milvus import MilvusHook


class MilvusWriteOperator(MilvusOperator):
    """Base of the operators that change what a collection holds, or what an alias leads to.

    After success the task emits an event of the asset ``milvus://host:port/database/collection``, with counts in its extra.
    Which collection that is shows only when the task runs, so the task's outlet is an asset alias,
    ``milvus.<dag id>.<task id>``.

    :param outlets: instead of that alias: another alias, which the event then goes through; or the asset itself, whose event
        gets the counts.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not self.outlets:
            dag = (self.dag.dag_id,) if self.has_dag() else ()  # type: ignore[no-untyped-call]
            self.outlets = [AssetAlias(".".join(("milvus", *dag, self.task_id)))]

    def wrote(
        self,
        context: Context,
        hook: MilvusHook,
        collection: str,
        *,
        alias: str | None = None,
        from_files: Sequence[str] = (),
        from_collections: Sequence[str] = (),
        **counts: Any,
    ) -> None:
        """Tell Airflow that ``collection`` has changed. Call it once, after it has succeeded.

        :param alias: an alias that was written through: it gets an event of its own, for whoever is scheduled by it.
        :param from_files: paths or URLs that the rows came from; lineage only.
        :param from_collections: collections of the same database that it was made from; lineage only.
        :param counts: numbers and short texts that go with the event; other values are left out.
        """
        from airflow_provider_milvus.assets import collection_uri

        server, database = hook.settings.uri, hook.settings.database

        def uris_of(names: Sequence[str]) -> list[str]:
            return [uri for each in names if (uri := collection_uri(server, database, each)) is not None]

        written = uris_of(list(dict.fromkeys(filter(None, (collection, alias)))))
        if not written:
            self.log.info("No asset event: %s has no host that could name it.", server)
            return
        extra = {key: value for key, value in counts.items() if isinstance(value, (str, int, float))}
        for uri in written:
            self._emit(context, uri, extra)
        self._report_lineage(hook, [*map(_file_uri, from_files), *uris_of(from_collections)], written)

    def _emit(self, context: Context, uri: str, extra: dict[str, Any]) -> None:
        events = context.get("outlet_events")
        if events is None:
            return
        for outlet in self.outlets:
            if isinstance(outlet, AssetAlias):
                if hasattr(events[outlet], "dataset_alias_events"):
                    _make_known(outlet)
                _add(events[outlet], uri, extra)
            elif getattr(outlet, "uri", None) == uri:
                events[outlet].extra.update(extra)

    def _report_lineage(self, hook: MilvusHook, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

        collector = get_hook_lineage_collector()  # type: ignore[no-untyped-call]
        for uri in inputs:
            collector.add_input_asset(context=hook, uri=uri)
        for uri in outputs:
            collector.add_output_asset(context=hook, uri=uri)


def _make_known(alias: AssetAlias) -> None:
    """Airflow 2.11 knows the aliases in DAGs that it has stored, but no mapped task's, and fails the run over any other."""
    from airflow.models.dataset import DatasetAliasModel
    from airflow.utils.session import create_session
    from sqlalchemy.exc import IntegrityError

    try:
        with create_session() as session:
            if session.query(DatasetAliasModel).filter_by(name=alias.name).first() is None:
                session.add(DatasetAliasModel(name=alias.name))
    except IntegrityError:
        # Another of the mapped tasks was faster.
        pass


def _add(event: Any, uri: str, extra: dict[str, Any]) -> None:
    """An event of the asset with that URI, whatever name a DAG has given it; or else of one that is named after its URI."""
    from airflow.providers.common.compat.sdk import Asset

    if hasattr(Asset, "ref"):
        from airflow.sdk.exceptions import AirflowRuntimeError

        try:
            event.add(Asset.ref(uri=uri), extra)
            return
        except AirflowRuntimeError:
            # No DAG names it.
            pass
    event.add(Asset(uri=uri), extra)


def _file_uri(path: str) -> str:
    from airflow_provider_milvus.rows.storage import without_secrets

    # What stands for a query is no part of the file's name.
    return without_secrets(path).replace("?…", "") if "://" in path else Path(path).absolute().as_uri()
