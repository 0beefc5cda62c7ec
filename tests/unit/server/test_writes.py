"""Rows whose keys the server makes, after an answer was lost."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_milvus.exceptions import (
    MilvusAuthenticationError,
    MilvusError,
    MilvusInDoubtError,
    MilvusUnavailableError,
)
from airflow_provider_milvus.server.writes import WriteTarget, insert_generated
from tests.unit.play import Server, described, play

pytestmark = pytest.mark.newest


class Rows(list[int]):
    """Rows as far as a write looks at them."""

    fields_data: tuple[()] = ()
    row_numbers: Any = range(1, 3)


@pytest.mark.parametrize("look", [MilvusAuthenticationError("the token has expired")], ids=lambda error: type(error).__name__)
def test_rows_that_cannot_be_looked_for_are_in_doubt(clock: Any, look: MilvusError) -> None:
    """Not as if nothing had been written, or a retry would insert them twice."""
    schema = SimpleNamespace(primary=SimpleNamespace(auto_id=True))
    server = Server(Insert=MilvusUnavailableError("gone"), DescribeCollection=[described("docs"), look])
    target: Any = WriteTarget("docs", schema, 1)  # type: ignore[arg-type]
    rows: Any = Rows([1, 2])
    with pytest.raises(MilvusInDoubtError, match=r"rows 1 to 2 .*could not be counted: the token has expired"):
        play(insert_generated(target, rows, 0, lambda words: None), server, clock)
    assert len(server.sent("Insert")) == 1
