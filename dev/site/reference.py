"""The reference: a page for each operator and sensor, and one for each of the smaller subjects, all from the docstrings.

A class says in its docstring what its own arguments mean, and its base what the others do. The page of a class has both.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator, Sequence

PACKAGE = "airflow_provider_milvus"
REFERENCE = ("operators", "sensors", "triggers", "hooks", "decorators", "conditions", "exceptions", "assets")
"""The pages of the menu."""
_HEADINGS = {
    "operators": "Operators",
    "sensors": "Sensors",
    "triggers": "Triggers",
    "hooks": "Hook",
    "decorators": "Task decorators",
    "conditions": "Conditions",
    "exceptions": "Errors",
    "assets": "Assets",
}
_DOORS = ("operators", "sensors", "triggers", "hooks", "decorators")
_A_PAGE_EACH = ("operators", "sensors")
_FIELD = re.compile(r"^:(?P<kind>param|raises|returns)(?: (?P<name>[^:\n]+))?:", re.M)


def reference_pages() -> dict[str, str]:
    """The pages in reStructuredText, by their paths."""
    pages = {}
    for subject in REFERENCE:
        module = module_of(subject)
        names = public_names(subject)
        heading = _titled(_HEADINGS[subject], "=")
        if subject in _A_PAGE_EACH:
            entries = "".join(f"   {name}\n" for name in names)
            first = f"Import them from ``{module}``.\n\n.. toctree::\n   :maxdepth: 1\n\n{entries}"
            pages |= {f"reference/{name}.rst": f"{_titled(name, '=')}\n{_entry(module, name)}" for name in names}
        else:
            first = f"Import from ``{module}``.\n\n" + "\n".join(_entry(module, name) for name in names)
        pages[f"reference/{subject}.rst"] = f"{heading}\n{first}"
    return pages


def module_of(subject: str) -> str:
    return f"{PACKAGE}.{subject}.milvus" if subject in _DOORS else f"{PACKAGE}.{subject}"


def public_names(subject: str) -> list[str]:
    """What can be imported from there and is of this package."""
    module = importlib.import_module(module_of(subject))
    home = f"{PACKAGE}.{subject}"
    found = [name for name in vars(module) if not name.startswith("_")]
    if hasattr(module, "__all__"):
        found = list(module.__all__)
    elif subject in ("sensors", "triggers", "hooks"):
        found = [name for name in found if name.startswith("Milvus")]
    names = [name for name in found if getattr(getattr(module, name), "__module__", "").startswith(home)]
    return names if subject == "exceptions" else sorted(names, key=str.lower)


def _entry(module: str, name: str) -> str:
    value = getattr(importlib.import_module(module), name)
    if not inspect.isclass(value):
        return f".. autofunction:: {module}.{name}\n"
    methods = "" if _is_task(value) else "   :members:\n"
    bases = "   :show-inheritance:\n" if issubclass(value, Exception) else ""
    return f".. autoclass:: {module}.{name}\n{methods}{bases}"


def _is_task(kind: type) -> bool:
    return any(base.__name__ == "BaseOperator" for base in kind.__mro__)


def _titled(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}\n"


def own_bases(kind: type) -> Iterator[type]:
    """The class and those of its bases that are this package's, itself first."""
    yield from (base for base in kind.__mro__ if base.__module__.startswith(f"{PACKAGE}."))


def arguments_of(kind: type) -> dict[str, inspect.Parameter]:
    """Its own arguments and those of its bases here, by name: not Airflow's, which every operator has."""
    found: dict[str, inspect.Parameter] = {}
    for base in own_bases(kind):
        if "__init__" in vars(base):
            for name, parameter in list(inspect.signature(base.__init__).parameters.items())[1:]:
                if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                    found.setdefault(name, parameter)
    return found


def signature_of(kind: type) -> inspect.Signature:
    """As one call writes it. Airflow's own arguments are the ``**kwargs``."""
    named = sorted(arguments_of(kind).values(), key=lambda it: (it.kind, it.default is not it.empty))
    more = [it for it in inspect.signature(kind).parameters.values() if it.kind is it.VAR_KEYWORD]
    return inspect.Signature([*named, *more])


def documented(kind: type) -> dict[str, str]:
    """What the docstrings of a class and of its bases say of each argument."""
    found: dict[str, str] = {}
    for base in own_bases(kind):
        for name, text in _arguments_in(inspect.cleandoc(vars(base).get("__doc__") or "")).items():
            found.setdefault(name, text)
    return found


def with_inherited(kind: type, lines: Sequence[str]) -> list[str]:
    """The lines of a class's docstring with the arguments of its bases behind its own ones."""
    text = "\n".join(lines)
    own = _arguments_in(text)
    taken = arguments_of(kind)
    inherited = [f":param {name}: {said}" for name, said in documented(kind).items() if name in taken and name not in own]
    if not inherited:
        return list(lines)
    place = next((field.start() for field in _FIELD.finditer(text) if field["kind"] != "param"), len(text))
    before, after = text[:place].rstrip("\n"), text[place:]
    gap = "\n" if own else "\n\n"
    return [*f"{before}{gap}{chr(10).join(inherited)}\n{after}".split("\n")]


def _arguments_in(text: str) -> dict[str, str]:
    fields = list(_FIELD.finditer(text))
    ends = [*(field.start() for field in fields), len(text)][1:]
    return {
        field["name"]: text[field.end() : end].strip()
        for field, end in zip(fields, ends, strict=False)
        if field["kind"] == "param"
    }
