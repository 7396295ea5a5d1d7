"""The parameters of a component, read from its constructor without importing it.

A component's keyword-only parameters are its settings; the factory passes the parameters before them. The source is
parsed, not run, so that typos in a configuration are found, and the schema is written, without importing torch. If the
source does not show the parameters, the component is imported and inspected.
"""

from __future__ import annotations

import inspect
import typing
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from firebox.engine.components.annotations import as_default
from firebox.engine.components.constructors import NotTold, Taken, attributes, of_definition
from firebox.engine.components.docstrings import described, summary
from firebox.engine.components.source import Source
from firebox.engine.components.targets import Target
from firebox.foundation.problems import similar


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters of a component, and the literal attributes of its class.

    Args:
        summary: first paragraph of its docstring.
        injected: names of the parameters that the factory passes.
        parameters: pydantic model of its settings.
        attributes: literal attributes of its class, including inherited ones.
    """

    summary: str
    injected: tuple[str, ...]
    parameters: type[BaseModel]
    attributes: Mapping[str, Any] = field(default_factory=dict, hash=False)


@cache
def read_signature(target: Target) -> Signature:
    """Reads the signature of a component from its source; imports it only if the source does not show it.

    Raises:
        LookupError: there is no such module, or no such class in it.
        SyntaxError: the source is not valid Python.
        ValueError: a default is not a literal.
    """
    source = Source.of(target)
    if source is None:
        raise LookupError(f"no such module: {target.module}")
    if source.lacks(target.attribute) and source.lookup(target.attribute) is None:
        raise _lacking(target, source.names())
    try:
        definition = source.lookup(target.attribute)
        if definition is None:
            raise NotTold(target.attribute)
        text, taken = of_definition(definition)
    except NotTold:
        return _imported_signature(target)
    return _signature(target, text, taken, attributes(definition))


def parameters_model(name: str, fields: dict[str, Any]) -> type[BaseModel]:
    """Returns a pydantic model with exactly the given fields."""
    settings = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=(), frozen=True)
    with warnings.catch_warnings():
        # A parameter may have the name of a method of pydantic's models.
        warnings.simplefilter("ignore", UserWarning)
        return create_model(name, __config__=settings, **fields)


def _lacking(target: Target, names: Iterable[str]) -> LookupError:
    return LookupError(f"{target.module} has no {target.attribute}{similar(target.attribute, names)}")


def _signature(target: Target, text: str, taken: Taken, own: Mapping[str, Any]) -> Signature:
    return Signature(summary(text), taken.injected, parameters_model(target.attribute, dict(taken.fields)), own)


def _imported_signature(target: Target) -> Signature:
    """Returns the signature of a component whose source does not show it, by importing the component."""
    try:
        component = target.load()
    except AttributeError:
        raise _lacking(target, dir(target.load_module())) from None
    text = inspect.getdoc(component) or ""
    own = _plain_attributes(component) if inspect.isclass(component) else {}
    return _signature(target, text, _inspected(component, described(text)), own)


def _inspected(component: Any, texts: Mapping[str, str]) -> Taken:
    """Returns the parameters by ``inspect``; those that a constructor passes on are looked for in its bases."""
    taken = _inspected_callable(inspect.signature(component), component, texts)
    if not inspect.isclass(component):
        return taken
    fields, passes_on = dict(taken.fields), _passes_on(inspect.signature(component))
    for base in component.__mro__[1:]:
        if not passes_on:
            break
        if "__init__" in vars(base) and base is not object:
            signature = inspect.signature(base)
            fields = {**_inspected_callable(signature, base, texts).fields, **fields}
            passes_on = _passes_on(signature)
    return Taken(taken.injected, taken.positional, fields)


def _passes_on(signature: inspect.Signature) -> bool:
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values())


def _inspected_callable(signature: inspect.Signature, component: Any, texts: Mapping[str, str]) -> Taken:
    try:
        hints = typing.get_type_hints(component.__init__ if inspect.isclass(component) else component)
    except (NameError, TypeError):
        hints = {}
    given = signature.parameters.values()
    positional = [p for p in given if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    fields: dict[str, Any] = {}
    for parameter in given:
        settable = parameter.kind is parameter.KEYWORD_ONLY or (
            parameter.kind is parameter.POSITIONAL_OR_KEYWORD and parameter.default is not parameter.empty
        )
        if settable:
            default = ... if parameter.default is parameter.empty else parameter.default
            annotation = hints.get(parameter.name, Any)
            simple = annotation if annotation in (int, float, bool, str) else as_default(default)
            fields[parameter.name] = (simple, Field(default, description=texts.get(parameter.name)))
    injected = tuple(p.name for p in positional if p.default is p.empty)
    return Taken(injected, tuple(p.name for p in positional), fields)


def _plain_attributes(component: type) -> dict[str, Any]:
    found = {name: value for base in reversed(component.__mro__) for name, value in vars(base).items()}
    return {name: value for name, value in found.items() if not name.startswith("__") and _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_plain, [*value, *value.values()]))
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_plain, value))
    return value is None or type(value) in (int, float, bool, str, bytes)
