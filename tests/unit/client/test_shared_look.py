"""One look for all who ask."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest

from airflow_provider_milvus.client.shared_look import SharedLook
from airflow_provider_milvus.exceptions import MilvusServerError


class Looks:
    """Counts the looks; one ends when it is told to. What a look sees of a name is the number of the look."""

    def __init__(self) -> None:
        self.names: list[set[str]] = []
        self.ends: list[asyncio.Future[None]] = []
        self.begun: asyncio.Queue[None] = asyncio.Queue()

    async def __call__(self, names: Collection[str]) -> dict[str, int]:
        self.names.append(set(names))
        number = len(self.names)
        self.ends.append(asyncio.get_running_loop().create_future())
        self.begun.put_nowait(None)
        await self.ends[-1]
        return dict.fromkeys(names, number)


async def test_those_who_ask_before_a_look_begins_share_it_and_later_ones_the_next():
    looks = Looks()
    shared = SharedLook(looks, after=0.05)
    first = [asyncio.create_task(shared.at(name)) for name in "aba"]
    await asyncio.wait_for(looks.begun.get(), 10)
    later = [asyncio.create_task(shared.at(name)) for name in "ca"]
    await asyncio.wait_for(looks.begun.get(), 10)
    assert looks.names == [{"a", "b"}, {"a", "c"}]
    looks.ends[1].set_result(None)
    assert await asyncio.gather(*later) == [2, 2]
    looks.ends[0].set_result(None)
    assert await asyncio.gather(*first) == [1, 1, 1]


async def test_an_error_is_everybodys_and_the_next_look_is_made():
    looks = Looks()
    shared = SharedLook(looks, after=0.05)
    both = [asyncio.create_task(shared.at(name)) for name in "ab"]
    await asyncio.wait_for(looks.begun.get(), 10)
    looks.ends[0].set_exception(MilvusServerError("no"))
    for asked in both:
        with pytest.raises(MilvusServerError):
            await asked
    again = asyncio.create_task(shared.at("a"))
    await asyncio.wait_for(looks.begun.get(), 10)
    looks.ends[1].set_result(None)
    assert await again == 2


async def test_who_gives_up_does_not_end_it_for_the_others():
    looks = Looks()
    shared = SharedLook(looks, after=0.05)
    both = [asyncio.create_task(shared.at(name)) for name in "ab"]
    await asyncio.wait_for(looks.begun.get(), 10)
    both[0].cancel()
    looks.ends[0].set_result(None)
    assert await both[1] == 1
