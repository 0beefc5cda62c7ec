"""Keep a collection like a source of documents: write the chunks that changed, then delete what is no longer there.

The source is a folder of Parquet or JSON Lines files that hold all chunks of all documents as they are now. Each row has
`source`, which names its document; `chunk`, its place in the document; `text`; and `vector`, the embedding. The
collection has the fields `id` (VARCHAR, the key), `source` (VARCHAR) and `vector`, and a dynamic field for the rest. It
has to be in memory, and can be named by an alias.

A second run of the same files writes nothing. The chunks of a document that changed are written before the old ones go,
so searches always find the document. Documents that left the source are pruned, at most the share of the form: if there
are more, the task fails and deletes nothing, since a source that lacks half of its files looks just like that.

The DAG has no schedule, so unpausing it writes nothing. Give your copy of this file a schedule when the files are yours.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_milvus.operators.milvus import MilvusSyncDocumentsOperator

with DAG(
    dag_id="milvus_sync_documents",
    # Such as "@daily".
    schedule=None,
    start_date=datetime(2024, 1, 1),
    catchup=False,
    # Two runs at once may delete each other's chunks.
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=10)},
    params={
        "collection": Param("docs", type="string", minLength=1, title="Collection", description="A collection or an alias."),
        "source": Param(
            "/data/chunks",
            type="string",
            minLength=1,
            title="Source",
            description="A folder, local or on object storage, with the chunks of all documents.",
        ),
        "max_deleted": Param(
            "10%",
            type="string",
            minLength=1,
            title="Most rows to prune",
            description="A number of rows, or a share of all rows such as 10%.",
        ),
    },
    doc_md=__doc__,
    tags=["milvus"],
):
    MilvusSyncDocumentsOperator(
        task_id="sync",
        collection_name="{{ params.collection }}",
        rows="{{ params.source }}",
        document_field="source",
        key="uuid5(source, chunk)",
        hash_field="hash",
        hash="sha256(text)",
        prune=True,
        max_deleted="{{ params.max_deleted }}",
    )
