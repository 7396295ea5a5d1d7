"""Resolves the types in annotations without importing more than light modules and without running any code."""

from __future__ import annotations

import ast
import builtins
import importlib
from typing import Annotated, Any

from pydantic import AfterValidator

from firebox.engine.components.source import Source
from firebox.engine.components.targets import Target

LIGHT_MODULES = frozenset(
    {
        "typing",
        "pydantic",
        "annotated_types",
        "pathlib",
        "collections.abc",
        "firebox.foundation.intervals",
        "firebox.foundation.paths",
        "firebox.data.declarations.specification",
        "firebox.engine.components.part",
    }
)
"""Modules whose names may appear in the annotation of a parameter; they import within milliseconds."""

CALLED = frozenset({"pydantic", "annotated_types", "firebox.engine.components.part"})
"""Modules whose names may be called in an annotation, because they describe a type."""


def evaluate(source: Source, annotation: ast.expr | None) -> Any:
    """Returns the type that an annotation in a module names; ``Any`` for what can't be resolved."""
    try:
        return Any if annotation is None else _evaluated(source, annotation)
    except (LookupError, TypeError, SyntaxError, RecursionError):
        return Any


def _evaluated(source: Source, annotation: ast.expr) -> Any:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        annotation = ast.parse(annotation.value, mode="eval").body
    names = _Names(source)
    # A copy is transformed, so that the tree of the module stays as it is.
    expression = ast.Expression(names.visit(ast.parse(ast.unparse(annotation), mode="eval").body))
    code = compile(ast.fix_missing_locations(expression), str(source.path), "eval")
    return eval(code, {"__builtins__": {}}, names.scope)


def _named_type(source: Source, node: ast.Name | ast.Attribute) -> Any:
    """Returns the object that a name in an annotation stands for.

    Raises:
        LookupError: the object can't be found without importing more than light modules.
    """
    target = source.target(node)
    if target is None:
        found = getattr(builtins, ast.unparse(node), None)
        if not isinstance(found, type):
            raise LookupError(ast.unparse(node))
        return found
    if target.module not in LIGHT_MODULES:
        definition = source.follow(target)
        if definition is None:
            raise LookupError(ast.unparse(node))
        if definition.source.module not in LIGHT_MODULES:
            if not isinstance(definition.node, ast.expr):
                raise LookupError(ast.unparse(node))
            return _evaluated(definition.source, definition.node)
        target = Target(definition.source.module, definition.name)
    module = importlib.import_module(target.module)
    return getattr(module, target.attribute) if target.attribute else module


class _Names(ast.NodeTransformer):
    """Collects the objects that the names in an annotation stand for; only calls that describe types are kept."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.scope: dict[str, Any] = {}

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._replaced(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        return self._replaced(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        target = self._source.target(node.func)
        if target is None or target.module not in CALLED:
            # The name may lead through the public face.
            definition = None if target is None else self._source.follow(target)
            if definition is None or definition.source.module not in CALLED:
                raise LookupError(ast.unparse(node))
        return self.generic_visit(node)

    def _replaced(self, node: ast.Name | ast.Attribute) -> ast.expr:
        key = f"_{len(self.scope)}"
        self.scope[key] = _named_type(self._source, node)
        return ast.Name(key, ast.Load())


def as_default(default: Any) -> Any:
    """Returns the type of a setting whose own says nothing: a list of numbers is one of floats if its default is.

    YAML's 0 is an integer, which torch's optimizers refuse among their betas.
    """
    if not (isinstance(default, tuple) and default and all(isinstance(value, float) for value in default)):
        return Any

    def floats(given: Any) -> Any:
        numbers = isinstance(given, list | tuple) and all(type(value) in (int, float) for value in given)
        return tuple(map(float, given)) if numbers else given

    return Annotated[Any, AfterValidator(floats)]
