"""The collector is held back in a block, and as before it after the last one, whatever overlaps."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from airflow_provider_milvus.client.collector import seldom_collected
from airflow_provider_milvus.client.flow import Deadline, Rpc
from airflow_provider_milvus.client.silence import told_by_loop


@pytest.fixture(autouse=True)
def thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def test_blocks_that_overlap_put_back_what_was_before_all_of_them() -> None:
    first, second = ExitStack(), ExitStack()
    first.enter_context(seldom_collected())
    second.enter_context(seldom_collected())
    first.close()
    assert gc.get_threshold()[0] > 10_000
    second.close()
    assert gc.get_threshold() == (700, 10, 10)


def test_an_error_puts_it_back() -> None:
    with pytest.raises(KeyError), seldom_collected():
        raise KeyError
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize("first", [0, 90_000])
def test_a_collector_that_runs_more_seldom_or_never_stays_so(first: int) -> None:
    gc.set_threshold(first, 10, 10)
    with seldom_collected():
        assert gc.get_threshold()[0] == first
    assert gc.get_threshold() == (first, 10, 10)


async def test_what_was_sent_is_freed_with_its_answer() -> None:
    """A cycle keeps it until the collector finds it: many rows, while the collector is held back."""
    sent = Rpc("Upsert", {"fields_data": [b"x" * 1_000_000]})
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        with told_by_loop(sent, Deadline(60)):
            await asyncio.sleep(0)
        del sent
        gc.collect()
        assert not [found for found in gc.garbage if isinstance(found, Rpc)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
