"""The messages of Milvus's protocol, as pymilvus brings them, without the rest of pymilvus.

``from airflow_provider_milvus.protocol import milvus_pb2`` takes 0.1 s and 5 MiB, and ``import pymilvus`` ten times as much.
This package has a second folder to find modules in: the one with the generated code of the installed pymilvus. protobuf knows a
message by its descriptor, so that these classes and those of a real ``import pymilvus``, before or after or in another thread,
are the same.

Where a pymilvus keeps its generated code in another place, the whole of it is imported instead.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any

_MODULES = ("common_pb2", "milvus_pb2", "schema_pb2")


def _generated_code() -> list[str]:
    """The folder of pymilvus's generated code; none where it is not where it was in 2.6.11 to 3.0.2."""
    package = find_spec("pymilvus")
    places = [os.path.join(place, "grpc_gen") for place in (package and package.submodule_search_locations) or ()]
    return [place for place in places if all(os.path.isfile(os.path.join(place, f"{module}.py")) for module in _MODULES)][:1]


_FOLDER = _generated_code()
__path__ += _FOLDER


def __getattr__(name: str) -> Any:
    # Python asks here first, and imports a module of this name where the answer is an error.
    if name not in _MODULES or _FOLDER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from airflow_provider_milvus.protocol.lazy_pymilvus import import_pymilvus

    import_pymilvus()
    return import_module(f"pymilvus.grpc_gen.{name}")
