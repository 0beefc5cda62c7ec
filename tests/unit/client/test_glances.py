"""One list for all who wait: who shares it, what it tells, and that it holds nobody up."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_milvus.client.flow import Pause
from airflow_provider_milvus.client.glances import Glances
from airflow_provider_milvus.exceptions import MilvusPermissionError, MilvusUnavailableError


class Lists:
    """Answers each list with the same percentages, after ``seconds``."""

    def __init__(self, seconds: float = 0.0, **percents: Any) -> None:
        self.asked = 0
        self.error: Exception | None = None
        self._seconds = seconds
        self._answer = SimpleNamespace(collection_names=list(percents), inMemory_percentages=list(percents.values()))

    async def __call__(self, call: Any) -> Any:
        assert (call.name, dict(call.fields)) == ("ShowCollections", {"type": "InMemory"})
        self.asked += 1
        await asyncio.sleep(self._seconds)
        if self.error is not None:
            raise self.error
        return self._answer


async def test_two_who_wait_share_a_list() -> None:
    lists = Lists(docs=40, more=100)
    glances = Glances(lists)

    seen = await asyncio.gather(
        glances.pause(Pause(0.2, "docs")), glances.pause(Pause(0.22, "more")), glances.pause(Pause(0.2, "hidden"))
    )

    assert seen == [40, 100, None]
    assert lists.asked == 1


async def test_one_alone_looks_by_itself() -> None:
    lists = Lists(docs=40)

    assert await Glances(lists).pause(Pause(0.01, "docs")) is None
    assert lists.asked == 0


@pytest.mark.parametrize("percent", [0, -1, 101, "many"])
async def test_what_cannot_be_believed_or_tells_nothing_is_not_told(percent: Any) -> None:
    """Milvus Lite lists with 0 what is not in memory."""
    glances = Glances(Lists(docs=percent, more=7))

    assert await asyncio.gather(glances.pause(Pause(0.01, "docs")), glances.pause(Pause(0.01, "more"))) == [None, 7]


@pytest.mark.parametrize("error", [MilvusPermissionError("no"), MilvusUnavailableError("down")])
async def test_after_a_list_that_failed_everybody_looks_and_the_next_one_is_asked_for(error: Exception) -> None:
    lists = Lists(docs=40)
    glances = Glances(lists)
    lists.error = error

    assert await asyncio.gather(glances.pause(Pause(0.01, "docs")), glances.pause(Pause(0.01, "docs"))) == [None, None]

    lists.error = None
    assert await asyncio.gather(glances.pause(Pause(0.01, "docs")), glances.pause(Pause(0.01, "docs"))) == [40, 40]


async def test_an_error_of_the_program_is_not_hidden_and_holds_nobody_up(caplog: pytest.LogCaptureFixture) -> None:
    lists = Lists(docs=40)
    lists.error = ZeroDivisionError()
    glances = Glances(lists)

    async with asyncio.timeout(2):
        assert await asyncio.gather(glances.pause(Pause(0.01, "docs")), glances.pause(Pause(0.01, "docs"))) == [None, None]
        await asyncio.sleep(0.05)

    assert "ZeroDivisionError" in caplog.text


async def test_those_who_began_at_different_moments_come_to_share() -> None:
    lists = Lists(docs=40)
    glances = Glances(lists)
    polls = 6

    async def wait(begins: float) -> None:
        await asyncio.sleep(begins)
        for _ in range(polls):
            await glances.pause(Pause(0.2, "docs"))

    await asyncio.gather(*(wait(0.01 * number) for number in range(20)))

    # Not 20 x 6: the first poll or two have more than one list.
    assert lists.asked <= polls + 3


async def test_a_long_pause_is_not_ended_by_a_short_one() -> None:
    glances = Glances(Lists(docs=40))
    ended: list[str] = []

    async def pause(name: str, seconds: float) -> None:
        await glances.pause(Pause(seconds, "docs"))
        ended.append(name)

    await asyncio.gather(pause("long", 0.4), pause("short", 0.05), pause("short", 0.05), pause("middle", 0.15))

    assert ended == ["short", "short", "middle", "long"]


async def test_a_pause_is_at_least_half_as_long_as_it_was_to_be() -> None:
    glances, loop = Glances(Lists(docs=40)), asyncio.get_running_loop()

    async def pause(seconds: float) -> float:
        began = loop.time()
        await glances.pause(Pause(seconds, "docs"))
        return (loop.time() - began) / seconds

    assert min(await asyncio.gather(*(pause(0.02 * number) for number in range(1, 20)))) >= 0.49


async def test_who_is_cancelled_leaves_nothing_behind() -> None:
    lists = Lists(docs=40)
    glances = Glances(lists)
    gone = asyncio.create_task(glances.pause(Pause(0.2, "docs")))
    stays = asyncio.create_task(glances.pause(Pause(0.2, "docs")))
    await asyncio.sleep(0.01)

    gone.cancel()
    await asyncio.wait([gone])

    assert gone.cancelled()
    assert await stays is None
    assert lists.asked == 0
    assert not glances._waiting


async def test_who_comes_while_a_list_is_made_gets_the_next_one() -> None:
    """A list that was asked for before a wait began may be older than what the wait is about."""
    lists = Lists(0.3, docs=40)
    glances = Glances(lists)
    early = [asyncio.create_task(glances.pause(Pause(0.01, "docs"))) for _ in range(2)]
    await asyncio.sleep(0.2)

    late = [asyncio.create_task(glances.pause(Pause(0.01, "docs"))) for _ in range(2)]
    await asyncio.gather(*early, *late)

    assert lists.asked == 2
