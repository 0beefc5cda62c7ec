"""The arguments of operators and sensors: what each kind accepts, and what *given, but empty* means.

An operator declares each argument once, with its kind::

    class MilvusDropCollectionOperator(MilvusWriteOperator):
        collection_name = Argument(check_name)
        if_missing = Argument(one_of("fail", "skip"))
        drop_aliased = Argument(check_flag)

The argument's name is its attribute and its template field. A plain value is checked when the DAG is parsed, a rendered one
when the task renders it; both refusals name the argument and the task, before anything is sent to Milvus.

What the DAG leaves out, and a None that is written in the DAG file, is *not given*. Everything else is given: what a template,
another task's output, ``expand`` or ``default_args`` brings. What is given and empty (None, ``""``, ``"None"``, ``[]``,
``{}``) is an error, since a slip must not widen what a task does. docs/arguments.md has the words that stand for nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Generic, TypeVar, overload

from airflow_provider_milvus import kinds
from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError

T = TypeVar("T")
_MISSING = object()


@dataclass(eq=False)
class Argument(Generic[T]):
    """One argument of an operator: a descriptor that checks whatever is assigned to it.

    :param check: its kind.
    :param widens: without it the task does more, so a None that is written in the DAG file is an error, too.
    :param nothing: what stands for "not given" where a value has to be given, such as ``"any"``.
    :param empty_list: an empty list is a choice: ``"given"`` always, ``"written"`` only where it stands in the DAG file.
    :param templated: whether it is a template field.
    """

    check: kinds.Check[T]
    _: KW_ONLY
    widens: bool = False
    nothing: str | None = None
    empty_list: str = ""
    templated: bool = True

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Argument[T]: ...
    @overload
    def __get__(self, instance: HasArguments, owner: type) -> T: ...
    def __get__(self, instance: HasArguments | None, owner: type) -> Any:
        """The checked value; the template itself until it is rendered; None if it is not given."""
        if instance is None:
            return self
        try:
            value = instance.__dict__[self.name]
        except KeyError:
            raise AttributeError(self.name) from None
        return value if self.name in instance.unrendered else self.check_given(value)

    def __set__(self, instance: HasArguments, value: Any) -> None:
        before = instance.__dict__.get(self.name, _MISSING)
        if value is None and before is None:
            return
        is_first = before is _MISSING or _is_file(instance, before)
        if self.templated and (refers(value) or (is_first and (holds_template(value) or _is_file(instance, value)))):
            # A set of its own: Airflow's copies of a task share what it holds.
            instance.unrendered = instance.unrendered | {self.name}
        else:
            value = self._accepted(instance, value, is_first)
            instance.unrendered = instance.unrendered - {self.name}
        instance.__dict__[self.name] = value

    def _accepted(self, instance: HasArguments, value: Any, is_first: bool) -> Any:
        try:
            if value is None and is_first and self.name not in instance.never_none:
                default = _default(type(instance), self.name)
                if default is _MISSING or (self.widens and self.name in instance.written):
                    raise MilvusInvalidArgumentError(f"{self.name} is None. {self._way_out()}")  # noqa: TRY301
                return default
            self._refuse_nothing(value, is_first and self.name in instance.written)
            self.check_given(value)
        except MilvusInvalidArgumentError as error:
            raise instance.wrong(error) from None
        return value

    def _refuse_nothing(self, value: Any, written: bool) -> None:
        is_list = isinstance(value, (list, tuple)) or (self.empty_list == "given" and value == "[]")
        is_choice = self.empty_list == "given" or (self.empty_list == "written" and written)
        if kinds.is_nothing(value) and not (is_list and is_choice):
            raise MilvusInvalidArgumentError(f"{self.name} is given, but empty ({value!r}). {self._way_out()}")

    def _way_out(self) -> str:
        word = "" if self.nothing is None else f" or write {self.nothing!r}"
        return f"Leave it out{word} if nothing is meant, or mend what it comes from."

    def check_given(self, value: Any) -> Any:
        """What the operator gets of a value: None of the word for nothing."""
        return self.check(self.name, value) if self.is_something(value) else None

    def is_something(self, value: Any) -> bool:
        """Whether it is neither None nor the word for nothing. An array is not compared with a word."""
        is_word = isinstance(value, (str, list, tuple)) and self.nothing is not None
        return value is not None and not (is_word and value in (self.nothing, [self.nothing]))


class OptionalArgument(Argument[T | None]):
    """An argument that may be left out: its value is None then."""


class HasArguments:
    """Base of what has arguments. Its template fields are its arguments."""

    template_fields: Collection[str] = ()
    task_id: str
    written: frozenset[str]
    """The arguments that the DAG file writes."""
    never_none: set[str]
    """Those for which None is given, and so an error: it comes from ``expand`` or ``default_args``."""
    unrendered: set[str]
    """Those that are templates still."""
    _arguments: ClassVar[dict[str, Argument[Any]]] = {}

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        self = super().__new__(cls)
        self.__dict__["_keywords"] = frozenset(kwargs)
        return self

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        own = {name: value for name, value in vars(cls).items() if isinstance(value, Argument)}
        cls._arguments = {}
        for base in reversed(cls.__bases__):
            cls._arguments |= getattr(base, "_arguments", {})
        cls._arguments |= own
        cls.template_fields = tuple(name for name, argument in cls._arguments.items() if argument.templated)

    def begin_arguments(self, default_args: Mapping[str, Any] | None) -> None:
        """To be called after Airflow's own ``__init__`` and before any argument is assigned."""
        # Airflow copies attributes in the order in which they were made, and its own have to come first.
        self.written = self.__dict__.pop("_keywords")
        self.unrendered = set()
        self.never_none = {name for name, value in (default_args or {}).items() if value is None}
        if "_airflow_from_mapped" in self.written:
            # What `expand` brings is a plain value by now.
            self.never_none |= self.written

    def take(self, values: Mapping[str, Any]) -> None:
        """Assign the arguments that are among ``values``, the ``locals()`` of an ``__init__``, unless a base has done so."""
        for name in self._arguments:
            if name in values and name not in self.__dict__:
                setattr(self, name, values[name])

    def wrong(self, reason: object) -> MilvusInvalidArgumentError:
        """The error of an argument that can never work, or of several that do not go together."""
        return MilvusInvalidArgumentError(f"Task {self.task_id!r} sends nothing to Milvus: {reason}")

    def is_given(self, name: str) -> bool:
        """Whether the DAG gives this argument: a value, or a template for one."""
        return self._arguments[name].is_something(self.__dict__.get(name))

    def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
        super().render_template_fields(context, jinja_env)  # type: ignore[misc]
        # Airflow 2.11 leaves a template as it is that renders to nothing.
        for name in tuple(self.unrendered):
            setattr(self, name, self.render_template(self.__dict__[name], context, jinja_env))  # type: ignore[attr-defined]

    def refuse_unrendered(self) -> None:
        """To be called before anything is sent: no argument is a template any more.

        :raises MilvusInvalidArgumentError: one is: it was not rendered, or (of a mapped task in Airflow 2.11) to nothing.
        """
        for name in sorted(self.unrendered):
            given = self.__dict__[name]
            raise self.wrong(f"{name} is given as {given!r}, which renders to nothing. {self._arguments[name]._way_out()}")


_PLAIN = frozenset({bool, int, float, str, bytes, type(None)})
"""Types of values that are no output of a task, and hold none."""


def refers(value: Any) -> bool:
    """Whether a value is, or holds, another task's output."""
    if isinstance(value, (list, tuple, set)):
        # Rows have vectors of many numbers.
        return not _PLAIN.issuperset(map(type, value)) and any(map(refers, value))
    return any(map(refers, value.values())) if isinstance(value, dict) else hasattr(value, "iter_references")


def holds_template(value: Any) -> bool:
    """Whether a value is, or holds, text that Airflow renders."""
    if isinstance(value, (list, tuple, set)):
        return any(map(holds_template, value))
    if isinstance(value, dict):
        return any(map(holds_template, value.values()))
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def _is_file(instance: Any, value: Any) -> bool:
    """Whether Airflow reads the value from a template file."""
    return isinstance(value, str) and value.endswith(tuple(instance.template_ext)) and bool(instance.template_ext)


def _default(owner: type, name: str) -> Any:
    """What the signature has for an argument that is left out; ``_MISSING`` where it has to be given."""
    for base in owner.__mro__:
        init = vars(base).get("__init__")
        if init is not None and (parameter := inspect.signature(init).parameters.get(name)):
            return _MISSING if parameter.default is parameter.empty else parameter.default
    return _MISSING
