"""A task is killed at a call and tried again: what is there then is what one try leaves. See dev/kills."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_milvus.operators.run_notes import RetryNotes
from dev.faults.served import Served
from dev.faults.tasks import Task
from dev.kills.play import play
from dev.kills.tasks import KILLED

IN_TEST_ALL = {
    "MilvusDropCollectionOperator",
    'MilvusSwapAliasOperator, then="drop"',
    "MilvusInsertOperator, in batches, generated keys",
    "MilvusReclaimMemoryOperator, of two",
}
"""On Lite; the others are played by ``make kills``: all of them take half an hour."""


def kills_of(server: str, task: Task) -> object:
    in_test_all = server == "lite" and task.name in IN_TEST_ALL
    marks = [pytest.mark.slow if in_test_all else pytest.mark.long, pytest.mark.timeout(900)]
    return pytest.param(
        server,
        task,
        marks=[*marks, *([pytest.mark.standalone] if server == "standalone" else [])],
        id=f"{server}-{task.name}".replace(" ", "_"),
    )


@pytest.fixture(scope="module")
def all_served() -> Iterator[dict[str, Served]]:
    served: dict[str, Served] = {}
    yield served
    for one in served.values():
        one.client.close()


@pytest.fixture
def served(server: str, all_served: dict[str, Served], request: pytest.FixtureRequest) -> Served:
    if server not in all_served:
        all_served[server] = Served(server, request.getfixturevalue(f"{server}_process"))
    return all_served[server]


@pytest.mark.parametrize(("server", "task"), [kills_of(server, task) for task in KILLED for server in task.servers])
def test_a_task_that_was_killed_and_is_tried_again_leaves_what_one_try_leaves(served: Served, task: Task) -> None:
    played = play(served, task)

    assert not [str(one) for one in played if one.violations]


def forgetful() -> None:
    """A bug: no try knows of an earlier one."""
    RetryNotes.read = lambda self: {}


@pytest.mark.slow
@pytest.mark.parametrize("server", ["lite"])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("MilvusInsertOperator, in batches, generated keys", "success, and ('docs', 'rows')"),
        ("MilvusDropCollectionOperator", "MilvusCollectionNotFoundError, which names nothing in doubt"),
    ],
)
def test_a_bug_that_is_put_in_is_caught(served: Served, name: str, said: str) -> None:
    (task,) = (task for task in KILLED if task.name == name)

    played = play(served, task, forgetful, lambda kill: kill.moment == "being answered")

    assert any(said in why for one in played for why in one.violations), [str(one) for one in played]
