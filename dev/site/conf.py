"""Sphinx's configuration of the site. The source is arranged by ``python -m dev.site``, which also calls Sphinx."""

from __future__ import annotations

import inspect
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.inspect import stringify_signature

from airflow_provider_milvus import __version__
from dev.site.pages import ROOT
from dev.site.reference import PACKAGE, signature_of, with_inherited

project = "airflow-provider-milvus"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]

highlight_language = "text"
# Headings get the anchors that GitHub gives them.
myst_heading_anchors = 4
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
add_module_names = False
maximum_signature_line_length = 80

# Furo takes the fonts of the reader's machine, and asks no other server for anything.
html_theme = "furo"
html_title = f"{project} {version}"
html_logo = html_favicon = str(ROOT / "docs" / "integration-logos" / "milvus.svg")
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}


def add_inherited_arguments(app: Sphinx, what: str, name: str, subject: Any, options: Any, lines: list[str]) -> None:
    if what == "class" and name.startswith(PACKAGE):
        lines[:] = with_inherited(subject, lines)


def show_all_arguments(
    app: Sphinx, what: str, name: str, subject: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    takes_more = (
        what == "class"
        and signature
        and any(parameter.kind is parameter.VAR_KEYWORD for parameter in inspect.signature(subject).parameters.values())
    )
    return (stringify_signature(signature_of(subject)), None) if takes_more else (signature, returned)


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", add_inherited_arguments)
    app.connect("autodoc-process-signature", show_all_arguments)
