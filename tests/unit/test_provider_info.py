"""What Airflow reads at start-up: valid, true to the code, and the same for every version's connection form."""

from __future__ import annotations

import itertools
import json
from functools import cache
from importlib import import_module
from importlib.metadata import distribution
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import airflow
import jsonschema
import pytest
from airflow.providers.common.compat.sdk import task

from airflow_provider_milvus import __version__
from airflow_provider_milvus.client.connection import ConnectionSettings, _Extra
from airflow_provider_milvus.decorators import milvus as decorators
from airflow_provider_milvus.get_provider_info import connection_fields, field_behaviour, get_provider_info
from airflow_provider_milvus.hooks.milvus import MilvusHook
from dev.site.pages import ROOT, groups
from tests.public import DOORS
from tests.unit.cli.test_main import ADDS_COMMANDS

KINDS = ("hooks", "operators", "sensors", "triggers")


@cache
def schema(name: str) -> dict[str, Any]:
    return json.loads((Path(airflow.__file__).parent / name).read_text())


def connection_type() -> dict[str, Any]:
    (only,) = get_provider_info()["connection-types"]
    return only


def test_is_valid_for_the_schema_that_airflow_checks_at_start_up():
    jsonschema.validate(get_provider_info(), schema("provider_info.schema.json"))


@pytest.mark.parametrize("part", ["connection-types", "extra-links", "integrations", "task-decorators", *KINDS])
def test_each_part_is_valid_for_the_schema_of_airflows_own_providers(part):
    whole = schema("provider.yaml.schema.json")
    described = whole["properties"][part]
    given = get_provider_info()[part]
    if part == "connection-types" and "conn-fields" not in described["items"]["properties"]:
        # 2.11 to 3.1 know nothing of the form's fields; there the hook's methods describe them.
        given = [{key: value for key, value in part.items() if key in described["items"]["properties"]} for part in given]
    jsonschema.validate(given, {**described, "definitions": whole.get("definitions", {}), "$defs": whole.get("$defs", {})})


def test_the_entry_point_leads_here_and_names_the_distribution():
    installed = distribution("airflow-provider-milvus")
    (entry_point,) = [entry_point for entry_point in installed.entry_points if entry_point.group == "apache_airflow_provider"]
    assert entry_point.name == "provider_info"
    assert entry_point.load() is get_provider_info
    assert get_provider_info()["package-name"] == installed.metadata["Name"]
    assert installed.version == __version__


@pytest.mark.parametrize("kind", KINDS)
def test_airflow_is_told_of_the_doors(kind):
    (part,) = get_provider_info()[kind]
    assert part["python-modules"] == [DOORS[kind].__name__]


@pytest.mark.parametrize("decorator", get_provider_info()["task-decorators"], ids=lambda it: it["name"])
def test_airflow_finds_the_task_decorators(decorator):
    module, _, name = decorator["class-name"].rpartition(".")
    assert task.__getattr__(decorator["name"]) is getattr(import_module(module), name)


def test_every_task_decorator_is_registered():
    named = {decorator["class-name"] for decorator in get_provider_info()["task-decorators"]}
    assert named == {f"{decorators.__name__}.{name}" for name in vars(decorators) if name.endswith("_task")}


def test_its_guides_are_those_of_the_index_and_its_logo_is_there():
    (integration,) = get_provider_info()["integrations"]
    pages = ["tutorial", *groups()["Memory"], *groups()["Collections and rows"]]
    assert integration["how-to-guide"] == [f"/docs/{page}.md" for page in pages]
    logo = ROOT / "docs" / integration["logo"].removeprefix("/")
    assert ElementTree.parse(logo).getroot().tag.endswith("svg")


def test_the_hook_is_the_one_named():
    module, _, name = connection_type()["hook-class-name"].rpartition(".")
    assert getattr(import_module(module), name) is MilvusHook
    assert (connection_type()["connection-type"], connection_type()["hook-name"]) == (
        MilvusHook.conn_type,
        MilvusHook.hook_name,
    )


class TestConnectionFields:
    def test_are_the_settings_that_the_connection_knows(self):
        assert list(connection_fields()) == list(_Extra.model_fields)

    @pytest.mark.parametrize("setting", connection_fields())
    def test_may_stay_empty(self, setting):
        """Or the form of 3.x demands each of them."""
        assert "null" in connection_fields()[setting]["schema"]["type"]

    def test_left_as_the_form_shows_them_are_a_connection_that_works(self, connection):
        shown = {name: field["schema"].get("default") for name, field in connection_fields().items()}
        assert ConnectionSettings.of(connection(host="h", **shown)).uri == "http://h:19530"

    @pytest.mark.parametrize("setting", connection_fields())
    def test_are_explained(self, setting):
        field = connection_fields()[setting]
        assert field["label"].strip()
        assert field["description"].endswith(".")

    def test_say_the_defaults_that_hold(self, connection):
        settings = ConnectionSettings.of(connection(host="h"))
        for setting in ("timeout", "connect_timeout"):
            field = connection_fields()[setting]
            assert f"{getattr(settings, setting):g} by default" in field["description"]

    def test_hide_the_secret(self):
        hidden = [name for name, field in connection_fields().items() if field["schema"].get("format") == "password"]
        secret = [name for name, field in _Extra.model_fields.items() if "SecretStr" in str(field.annotation)]
        assert hidden == secret == ["token"]

    @pytest.mark.parametrize("setting", connection_fields())
    def test_have_the_type_that_the_connection_reads(self, setting):
        kind = str(_Extra.model_fields[setting].annotation)
        types = {"bool": "boolean", "float": "number", "int": "integer"}
        expected = next((shown for name, shown in types.items() if name in kind), "string")
        assert connection_fields()[setting]["schema"]["type"][0] == expected

    def test_of_a_section_stand_together(self):
        sections = [field["schema"]["section"] for field in connection_fields().values()]
        assert [section for section, _ in itertools.groupby(sections)] == list(dict.fromkeys(sections))
        assert next(iter(sections)) == connection_fields()["token"]["schema"]["section"]

    @pytest.mark.skipif(not ADDS_COMMANDS, reason="Airflow shows sections from 3.2 on")
    def test_reach_the_form_in_their_sections(self, run_python):
        code = """
            import json
            from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
            (milvus,) = (hook for hook in HookMetaService.hook_meta_data() if hook.connection_type == "milvus")
            print(json.dumps({name: field["schema"]["section"] for name, field in milvus.extra_fields.items()}))
        """
        shown = json.loads(run_python(code).splitlines()[-1])
        assert shown == {name: field["schema"]["section"] for name, field in connection_fields().items()}
        assert list(shown) == list(connection_fields())


class TestFormBefore32:
    """2.11 to 3.1 ask the hook, which needs Flask-AppBuilder there."""

    @pytest.fixture
    def widgets(self):
        pytest.importorskip("flask_appbuilder")
        pytest.importorskip("wtforms")
        return MilvusHook.get_connection_form_widgets()

    def test_has_the_same_fields(self, widgets):
        assert list(widgets) == list(connection_fields())

    def test_masks_the_same_secret(self, widgets):
        from wtforms import PasswordField

        assert [name for name, field in widgets.items() if field.field_class is PasswordField] == ["token"]

    def test_demands_nothing(self, widgets):
        from wtforms import Form

        form = type("ConnectionForm", (Form,), widgets)()
        assert form.validate(), form.errors

    def test_describes_each_field(self, widgets):
        described = {name: field.kwargs.get("description") for name, field in widgets.items()}
        token = described.pop("token")
        assert described == {name: field["description"] for name, field in connection_fields().items() if name != "token"}
        assert token.startswith(connection_fields()["token"]["description"])
        assert "enter it again" in token

    def test_behaves_the_same(self):
        behaviour = MilvusHook.get_ui_field_behaviour()
        assert behaviour == {key.replace("-", "_"): value for key, value in field_behaviour().items()}
        if (Path(airflow.__file__).parent / "customized_form_field_behaviours.schema.json").exists():
            jsonschema.validate(behaviour, schema("customized_form_field_behaviours.schema.json"))


def test_airflow_lists_the_connection_type_without_complaint(run_python):
    code = """
        import logging
        said = []
        class Notes(logging.Handler):
            def emit(self, record):
                said.append(record.getMessage())
        import airflow
        logging.getLogger().addHandler(Notes(logging.WARNING))
        for name in list(logging.root.manager.loggerDict):
            if name.startswith("airflow"):
                logging.getLogger(name).addHandler(Notes(logging.WARNING))
        from airflow.providers_manager import ProvidersManager
        manager = ProvidersManager()
        hook = manager.hooks["milvus"]
        behaviour = manager.field_behaviours["milvus"]
        import json
        print(json.dumps({
            "name": hook.hook_name,
            "class": hook.hook_class_name,
            "testable": hook.connection_testable,
            "hidden": behaviour["hidden_fields"] if "hidden_fields" in behaviour else behaviour["hidden-fields"],
            "fields": sorted(key.removeprefix("extra__milvus__") for key in manager.connection_form_widgets if "milvus" in key),
            "said": [message for message in said if "milvus" in message.lower()],
        }))
    """
    found = json.loads(run_python(code).splitlines()[-1])
    assert found == {
        "name": "Milvus",
        "class": "airflow_provider_milvus.hooks.milvus.MilvusHook",
        "testable": True,
        "hidden": field_behaviour()["hidden-fields"],
        "fields": sorted(connection_fields()),
        "said": [],
    }
