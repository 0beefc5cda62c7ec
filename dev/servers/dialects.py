"""How the versions of Milvus answer where they differ, as data, for the stand-in to play.

2.3.5's answers were seen on the real one. Those of later versions were read in the server's source, and none of them was run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Refusal:
    """What Milvus puts into an answer's status. 2.3 and later fill in a number of the older enumeration as well."""

    code: int
    reason: str
    error_code: int = 1
    is_input_error: bool = False


def privilege_of(rpc: str) -> str | None:
    """The privilege that a call needs from Milvus 2.4 on, by the protocol that pymilvus has; ``None``: nobody needs one."""
    from pymilvus.grpc_gen import common_pb2, milvus_pb2

    options = milvus_pb2.DESCRIPTOR.services_by_name["MilvusService"].methods_by_name[rpc].input_type.GetOptions()
    if not options.HasExtension(common_pb2.privilege_ext_obj):
        return None
    number = options.Extensions[common_pb2.privilege_ext_obj].object_privilege
    return str(common_pb2.ObjectPrivilege.Name(number)).removeprefix("Privilege")


@dataclass(frozen=True, slots=True)
class Dialect:
    """One version.

    ``missing``: how DescribeCollection answers for a missing collection. ``describes_database``: it names a missing database by
    its own code. ``no_replicas``: how GetReplicas refuses for a collection that is not in memory; ``None``: it lists none.
    ``load_updates``: a load of a collection that is in memory sets its replicas, resource groups and fields anew.
    ``remembers_failure``: for a day after a load has failed, GetLoadState and GetLoadingProgress answer with the failure.
    ``drop_through_alias``: the code with which a drop through an alias is refused. ``truncates``: it has TruncateCollection.
    ``refuses_duplicates``: an upsert may have a key only once. ``describes_many``: it has
    BatchDescribeCollection. ``renamed``: calls that need another privilege than later.

    ``tells_ids``: a description has the collection's id, its aliases and when it was created. ``keeps_properties``: it has
    AlterCollection. ``has_parts``: it has partitions, replicas and segments to load and to list.
    """

    version: str
    missing: Refusal
    describes_database: bool = True
    no_replicas: Refusal | None = None
    load_updates: bool = True
    remembers_failure: bool = True
    drop_through_alias: int = 65535
    truncates: bool = False
    refuses_duplicates: bool = False
    describes_many: bool = False
    tells_ids: bool = True
    keeps_properties: bool = True
    has_parts: bool = True

    renamed: tuple[tuple[str, str | None], ...] = ()

    @property
    def build(self) -> str:
        """What GetVersion answers."""
        return f"v{self.version}" if self.version[0].isdigit() else self.version

    def privilege_of(self, rpc: str) -> str | None:
        """What a call needs: by the protocol of 2.4 and later, and by ``renamed`` before."""
        return dict(self.renamed).get(rpc, privilege_of(rpc))

    def is_missing(self, database: str, collection_name: str) -> Refusal:
        reason = f"can't find collection[database={database}][collection={collection_name}]"
        return replace(self.missing, reason=reason)


_MILVUS_2_3 = Dialect(
    "2.3.5",
    Refusal(100, ""),
    describes_database=False,
    no_replicas=Refusal(400, "failed to get replicas by collection: replica not found", 15),
    load_updates=False,
    remembers_failure=False,
    renamed=(
        ("AlterAlias", None),
        ("GetLoadState", "Load"),
        ("GetLoadingProgress", "Load"),
        ("GetPartitionStatistics", None),
        ("ListDatabases", "ListDatabases"),
        ("ShowCollections", "ShowCollections"),
    ),
)
_MILVUS_2_4 = Dialect("2.4.15", Refusal(100, ""))
# proxy/service_provider.go: the cached provider fills in the older number only.
_MILVUS_2_5 = replace(_MILVUS_2_4, version="2.5.18", missing=Refusal(0, "", 4, is_input_error=True))
_MILVUS_2_6 = replace(
    _MILVUS_2_5, version="2.6.9", drop_through_alias=1600, truncates=True, refuses_duplicates=True, describes_many=True
)
_MILVUS_3_0 = replace(_MILVUS_2_6, version="3.0.0", missing=Refusal(100, "", 4), remembers_failure=False)

DIALECTS = {
    dialect.version: dialect
    for dialect in (
        _MILVUS_2_3,
        _MILVUS_2_4,
        replace(_MILVUS_2_4, version="2.5.17"),
        _MILVUS_2_5,
        _MILVUS_2_6,
        replace(_MILVUS_2_6, version="2.6.16", remembers_failure=False),
        _MILVUS_3_0,
    )
}

LITE_LIKE = replace(
    _MILVUS_2_3,
    version="milvus_lite-3.2",
    missing=Refusal(100, "", 4),
    describes_database=True,
    no_replicas=None,
    truncates=True,
    tells_ids=False,
    keeps_properties=False,
    has_parts=False,
)
"""A server that tells as little of a collection as Milvus Lite does, and keeps no properties either. For cases in which it
matters what is told; Milvus Lite itself is started by ``dev.servers.lite``."""
