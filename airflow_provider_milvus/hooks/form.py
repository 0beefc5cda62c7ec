"""The connection's form in Airflow 2.11 to 3.1, which ask the hook for it; later versions read ``get_provider_info``."""

from __future__ import annotations

from typing import Any


def widgets() -> dict[str, Any]:
    """The fields, as Flask-AppBuilder shows them."""
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
    from flask_babel import lazy_gettext
    from wtforms import BooleanField, PasswordField, StringField
    from wtforms.validators import Optional

    from airflow_provider_milvus.get_provider_info import connection_fields

    def field(described: dict[str, Any]) -> Any:
        label, schema = lazy_gettext(described["label"]), described["schema"]
        text: dict[str, Any] = {"description": described.get("description", ""), "validators": [Optional()]}
        if "boolean" in schema["type"]:
            return BooleanField(label, description=text["description"])
        if schema.get("format") == "password":
            text["description"] += " Airflow 2 forgets it when the connection is edited: enter it again then."
            return PasswordField(label, widget=BS3PasswordFieldWidget(), **text)
        # Numbers too: Airflow drops the whole hook over a field of a class that it does not list, such as FloatField.
        return StringField(label, widget=BS3TextFieldWidget(), **text)

    return {setting: field(described) for setting, described in connection_fields().items()}
