"""The documentation as a site: the pages of ``docs/`` as they are, and a reference from the docstrings: ``make docs``.

Sphinx, because the docstrings are reStructuredText: their fields, roles and ``code-block`` directives are its own.
"""
