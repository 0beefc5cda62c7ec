"""Nothing that is public is left out of the documentation: no class, no argument, no unit, no error."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

import pytest

from airflow_provider_milvus import conditions, exceptions, kinds
from airflow_provider_milvus.arguments import Argument
from airflow_provider_milvus.decorators import milvus as decorators
from dev.site.pages import groups
from dev.site.reference import REFERENCE, arguments_of, documented, public_names, reference_pages, with_inherited
from tests.docs.blocks import PUBLIC, ROOT
from tests.public import OPERATORS, TASKS, arguments_of as arguments_that_are_taken

pytestmark = pytest.mark.newest

ERRORS = {
    name: kind
    for name, kind in vars(exceptions).items()
    if inspect.isclass(kind) and issubclass(kind, exceptions.MilvusError) and kind is not exceptions.MilvusError
}
UNITS = {
    kinds.check_seconds: r"\bseconds\b",
    kinds.check_size: r"GiB|bytes",
    kinds.check_span: r"timedelta|ISO 8601|seconds",
    kinds.check_age: r"timedelta|ISO 8601|days|\bage\b",
    kinds.check_percent: r"per cent|%",
}
"""What the documentation of an argument of this kind says at least."""

every_class = pytest.mark.parametrize("kind", PUBLIC.values(), ids=lambda kind: kind.__name__)


def declared(kind: type, name: str) -> Any:
    return next((vars(base)[name] for base in kind.__mro__ if isinstance(vars(base).get(name), Argument)), None)


@every_class
def test_each_argument_is_documented_and_nothing_else(kind: type) -> None:
    assert set(documented(kind)) >= set(arguments_of(kind))
    own = set(re.findall(r"^ *:param (\w+):", vars(kind).get("__doc__") or "", re.M))
    assert own <= set(arguments_of(kind)) | inherited_from_airflow(kind)


def inherited_from_airflow(kind: type) -> set[str]:
    """Arguments of Airflow's that a class may say more of, such as a sensor's ``timeout``."""
    return {
        name
        for base in kind.__mro__
        if base.__module__.startswith("airflow.") and "__init__" in vars(base)
        for name in inspect.signature(base.__init__).parameters
    }


@pytest.mark.parametrize("kind", TASKS, ids=lambda kind: kind.__name__)
def test_the_reference_has_the_arguments_that_the_tests_go_by(kind: type) -> None:
    assert set(arguments_that_are_taken(kind)) <= set(arguments_of(kind))


@pytest.mark.parametrize("kind", OPERATORS, ids=lambda kind: kind.__name__)
def test_a_page_has_the_arguments_of_the_bases_as_well(kind: type) -> None:
    page = "\n".join(with_inherited(kind, inspect.cleandoc(kind.__doc__ or "").splitlines()))
    assert [page.count(f":param {name}:") for name in arguments_of(kind)] == [1] * len(arguments_of(kind))
    assert ":raises" not in page or page.rindex(":param") < page.rindex(":raises")


@pytest.mark.parametrize("kind", TASKS, ids=lambda kind: kind.__name__)
def test_each_unit_is_named(kind: type) -> None:
    said = documented(kind)
    missing = []
    for name in arguments_of(kind):
        argument = declared(kind, name)
        unit = UNITS.get(argument.check) if argument else None
        if unit and not re.search(unit, said[name]):
            missing.append(f"{name}: {said[name]}")
    assert missing == []


@every_class
def test_each_error_that_is_named_exists(kind: type) -> None:
    named = [name for names in re.findall(r"^ *:raises ([^:]+):", kind.__doc__ or "", re.M) for name in names.split(",")]
    ours = [name.strip() for name in named if name.strip().startswith("Milvus")]
    assert [name for name in ours if name not in ERRORS and name != "MilvusError"] == []


def test_each_error_has_a_row_and_each_row_an_error() -> None:
    page = (ROOT / "docs" / "errors.md").read_text()
    table = page[: page.index("## Which error it is")]
    named = {name for row in re.findall(r"^\|.*$", table, re.M) for name in re.findall(r"`(Milvus\w+Error)`", row)}
    assert named - {"MilvusError"} == set(ERRORS)


@pytest.mark.parametrize("name", public_names("conditions"))
def test_each_condition_says_what_it_is_and_what_its_fields_are(name: str) -> None:
    public = getattr(conditions, name)
    said = " ".join(vars(base).get("__doc__") or "" for base in getattr(public, "__mro__", [public]) if base is not object)
    fields = [field.name for field in dataclasses.fields(public)] if dataclasses.is_dataclass(public) else []
    # These two mean the same everywhere.
    assert [field for field in fields if field not in said and field not in ("collection_name", "partition_names")] == []
    assert public.__doc__


@pytest.mark.parametrize("kind", ERRORS.values(), ids=ERRORS)
def test_each_error_says_what_it_is(kind: type) -> None:
    assert (kind.__doc__ or "").strip().endswith(".")


@pytest.mark.parametrize("subject", REFERENCE)
def test_all_that_is_public_is_in_the_reference(subject: str) -> None:
    entries = set(re.findall(r"^\.\. auto(?:class|function):: \S+\.(\w+)$", "\n".join(reference_pages().values()), re.M))
    assert set(public_names(subject)) <= entries
    assert set(PUBLIC) <= entries


def test_each_decorator_says_what_it_does() -> None:
    tasks = [value for name, value in vars(decorators).items() if name.endswith("_task")]
    assert all(inspect.getdoc(task) for task in tasks)


def test_the_menu_has_every_page() -> None:
    pages = {page.stem for page in ROOT.glob("docs/*.md")} - {"README"}
    assert {page for group in groups().values() for page in group} == pages
