"""The parameters of a constructor, from its source: explicit, of a dataclass, inherited, or passed on to a base."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from firebox.engine.components.annotations import as_default, evaluate
from firebox.engine.components.docstrings import described
from firebox.engine.components.siblings import RESERVED
from firebox.engine.components.source import Definition, Source, assignments

TAKE_NOTHING = frozenset(
    {
        "object",
        "abc.ABC",
        "typing.Generic",
        "typing.Protocol",
        "torch.nn.Module",
        "torch.utils.data.Dataset",
        "torch.utils.data.IterableDataset",
    }
)
"""Classes from which many components inherit and whose constructors have no settings."""
HARMLESS_DECORATORS = frozenset({"typing.final", "typing.runtime_checkable", "typing.no_type_check"})
_MADE_EMPTY: dict[str, type] = {"list": list, "dict": dict, "tuple": tuple, "set": set}


class NotTold(Exception):
    """The source does not show the parameters of a component."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The parameters of a constructor.

    Args:
        injected: positional parameters without a default.
        positional: all positional parameters, in order.
        fields: settings by name, each a type and pydantic's field.
    """

    injected: tuple[str, ...]
    positional: tuple[str, ...]
    fields: Mapping[str, Any]


def of_definition(definition: Definition) -> tuple[str, Taken]:
    """Returns the docstring of a class or function, and its parameters.

    Raises:
        NotTold: the source does not show the parameters.
        ValueError: a default is not a literal.
    """
    node = definition.node
    if isinstance(node, ast.expr):
        raise NotTold(definition.name)
    documentation = ast.get_docstring(node) or ""
    if isinstance(node, ast.FunctionDef):
        return documentation, _explicit(definition.source, node.args, described(documentation))
    return documentation, _of_class(definition, ()) or Taken((), (), {})


def attributes(definition: Definition) -> dict[str, Any]:
    """Returns the literal attributes of a class, including those inherited from Firebox's or a user's classes."""
    node, source = definition.node, definition.source
    if not isinstance(node, ast.ClassDef):
        return {}
    found: dict[str, Any] = {}
    for base in reversed(node.bases):
        target = source.target(_without_arguments(base))
        third_party = target is None or (
            not target.is_file and target.module.partition(".")[0] in RESERVED - {"firebox"}
        )
        inherited = None if third_party else source.definition(_without_arguments(base))
        if inherited is not None and inherited.node is not node:
            found |= attributes(inherited)
    for name, value in assignments(node):
        found.pop(name, None)
        try:
            if value is not None and not name.startswith("__"):
                found[name] = source.literal(value)
        except ValueError:
            continue
    return found


def _of_class(definition: Definition, below: tuple[ast.AST, ...]) -> Taken | None:
    """Returns the parameters of a class; None if neither it nor a base has a constructor."""
    node, source = definition.node, definition.source
    if not isinstance(node, ast.ClassDef):
        raise NotTold(definition.name)
    if node in below:
        raise ValueError(f"{node.name} inherits from itself")
    below = (*below, node)
    constructor = _method(node, "__init__")
    if constructor is not None:
        texts = described(ast.get_docstring(node) or "") | described(ast.get_docstring(constructor) or "")
        own = _explicit(source, constructor.args, texts, method=True)
        return _with_passed_on(own, source, node, constructor, below)
    options = _dataclass_options(source, node)
    if options is not None and options.get("init", True):
        return _taken_by_dataclass(_dataclass_fields(definition, below))
    decorators = {source.qualified(_called(decorator)) for decorator in node.decorator_list}
    if options is None and decorators - HARMLESS_DECORATORS:
        raise NotTold(node.name)
    return _of_bases(source, node, below)


def _of_bases(source: Source, node: ast.ClassDef, below: tuple[ast.AST, ...]) -> Taken | None:
    return next((taken for base in _bases(source, node) if (taken := _of_class(base, below)) is not None), None)


def _bases(source: Source, node: ast.ClassDef) -> Iterator[Definition]:
    """Yields the bases of a class that may have a constructor.

    Raises:
        NotTold: a base has no source.
    """
    for expression in map(_without_arguments, node.bases):
        if source.qualified(expression) in TAKE_NOTHING:
            continue
        base = source.definition(expression)
        if base is None or isinstance(base.node, ast.expr):
            raise NotTold(ast.unparse(expression))
        yield base


def _without_arguments(base: ast.expr) -> ast.expr:
    """Returns ``Base`` for ``Base[T]``."""
    return base.value if isinstance(base, ast.Subscript) else base


def _called(decorator: ast.expr) -> ast.expr:
    return decorator.func if isinstance(decorator, ast.Call) else decorator


def _method(node: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    return next((s for s in reversed(node.body) if isinstance(s, ast.FunctionDef) and s.name == name), None)


def _explicit(source: Source, given: ast.arguments, texts: Mapping[str, str], *, method: bool = False) -> Taken:
    """Returns the explicit parameters of a function."""
    positional = [*given.posonlyargs, *given.args][1 if method else 0 :]
    # What has a default, the factory need not give; classes of other packages have their settings there.
    optional = positional[len(positional) - len(given.defaults) :] if given.defaults else []
    settings = [*zip(optional, given.defaults, strict=True), *zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    fields: dict[str, Any] = {}
    for argument, default in settings:
        if argument in given.posonlyargs:
            continue  # settings are passed by name
        value = ... if default is None else _default(source, argument.arg, default)
        annotation = evaluate(source, argument.annotation)
        annotation = as_default(value) if annotation is Any else annotation
        fields[argument.arg] = (annotation, Field(value, description=texts.get(argument.arg)))
    injected = tuple(argument.arg for argument in positional[: len(positional) - len(optional)])
    return Taken(injected, tuple(argument.arg for argument in positional), fields)


def _default(source: Source, name: str, node: ast.expr) -> Any:
    try:
        return source.literal(node)
    except ValueError:
        given = ast.unparse(node)
        raise ValueError(f'the default of {name} is {given}, expected a literal such as 3 or "text"') from None


def _with_passed_on(
    own: Taken, source: Source, node: ast.ClassDef, constructor: ast.FunctionDef, below: tuple[ast.AST, ...]
) -> Taken:
    """Adds the parameters that ``**kwargs`` and ``*args`` pass on to the constructor of a base."""
    arguments = constructor.args
    names = {argument.arg for argument in (arguments.kwarg, arguments.vararg) if argument is not None}
    for call in ast.walk(constructor):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "__init__"):
            continue
        starred = [argument.value for argument in call.args if isinstance(argument, ast.Starred)]
        starred += [keyword.value for keyword in call.keywords if keyword.arg is None]
        if not any(isinstance(value, ast.Name) and value.id in names for value in starred):
            continue
        owner = call.func.value
        by_name = not isinstance(owner, ast.Call)
        if by_name:
            base = source.definition(owner)
            if base is None:
                raise NotTold(ast.unparse(owner))
            taken = _of_class(base, below)
        else:
            taken = _of_bases(source, node, below)
        if taken is None:
            return own
        plain = [argument for argument in call.args if not isinstance(argument, ast.Starred)]
        given = {*taken.positional[: len(plain) - (1 if by_name else 0)], *(keyword.arg for keyword in call.keywords)}
        given |= {*own.positional, *own.fields}
        injected = (*own.injected, *(name for name in taken.injected if name not in given))
        positional = (*own.positional, *(name for name in taken.positional if name not in given))
        passed = {name: value for name, value in taken.fields.items() if name not in given}
        return Taken(injected, positional, {**own.fields, **passed})
    return own


@dataclass(frozen=True, slots=True)
class _DataclassField:
    keyword_only: bool
    annotation: Any
    default: Any
    description: str | None


def _dataclass_options(source: Source, node: ast.ClassDef) -> dict[str, Any] | None:
    """Returns the options of the decorator ``dataclass``; None if the class is not a dataclass."""
    for decorator in node.decorator_list:
        if source.qualified(_called(decorator)) == "dataclasses.dataclass":
            return _options(source, decorator.keywords) if isinstance(decorator, ast.Call) else {}
    return None


def _options(source: Source, keywords: list[ast.keyword]) -> dict[str, Any]:
    return {keyword.arg: _default(source, keyword.arg, keyword.value) for keyword in keywords if keyword.arg}


def _dataclass_fields(definition: Definition, below: tuple[ast.AST, ...]) -> dict[str, _DataclassField]:
    """Returns the fields of a dataclass, those of its bases first."""
    node, source = definition.node, definition.source
    assert isinstance(node, ast.ClassDef)
    fields: dict[str, _DataclassField] = {}
    for base in reversed(list(_bases(source, node))):
        if base.node in below:
            raise ValueError(f"{node.name} inherits from itself")
        fields |= _dataclass_fields(base, (*below, base.node))
    options = _dataclass_options(source, node)
    if options is None:
        return fields
    texts = described(ast.get_docstring(node) or "")
    keyword_only = bool(options.get("kw_only", False))
    for statement in node.body:
        if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)):
            continue
        name, annotation = statement.target.id, statement.annotation
        kind = source.qualified(_without_arguments(annotation))
        if kind == "dataclasses.KW_ONLY":
            keyword_only = True
        elif kind != "typing.ClassVar":
            if kind == "dataclasses.InitVar" and isinstance(annotation, ast.Subscript):
                annotation = annotation.slice
            options_of_field = _field_options(source, name, statement.value)
            if options_of_field.get("init", True):
                fields[name] = _DataclassField(
                    bool(options_of_field.get("kw_only", keyword_only)),
                    evaluate(source, annotation),
                    options_of_field.get("default", ...),
                    texts.get(name),
                )
            else:
                fields.pop(name, None)
    return fields


def _field_options(source: Source, name: str, value: ast.expr | None) -> dict[str, Any]:
    """Returns the options of a field, from ``field(...)`` or a plain default."""
    if value is None:
        return {}
    if not (isinstance(value, ast.Call) and source.qualified(value.func) == "dataclasses.field"):
        return {"default": _default(source, name, value)}
    options: dict[str, Any] = {}
    for keyword in value.keywords:
        if keyword.arg == "default_factory":
            options["default"] = _made(source, name, keyword.value)
        elif keyword.arg in ("default", "init", "kw_only"):
            options[keyword.arg] = _default(source, name, keyword.value)
    return options


def _made(source: Source, name: str, factory: ast.expr) -> Any:
    if isinstance(factory, ast.Name) and factory.id in _MADE_EMPTY:
        return _MADE_EMPTY[factory.id]()
    return _default(source, name, factory.body if isinstance(factory, ast.Lambda) else factory)


def _taken_by_dataclass(fields: Mapping[str, _DataclassField]) -> Taken:
    positional = tuple(name for name, field in fields.items() if not field.keyword_only)
    injected = tuple(name for name in positional if fields[name].default is ...)
    settings = {
        name: (field.annotation, Field(field.default, description=field.description))
        for name, field in fields.items()
        if name not in injected
    }
    return Taken(injected, positional, settings)
