"""Everything public can be imported from four modules, and a name costs only its own."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.public import BASES, DOORS, ENDINGS, MINIMAL, PACKAGE, TASKS, defined, through

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("door", ENDINGS)
def test_a_door_has_all_that_the_package_defines(door):
    assert through(door) == defined(door)


def test_the_bases_of_operators_are_not_public():
    assert not BASES & set(dir(DOORS["operators"]))


def test_every_operator_and_sensor_has_an_example_of_its_least_arguments():
    assert {kind.__name__ for kind in TASKS} == set(MINIMAL)


def test_the_names_that_a_type_checker_sees_are_those_that_there_are():
    door = DOORS["operators"]
    tree = ast.parse(Path(door.__file__).with_suffix(".pyi").read_text())
    typed = {name.asname: node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in node.names}
    assert {name: module for name, module in typed.items() if name} == {
        name: f"{PACKAGE}.operators.{module}" for name, module in door._HOMES.items()
    }


def test_a_name_that_does_not_exist_is_told_as_every_module_tells_it():
    with pytest.raises(ImportError, match="cannot import name 'MilvusNoSuchOperator'"):
        exec("from airflow_provider_milvus.operators.milvus import MilvusNoSuchOperator")


def test_an_operator_costs_its_own_module_alone(run_python):
    code = f"""
        import sys
        from {PACKAGE}.operators.milvus import MilvusFlushOperator
        print(*sorted(name for name in sys.modules if name.startswith("{PACKAGE}.operators.")))
    """
    assert run_python(code).split() == [
        f"{PACKAGE}.operators.{module}" for module in ("base", "maintenance", "milvus", "run_notes")
    ]


def test_docs_and_examples_import_from_the_doors_alone():
    public = re.compile(rf"^ *from {PACKAGE}\.(?!\w+\.milvus import|conditions import|exceptions import|assets import)", re.M)
    users = [page for page in ROOT.glob("*.md") if page.name != "CONTRIBUTING.md"]
    texts = [*users, *ROOT.glob("docs/*.md"), *ROOT.glob("example_dags/*.py")]
    assert [path.name for path in texts if public.search(path.read_text())] == []
