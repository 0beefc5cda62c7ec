"""Addresses and texts as messages show them."""

from __future__ import annotations

import base64
from urllib.parse import quote, quote_plus

import pytest

from airflow_provider_milvus.wording import without, without_secrets

SECRET = "p w/d+é:@"


@pytest.mark.parametrize("form", [SECRET, quote(SECRET), quote(SECRET, safe=""), quote_plus(SECRET), ascii(SECRET)[1:-1]])
def test_a_secret_is_hidden_however_it_is_written(form: str) -> None:
    assert without({SECRET, ""}, f"cannot serve {form} here") == "cannot serve *** here"


def test_a_secret_is_hidden_in_base64() -> None:
    header = base64.b64encode(f"root:{SECRET}".encode()).decode()
    assert without({f"root:{SECRET}", SECRET}, f"authorization: {header}") == "authorization: ***"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://h:9091/metrics", "http://h:9091/metrics"),
        ("http://[::1]:9091", "http://[::1]:9091"),
        ("::1", "::1"),
        ("h:99999", "h:99999"),
        ("http://u:p@h:1/x?y", "http://h:1/…"),
        ("http://root:secret", "http://…"),
        ("root:secret", "…"),
    ],
)
def test_of_an_address_host_and_port_are_shown(address: str, shown: str) -> None:
    assert without_secrets(address) == shown
