"""A canary password and a canary token turn up nowhere: not in logs, results, fields, arguments, errors or reprs."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_milvus.exceptions import MilvusError
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.operators.milvus import (
    MilvusLoadCollectionOperator,
    MilvusMemoryReportOperator,
    MilvusReclaimMemoryOperator,
    MilvusReleaseCollectionOperator,
)
from airflow_provider_milvus.sensors.milvus import MilvusLoadStateSensor
from dev.servers.pages import pages_server
from dev.servers.scripted import LOADED, ScriptedMilvus, abort, loading
from tests.integration.support import Connect, context_of_run, deferral, event_of, resume

CANARY = "tweety-4711-canary"

CREDENTIALS = {"password": {"login": "root", "password": CANARY}, "token": {"token": CANARY}}

Pointed = Callable[..., None]
LogText = Callable[[], str]


@pytest.fixture(params=list(CREDENTIALS))
def point_to(request: pytest.FixtureRequest, connect: Connect) -> Pointed:
    """Point the connection to ``uri``, with the canary in it."""

    def point(uri: str, **extra: Any) -> None:
        connect(uri, **CREDENTIALS[request.param], **extra)

    return point


def told_by(failing: Callable[[], Any]) -> str:
    """An error with its whole traceback, causes, notes and the values of its attributes."""
    with pytest.raises(MilvusError) as failed:
        failing()
    chain = "".join(traceback.TracebackException.from_exception(failed.value, capture_locals=False).format(chain=True))
    return chain + repr(failed.value) + str(vars(failed.value))


def test_success_leaks_nothing(scripted: ScriptedMilvus, point_to: Pointed, log_text: LogText) -> None:
    point_to(scripted.uri)
    scripted.add("docs", on_load=[loading(0), loading(40), LOADED])
    operator = MilvusLoadCollectionOperator(task_id="load", collection_name="docs", deferrable=True, poll_interval=0.1)

    deferred = deferral(operator)
    result = resume(operator, deferred)
    released = MilvusReleaseCollectionOperator(task_id="release", collection_name="docs").execute({})
    sensed = MilvusLoadStateSensor(task_id="wait", collection_name="docs", target_state="NotLoad").execute({})
    context = context_of_run()
    reclaimed = MilvusReclaimMemoryOperator(task_id="reclaim", collections="*").execute(context)

    assert CANARY not in log_text()
    assert CANARY not in json.dumps([result, released, sensed, reclaimed, context["ti"].pushed])
    assert CANARY not in repr(deferred.trigger.serialize()) + repr(deferred.kwargs)
    assert all(CANARY not in repr(getattr(operator, field)) for field in operator.template_fields)
    # The canary did go out.
    assert any(CANARY in _credential(call.metadata) for call in scripted.calls)


def _credential(metadata: dict[str, str]) -> str:
    import base64

    return base64.b64decode(metadata.get("authorization", "")).decode()


@pytest.mark.parametrize("fault", ["refused", "silent", "wrong password", "broken"])
def test_failure_leaks_nothing(
    request: pytest.FixtureRequest, scripted: ScriptedMilvus, point_to: Pointed, log_text: LogText, fault: str
) -> None:
    uri = request.getfixturevalue(fault) if fault in ("refused", "silent") else scripted.uri
    if fault == "wrong password":
        scripted.always("Connect", abort("UNAUTHENTICATED", "auth check failure"))
    if fault == "broken":
        scripted.always("DescribeCollection", abort("INTERNAL", "it broke"))
        scripted.always("GetLoadState", abort("INTERNAL", "it broke"))
    point_to(uri, timeout=0.5)
    told = [
        told_by(lambda: MilvusLoadCollectionOperator(task_id="load", collection_name="docs", timeout=0.5).execute({})),
        told_by(lambda: MilvusLoadStateSensor(task_id="wait", collection_name="docs").execute({})),
        told_by(lambda: _describe()),
    ]
    if fault != "silent":
        told.append(MilvusHook().test_connection()[1])

    assert CANARY not in "".join(told)
    assert CANARY not in log_text()


def _describe() -> None:
    with MilvusHook().client() as client:
        client.describe_collection("docs")


def test_trigger_that_fails_leaks_nothing(refused: str, point_to: Pointed, log_text: LogText) -> None:
    import time

    from airflow_provider_milvus.conditions import LoadState
    from airflow_provider_milvus.triggers.milvus import MilvusConditionTrigger

    point_to(refused)

    event = asyncio.run(event_of(MilvusConditionTrigger(condition=LoadState("docs").serialize(), end=time.time() + 1)))

    assert CANARY not in json.dumps(event)
    assert CANARY not in log_text()


@pytest.mark.parametrize(
    "wrong",
    [
        {"unknown": CANARY},
        {"timeout": CANARY},
        {"secure": CANARY},
        {"token": CANARY, "login": "root", "password": CANARY},
        {"token": [CANARY]},
        {"uri": f"http://root:{CANARY}@127.0.0.1:19530"},
        {"uri": f"root:{CANARY}@127.0.0.1:19530"},
        {"uri": f"ftp://root:{CANARY}@127.0.0.1"},
        {"uri": f"http://root:{CANARY}@127.0.0.1:99999"},
    ],
    ids=lambda wrong: "+".join(wrong),
)
def test_wrong_setting_is_named_without_its_secret(connect: Connect, log_text: LogText, wrong: dict[str, Any]) -> None:
    connect(**{"uri": "http://127.0.0.1:1", **wrong})

    told = told_by(lambda: MilvusHook().settings)

    assert CANARY not in told
    assert CANARY not in MilvusHook().test_connection()[1]
    assert CANARY not in log_text()


def test_reprs_hide_it(scripted: ScriptedMilvus, point_to: Pointed) -> None:
    point_to(scripted.uri)
    hook = MilvusHook()

    with hook.client() as client:
        client.list_collections()
        shown = [repr(thing) for thing in (hook, vars(hook), hook.settings, client, vars(client), client.settings.where)]

    assert CANARY not in "".join(shown)
    assert CANARY not in str(hook.settings.model_dump())
    assert CANARY not in hook.settings.model_dump_json()


ADDRESSES = ["path", "query", "fragment", "user", "password", "password with a slash"]


def address(uri: str, place: str) -> str:
    return {
        "path": f"{uri}/{CANARY}",
        "query": f"{uri}/?token={CANARY}",
        "fragment": f"{uri}/#{CANARY}",
        "user": uri.replace("//", f"//{CANARY}:p@"),
        "password": uri.replace("//", f"//u:{CANARY}@"),
        "password with a slash": uri.replace("//", f"//u/{CANARY}@"),
    }[place]


@pytest.mark.parametrize("end", ["", "/metrics"])
@pytest.mark.parametrize("place", ADDRESSES)
@pytest.mark.parametrize("setting", ["metrics_url", "rest_url", "uri"])
def test_secret_in_any_part_of_an_address_is_told_nowhere(
    scripted: ScriptedMilvus,
    refused: str,
    connect: Connect,
    log_text: LogText,
    caplog: pytest.LogCaptureFixture,
    setting: str,
    place: str,
    end: str,
) -> None:
    from airflow_provider_milvus.client.flow import Rest
    from airflow_provider_milvus.client.rest import RestApi
    from airflow_provider_milvus.wording import without_secrets

    caplog.set_level(logging.DEBUG, logger="httpx")
    wrong = address(refused, place) + end
    assert CANARY not in without_secrets(wrong)
    with pages_server() as pages:
        for told in (wrong, address(pages.url, place) + end):
            connect(**{"uri": scripted.uri, **({setting: told} if setting != "uri" or place != "path" else {})})
            shown = [MilvusHook().test_connection()[1]]
            try:
                settings = MilvusHook().settings
                shown += [repr(settings), repr(MilvusHook().metrics()), settings.where]
                with pytest.raises(MilvusError) as failed:
                    asyncio.run(RestApi(settings).post(Rest("/v2/vectordb/jobs/import/list"), "default", 2))
                shown.append(str(failed.value))
                if settings.metrics_url:
                    report = MilvusMemoryReportOperator(task_id="t", timeout=5).execute({})
                    shown.append(json.dumps(report))
                    assert "The metrics are not used" in report["warnings"][0]
            except MilvusError as error:
                shown.append(str(error))

            assert CANARY not in "".join(shown)
    assert CANARY not in log_text()
