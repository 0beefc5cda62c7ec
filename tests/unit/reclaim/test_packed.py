"""Values that are packed into text, and back."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from airflow_provider_milvus.reclaim.packed import MOST, is_packed, pack, unpack

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values, st.sampled_from([0, MOST]))
def test_what_comes_back_is_what_was_packed(value, more):
    packed = pack([value, "x" * more])
    assert is_packed(packed) == bool(more)
    # A plan is given to a template field.
    assert not (more and set("{}") & set(packed))
    assert unpack(packed) == [value, "x" * more]


@pytest.mark.parametrize("value", ["text", "", "xz", 5, None, ["xz:"], {"xz:": 1}])
def test_what_was_not_packed_is_left_as_it_is(value):
    assert unpack(value) == value


@pytest.mark.parametrize(
    "damage", [lambda text: text[:-20], lambda text: "xz:", lambda text: "xz:" + text[10:], lambda text: "xz:§"]
)
def test_damaged_text_is_an_error(damage):
    with pytest.raises(ValueError, match="its text cannot be unpacked"):
        unpack(damage(pack(["x" * MOST])))


def test_text_that_stands_for_too_much_is_an_error(monkeypatch):
    monkeypatch.setattr("airflow_provider_milvus.reclaim.packed._LARGEST", MOST)
    with pytest.raises(ValueError, match="too long"):
        unpack(pack(["x" * MOST]))
