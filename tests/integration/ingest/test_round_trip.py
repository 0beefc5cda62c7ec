"""A row that is accepted is what the server then holds, from every form of source; any other row is bad, with its number.

Rows are generated: good ones, which have to be accepted, and ones with values that are odd in one way or another. The server is
asked through pymilvus. ``MILVUS_ROUND_TRIPS=2000`` runs as many examples, of which no two runs have the same.
"""

from __future__ import annotations

import csv
import enum
import json
import math
import os
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from pyarrow import parquet

from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.rows.batches import batches
from airflow_provider_milvus.rows.check import check
from airflow_provider_milvus.rows.source import read_rows
from airflow_provider_milvus.schema.model import Field, Schema
from airflow_provider_milvus.schema.types import DATA_TYPES, FLOATS, INTEGERS, integer_range
from airflow_provider_milvus.server import writes
from tests.integration.support import Milvus

pytestmark = [pytest.mark.newest, pytest.mark.slow]

LONG_RUN = os.environ.get("MILVUS_ROUND_TRIPS")
MAX_BYTES = 1 << 20
NUMBERS = count(1)
"""Each row of this process has a key of its own."""

Row = dict[str, Any]


def _array(name: str, element: str, **more: Any) -> Row:
    return {"name": name, "type": "ARRAY", "element_type": element, "max_capacity": 3, **more}


NUMBER = {"name": "number", "type": "INT64", "is_primary": True}
VECTOR = {"name": "vector", "type": "FLOAT_VECTOR", "dim": 2}
SCALARS = [
    {"name": "flag", "type": "BOOL"},
    {"name": "tiny", "type": "INT8"},
    {"name": "small", "type": "INT16"},
    {"name": "whole", "type": "INT32"},
    {"name": "long", "type": "INT64"},
    {"name": "single", "type": "FLOAT"},
    {"name": "double", "type": "DOUBLE"},
    {"name": "text", "type": "VARCHAR", "max_length": 12},
    {"name": "tree", "type": "JSON"},
    {"name": "filled", "type": "INT64", "default_value": 9},
    {"name": "word", "type": "VARCHAR", "max_length": 12, "default_value": "none"},
]
ARRAYS = [
    _array("flags", "BOOL"),
    _array("bytes", "INT8"),
    _array("longs", "INT64"),
    _array("singles", "FLOAT"),
    _array("doubles", "DOUBLE"),
    _array("texts", "VARCHAR", max_length=6),
]
NULLABLE = [{**field, "nullable": True} for field in [*SCALARS, *ARRAYS] if "default_value" not in field]
BY_TEXT = [{"name": "key", "type": "VARCHAR", "max_length": 60, "is_primary": True}, {**NUMBER, "is_primary": False}]
STANDALONE = [pytest.mark.standalone]
CASES = [
    pytest.param("lite", {"fields": [NUMBER, VECTOR, *SCALARS, *ARRAYS], "enable_dynamic_field": True}, id="lite-scalars"),
    pytest.param("lite", {"fields": [NUMBER, VECTOR, *NULLABLE]}, id="lite-nullable"),
    pytest.param("lite", {"fields": [*BY_TEXT, {"name": "words", "type": "SPARSE_FLOAT_VECTOR"}]}, id="lite-sparse"),
    pytest.param(
        "standalone",
        {"fields": [NUMBER, VECTOR, *SCALARS, *ARRAYS], "enable_dynamic_field": True},
        id="2.3.5-scalars",
        marks=STANDALONE,
    ),
    pytest.param(
        "standalone",
        {"fields": [*BY_TEXT, {"name": "bits", "type": "BINARY_VECTOR", "dim": 16}]},
        id="2.3.5-binary",
        marks=STANDALONE,
    ),
]
"""Every type that the server has. 16-bit vectors are left to ``test_row_forms``: 2.3.5 ends at the second call with some."""
INDEXES = {"BINARY_VECTOR": ("BIN_FLAT", "HAMMING"), "SPARSE_FLOAT_VECTOR": ("SPARSE_INVERTED_INDEX", "IP")}


class Colour(str, enum.Enum):  # noqa: UP042 - the `str` of a StrEnum is its value
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


# What rows hold

SINGLE = st.floats(width=32, allow_nan=False, allow_infinity=False)
DOUBLE = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(codec="utf-8"), max_size=3)
LONG = st.integers(-(2**63), 2**63 - 1)
KEYS = TEXT | st.sampled_from(["a.b", "a/b", "$x", 'a"b', "a b", "\\", "", "number", "$meta"])
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), LONG, DOUBLE, TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=6,
)
DYNAMIC = st.dictionaries(st.sampled_from(["colour", "a.b", "a b", "größe", 'a"b', "x"]), JSON, max_size=3)


def _deep(levels: int) -> Any:
    return [] if not levels else [_deep(levels - 1)]


ODD = [
    None,
    True,
    np.bool_(True),
    0,
    -0.0,
    3.0,
    1.5,
    np.float32(0.1),
    np.int8(-3),
    np.array(5),
    np.array([1, 2]),
    np.array([1.5, 2.5]),
    np.datetime64("2026-03-10"),
    np.timedelta64(5, "s"),
    2**24 + 1,
    2**53 + 1,
    2**63,
    2**64,
    10**400,
    1e39,
    math.nan,
    math.inf,
    Decimal(3),
    Decimal("0.1"),
    Decimal("NaN"),
    datetime(2026, 3, 10, tzinfo=UTC),
    date(2026, 3, 10),
    pd.Timestamp("2026-03-10"),
    pd.NaT,
    Colour.RED,
    Level.HIGH,
    b"\x01\xff",
    "",
    "a\0b",
    "\ud800",
    "éééééé",
    "ééééééé",
    "x" * 13,
    "null",
    '"text"',
    "[1]",
    '{"a": 1, "a": 2}',
    '{"a": NaN}',
    '{"a": 123456789012345678901234567890}',
    '{"a": "\\ud800"}',
    '{"a": 1e400}',
    '{"$meta": {"number": 1}, "": [], "a.b": -0.0}',
    [],
    [None],
    [1, None],
    [True, False],
    [1, 2],
    [1.5, 2.5],
    [1, 2, 3, 4],
    [0.1, math.nan],
    ["a", "éé"],
    ["éééé"],
    ["a\0"],
    ("a", "b"),
    {},
    {"a": math.nan},
    {"a": 2**70},
    {"a": [np.float32(0.1), np.bool_(False), np.array([1, 2])]},
    {"a": {1: 2}},
    {"a": datetime(2026, 3, 10, tzinfo=UTC)},
    {"a": Colour.RED},
    {"a": (1, 2)},
    {"deep": _deep(100)},
    {"deep": _deep(400)},
    {"number": 1, "$meta": {}},
    {7: 0.5},
    {7: 0.0},
    {7: 0.0, 9: 0.5},
    {"7": 1e-50},
    {"indices": [1, 2], "values": [0.5, 1.5]},
    [(1, 0.5), (2, 0.25)],
]


def good_value(field: Field) -> st.SearchStrategy[Any]:
    """Values that have to be accepted."""
    if field.type == "ARRAY":
        return st.lists(good_value(Field("", str(field.element_type), max_length=field.max_length)), max_size=3)
    if field.type in INTEGERS:
        allowed = integer_range(field.type)
        return st.integers(allowed[0], allowed[-1])
    by_type = {
        "BOOL": st.booleans(),
        "FLOAT": SINGLE,
        "DOUBLE": DOUBLE,
        "VARCHAR": TEXT.filter(lambda text: len(text.encode()) <= (field.max_length or 0)),
        "JSON": st.dictionaries(KEYS, JSON, max_size=3),
        "FLOAT_VECTOR": st.lists(SINGLE, min_size=2, max_size=2),
        "BINARY_VECTOR": st.binary(min_size=2, max_size=2).map(list),
        "SPARSE_FLOAT_VECTOR": st.dictionaries(
            st.integers(0, 2**32 - 2), st.floats(2.0**-20, 2.0**20, width=32), min_size=1, max_size=3
        ),
    }
    return by_type[field.type]


@st.composite
def rows_of(draw: st.DrawFn, schema: Schema) -> list[tuple[Row, bool]]:
    """Some rows without their keys, and whether each has to be accepted."""
    fields = [field for field in schema.fields if field.name not in ("number", "key")]
    rows = []
    for _ in range(draw(st.integers(1, 6))):
        row = {field.name: draw(good_value(field)) for field in fields}
        if schema.enable_dynamic_field:
            row |= draw(DYNAMIC)
        is_good = draw(st.booleans())
        if not is_good:
            for _ in range(draw(st.integers(1, 2))):
                name = draw(st.sampled_from([field.name for field in fields] + ["colour"] * schema.enable_dynamic_field))
                row[name] = draw(st.sampled_from(ODD))
        rows.append((row, is_good))
    return rows


def odd_rows(schema: Schema) -> list[tuple[Row, bool]]:
    """Each odd value in each field and among the dynamic values, in a row that is good but for it."""
    good: Row = {
        "flag": False,
        **dict.fromkeys(("tiny", "small", "whole", "long"), 1),
        **dict.fromkeys(("single", "double"), 0.5),
        "text": "a",
        "tree": {"a": 1},
        **{name: [] for name in ("flags", "bytes", "longs", "singles", "doubles", "texts")},
        "vector": [0.5, 1.0],
        "bits": [1, 2],
        "words": {1: 0.5},
    }
    names = [field.name for field in schema.fields if field.name not in ("number", "key")]
    base = {name: good[name] for name in names if name in good}
    odd = names + ["colour"] * schema.enable_dynamic_field
    return [(base, True), *(({**base, name: value}, False) for name in odd for value in ODD)]


# The forms of a source. Each returns the source, and the rows as this form means them, without those that it cannot express.

Form = Callable[[Path, list[Row], Schema], tuple[Any, list[Row]]]


def as_dicts(folder: Path, rows: list[Row], schema: Schema) -> tuple[Any, list[Row]]:
    return rows, rows


def as_json(row: Row) -> str | None:
    try:
        text = json.dumps(row)
    except (TypeError, RecursionError):
        return None
    return text if json.loads(text).keys() == row.keys() else None


def as_json_lines(folder: Path, rows: list[Row], schema: Schema) -> tuple[Any, list[Row]]:
    texts = list(filter(None, map(as_json, rows)))
    path = folder / "rows.jsonl"
    path.write_text("\n".join(texts))
    return path, list(map(json.loads, texts))


def as_document(folder: Path, rows: list[Row], schema: Schema) -> tuple[Any, list[Row]]:
    """With the dynamic values in a field of their own, as pymilvus's bulk writer writes them."""
    texts = list(filter(None, map(as_json, rows)))
    names = {field.name for field in schema.fields}
    written = []
    for row in map(json.loads, texts):
        own = {name: value for name, value in row.items() if name not in names}
        written.append({**{name: value for name, value in row.items() if name in names}, **({"$meta": own} if own else {})})
    path = folder / "rows.json"
    path.write_text(json.dumps({"rows": written}, indent=2))
    return path, list(map(json.loads, texts))


def _cell(field: Field, value: Any) -> str | None:
    if isinstance(value, np.generic | np.ndarray | enum.Enum):
        return None
    if field.type == "VARCHAR":
        value = "" if value is None else value
        return value if isinstance(value, str) and value.isprintable() else None
    if value is None:
        return ""
    if field.type == "BOOL":
        return str(value).lower() if isinstance(value, bool) else None
    if field.type in INTEGERS | FLOATS:
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300 else None
    if field.type == "JSON" and isinstance(value, str):
        return value if value.isprintable() and value else None
    return as_json({"": value}) and json.dumps(value)


def as_csv(folder: Path, rows: list[Row], schema: Schema) -> tuple[Any, list[Row]]:
    """Without dynamic values, which would be text."""
    path, meant = folder / "rows.csv", []
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([field.name for field in schema.fields])
        for row in rows:
            cells = [_cell(field, row.get(field.name)) for field in schema.fields]
            if None not in cells:
                writer.writerow(cells)
                meant.append(
                    {
                        field.name: cell
                        if field.type == "VARCHAR"
                        else (cell or None)
                        if field.type == "JSON"
                        else row.get(field.name)
                        for field, cell in zip(schema.fields, cells, strict=True)
                    }
                )
    return path, meant


ARROW = {
    "BOOL": pa.bool_(),
    "INT8": pa.int8(),
    "INT16": pa.int16(),
    "INT32": pa.int32(),
    "INT64": pa.int64(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "VARCHAR": pa.string(),
    "JSON": pa.string(),
    "FLOAT_VECTOR": pa.list_(pa.float32()),
    "BINARY_VECTOR": pa.list_(pa.uint8()),
    "SPARSE_FLOAT_VECTOR": pa.string(),
}


def _arrow_value(field: Field, value: Any) -> Any:
    """The value as an Arrow column holds it.

    :raises ValueError, TypeError, pa.ArrowException: it cannot.
    """
    if field.type in ("JSON", "SPARSE_FLOAT_VECTOR") and not isinstance(value, str | None):
        if as_json({"": value}) is None:
            raise TypeError
        value = json.dumps(value)
    kind = pa.list_(ARROW[str(field.element_type)]) if field.type == "ARRAY" else ARROW[field.type]
    return pa.array([value], kind)[0]


def as_arrow(folder: Path, rows: list[Row], schema: Schema) -> tuple[Any, list[Row]]:
    names = {field.name for field in schema.fields}
    columns: dict[str, list[Any]] = {field.name: [] for field in schema.fields}
    dynamic, meant = [], []
    for row in rows:
        own = {name: value for name, value in row.items() if name not in names}
        text = as_json(own)
        try:
            values = {field.name: _arrow_value(field, row.get(field.name)) for field in schema.fields}
        except (ValueError, TypeError, OverflowError, RecursionError, pa.ArrowException):
            continue
        if text is None:
            continue
        for name, value in values.items():
            columns[name].append(value)
        dynamic.append(text)
        meant.append({**{name: value.as_py() for name, value in values.items()}, **json.loads(text)})
    kinds = {name: column[0].type for name, column in columns.items() if column}
    table = {name: pa.array([value.as_py() for value in column], kinds.get(name)) for name, column in columns.items()}
    if schema.enable_dynamic_field:
        table["$meta"] = pa.array(dynamic, pa.string())
    return pa.table(table), meant


def as_parquet(folder: Path, rows: list[Row], schema: Schema) -> tuple[Any, list[Row]]:
    table, meant = as_arrow(folder, rows, schema)
    parquet.write_table(table, folder / "rows.parquet")
    return [[str(folder / "rows.parquet")]], meant


def as_pandas(folder: Path, rows: list[Row], schema: Schema) -> tuple[Any, list[Row]]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    frame = pd.DataFrame({name: pd.Series([row.get(name) for row in rows], dtype=object) for name in names})

    def meant(value: Any) -> Any:
        return None if pd.api.types.is_scalar(value) and pd.isna(value) else value

    return frame, [{name: meant(row.get(name)) for name in names} for row in rows]


FORMS: list[Form] = [as_dicts, as_json_lines, as_document, as_csv, as_arrow, as_parquet, as_pandas]


# What the server is to hold


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def single(value: Any) -> float:
    return float(np.float32(float(value)))


def expected_value(field: Field, value: Any) -> Any:
    """An accepted value in the field's own precision."""
    if field.type in ("JSON", "SPARSE_FLOAT_VECTOR") and isinstance(value, str):
        value = json.loads(value)
    if value is None:
        return field.default_value
    if field.type == "ARRAY":
        return [expected_value(Field("", str(field.element_type)), element) for element in value]
    if field.type == "FLOAT_VECTOR":
        return [single(number) for number in value]
    if field.type == "BINARY_VECTOR":
        return [bytes(list(value))]
    if field.type == "SPARSE_FLOAT_VECTOR":
        if isinstance(value, dict) and "indices" in value:
            value = zip(value["indices"], value["values"], strict=True)
        # A 0 is no entry.
        return {int(index): single(number) for index, number in dict(value).items() if single(number)}
    if field.type in INTEGERS:
        return int(value)
    if field.type in FLOATS:
        return single(value) if field.type == "FLOAT" else float(value)
    return str.__str__(value) if field.type == "VARCHAR" else plain(value)


def expected(row: Row, schema: Schema) -> Row:
    fields = {field.name: expected_value(field, row.get(field.name)) for field in schema.fields}
    return {**{name: plain(value) for name, value in row.items() if name not in fields}, **fields}


class Table:
    """A loaded collection; rows are written to it by the provider, and read by pymilvus."""

    def __init__(self, server: Milvus, described: dict[str, Any]) -> None:
        self.name = f"round_{uuid.uuid4().hex[:8]}"
        with server.plain_client() as client:
            self._create(client, described)
        with MilvusHook().client() as client:
            self.target = client.run(writes.find_target(self.name), MilvusHook(timeout=30).deadline())
        self.schema = self.target.schema

    def _create(self, client: Any, described: dict[str, Any]) -> None:
        made = client.create_schema(enable_dynamic_field=described.get("enable_dynamic_field", False))
        indexes = client.prepare_index_params()
        for field in described["fields"]:
            given_settings = {key: value for key, value in field.items() if key not in ("name", "type")}
            if "element_type" in given_settings:
                given_settings["element_type"] = DATA_TYPES[given_settings["element_type"]].number
            made.add_field(field["name"], DATA_TYPES[field["type"]].number, **given_settings)
            if field["type"].endswith("VECTOR"):
                index, metric = INDEXES.get(field["type"], ("FLAT", "L2"))
                indexes.add_index(field["name"], index_type=index, metric_type=metric)
        client.create_collection(self.name, schema=made, consistency_level="Strong")
        client.create_index(self.name, indexes, sync=False)
        client.load_collection(self.name)

    def write(self, client: Any, source: Any, batch_rows: int) -> dict[int, str]:
        """Write what can be written; return why the other rows are bad, by their row numbers."""
        bad: dict[int, str] = {}
        for chunk in read_rows(source, self.schema, batch_rows=batch_rows):
            checked = check(chunk, self.schema, upsert=True, max_bytes=MAX_BYTES)
            bad |= {row.number: str(row) for row in checked.bad}
            assert not checked.replaced
            for batch in batches(checked, self.schema, max_bytes=MAX_BYTES):
                client.run(writes.upsert(self.target, batch), MilvusHook(timeout=30).deadline())
        return bad


def numbered(rows: list[Row], schema: Schema) -> list[Row]:
    """Each with the key, or the keys, that no other row has."""
    by_text = schema.primary.name == "key"
    done = []
    for row in rows:
        number = next(NUMBERS)
        own = {"key": f"{number} {row.get('text', '')}é'\"\\"} if by_text else {}
        done.append({**own, "number": number, **row})
    return done


def check_round_trip(
    table: Table, writing: Any, reading: Any, folder: Path, rows: list[tuple[Row, bool]], batch_rows: int
) -> set[str]:
    """Write the rows in every form, and compare what the server has. Beside each row stands whether it has to be accepted.

    Returns the forms in which rows were held.
    """
    schema = table.schema
    meant: dict[int, tuple[str, Row]] = {}
    refused: dict[int, str] = {}
    for form in FORMS:
        given_rows = numbered([row for row, _ in rows], schema)
        must = {row["number"] for row, (_, is_good) in zip(given_rows, rows, strict=True) if is_good}
        source, as_meant = form(folder, given_rows, schema)
        bad = table.write(writing, source, batch_rows)
        assert bad.keys() <= set(range(1, len(as_meant) + 1)), form.__name__
        for position, row in enumerate(as_meant, 1):
            if position in bad:
                assert row["number"] not in must, (form.__name__, bad[position], row)
                refused[row["number"]] = f"{form.__name__}: {bad[position]}"
            else:
                meant[row["number"]] = (form.__name__, row)
    numbers = [*meant, *refused]
    held: dict[int, Row] = {}
    for first in range(0, len(numbers), 1000):
        found = reading.query(
            table.name,
            f"number in {numbers[first : first + 1000]}",
            output_fields=["*"],
            limit=2000,
            consistency_level="Bounded" if first else "Strong",
        )
        held |= {row["number"]: dict(row) for row in found}
    assert held.keys() == meant.keys(), [refused.get(number) for number in held.keys() - meant.keys()]
    for number, (form_name, row) in meant.items():
        assert held[number] == expected(row, schema), form_name
    return {form_name for form_name, _ in meant.values()}


@pytest.mark.parametrize(("server", "described"), CASES)
def test_what_is_accepted_is_held_and_what_is_not_is_a_bad_row(
    request: pytest.FixtureRequest, tmp_path: Path, server: str, described: dict[str, Any]
) -> None:
    milvus: Milvus = request.getfixturevalue(server)
    table = Table(milvus, described)

    @settings(
        max_examples=int(LONG_RUN or 15),
        deadline=None,
        derandomize=not LONG_RUN,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(rows_of(table.schema))
    def holds(rows: list[tuple[Row, bool]]) -> None:
        check_round_trip(table, writing, reading, tmp_path, rows, batch_rows=4)

    with MilvusHook().client() as writing, milvus.plain_client() as reading:
        try:
            forms = check_round_trip(table, writing, reading, tmp_path, odd_rows(table.schema), batch_rows=500)
            assert forms == {form.__name__ for form in FORMS}
            holds()
        finally:
            reading.drop_collection(table.name)
