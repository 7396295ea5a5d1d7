"""A parsed module, whose names are followed through imports without running any code."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from firebox.engine.components.siblings import folders_of, located
from firebox.engine.components.targets import Target, source_of

_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}


@dataclass(frozen=True, slots=True)
class Definition:
    """The definition to which a name finally leads.

    Args:
        source: module that defines it.
        name: its name there.
        node: class, function, or expression assigned to the name.
    """

    source: Source
    name: str
    node: ast.ClassDef | ast.FunctionDef | ast.expr


class Source:
    """A parsed module. Use ``Source.of``.

    Args:
        module: dotted name, or path of a Python file.
        path: file of the module.
        folders: folders in which a user's file looks for its own modules first; empty for an installed module.
    """

    def __init__(self, module: str, path: Path, folders: tuple[Path, ...]) -> None:
        self.module = module
        self.path = path
        self._folders = folders
        self._definitions: dict[str, ast.ClassDef | ast.FunctionDef | ast.expr] = {}
        self._imports: dict[str, Target] = {}
        self._stars: list[str] = []
        self._body = ast.parse(path.read_bytes(), filename=str(path)).body
        for statement in _statements(self._body):
            self._read(statement)

    @staticmethod
    def of(target: Target) -> Source | None:
        """Returns the module of a target; None if it has no source.

        Raises:
            SyntaxError: the source is not valid Python.
        """
        path = target.source()
        if path is None or not path.is_file():
            return None
        return _parsed(target.module, path, folders_of(path.resolve()) if target.is_file else ())

    def lookup(self, name: str, seen: frozenset[tuple[str, str]] = frozenset()) -> Definition | None:
        """Returns the definition to which a name of this module leads; None if the source does not show it."""
        if (self.module, name) in seen:
            return None
        seen |= {(self.module, name)}
        node = self._definitions.get(name)
        if isinstance(node, ast.Name | ast.Attribute):
            target = self.target(node)
            return None if target is None else self.follow(target, seen)
        if node is not None:
            return Definition(self, name, node)
        targets = [self._imports[name]] if name in self._imports else [Target(star, name) for star in self._stars]
        found = (self.follow(target, seen) for target in targets)
        definition = next((one for one in found if one is not None), None)
        if definition is None and not targets and self.path.with_suffix(".pyi").is_file() and self.path.suffix == ".py":
            # A package that imports lazily, such as the public face, lists what it offers in its stub.
            definition = _parsed(self.module, self.path.with_suffix(".pyi"), self._folders).lookup(name)
        return definition

    def names(self) -> tuple[str, ...]:
        """Returns the names that the module defines or imports, as far as its source tells."""
        return (*self._definitions, *self._imports)

    def lacks(self, name: str) -> bool:
        """Whether the module can't have the name: it is not defined, and could not be defined in any other way."""
        words = {node.id for statement in self._body for node in ast.walk(statement) if isinstance(node, ast.Name)}
        dynamic = self._stars or "__getattr__" in self._definitions or words & {"globals", "exec", "setattr", "vars"}
        return not (dynamic or name in words or name in self._definitions or name in self._imports)

    def definition(self, node: ast.expr) -> Definition | None:
        """Returns the definition to which a plain or dotted name leads; None if the source does not show it."""
        target = self.target(node)
        return None if target is None else self.follow(target)

    def target(self, node: ast.expr) -> Target | None:
        """Returns the target of a plain or dotted name in this module; None if it is neither imported nor defined."""
        names = _dotted(node)
        if not names:
            return None
        head, *rest = names
        if head not in self._imports:
            return Target(self.module, head) if head in self._definitions and not rest else None
        target = self._imports[head]
        for name in rest:
            module = target.module if not target.attribute else self._submodule(target.module, target.attribute)
            target = Target(module, name)
        return target

    def qualified(self, node: ast.expr) -> str:
        """Returns the full name of an imported object, such as ``torch.nn.Module``; other names as they are written."""
        target = self.target(node)
        if target is None or target.module == self.module:
            return ".".join(_dotted(node))
        return f"{target.module}.{target.attribute}"

    def literal(self, node: ast.expr) -> Any:
        """Returns the value of a literal, of arithmetic on literals, or of a name that stands for one.

        Raises:
            ValueError: the expression is none of these.
        """
        if isinstance(node, ast.Name | ast.Attribute):
            definition = self.definition(node) or self._class_attribute(node)
            if definition is None or not isinstance(definition.node, ast.expr):
                raise ValueError(ast.unparse(node))
            return definition.source.literal(definition.node)
        if isinstance(node, ast.BinOp | ast.UnaryOp) and type(node.op) in _OPERATORS:
            sides = [node.left, node.right] if isinstance(node, ast.BinOp) else [node.operand]
            values = [self.literal(side) for side in sides]
            if not all(isinstance(value, int | float) for value in values):
                raise ValueError(ast.unparse(node))
            return _OPERATORS[type(node.op)](*values)
        if isinstance(node, ast.Tuple | ast.List):
            return (tuple if isinstance(node, ast.Tuple) else list)([self.literal(element) for element in node.elts])
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError):
            raise ValueError(ast.unparse(node)) from None

    def _read(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.ImportFrom):
            module = self._module(statement.module or "", statement.level)
            for alias in statement.names:
                if alias.name == "*":
                    self._stars.append(module)
                else:
                    self._bind(alias.asname or alias.name, Target(module, alias.name))
        elif isinstance(statement, ast.Import):
            for alias in statement.names:
                name = alias.name if alias.asname else alias.name.partition(".")[0]
                self._bind(alias.asname or name, Target(self._module(name, 0), ""))
        elif isinstance(statement, ast.ClassDef | ast.FunctionDef):
            self._bind(statement.name, statement)
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
            self._bind(statement.target.id, statement.value)
        elif isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name):
                    self._bind(target.id, statement.value)

    def _bind(self, name: str, what: Target | ast.ClassDef | ast.FunctionDef | ast.expr) -> None:
        self._imports.pop(name, None)
        self._definitions.pop(name, None)
        if isinstance(what, Target):
            self._imports[name] = what
        else:
            self._definitions[name] = what

    def _module(self, name: str, level: int) -> str:
        """Returns the module that an import statement names: the path of a user's own file, or a dotted name."""
        if self._folders:
            place = located(name, level, self.path.resolve(), self._folders)
            return name if place is None else str(place)
        if not level:
            return name
        package = self.module.split(".") if self.path.stem == "__init__" else self.module.split(".")[:-1]
        return ".".join([*package[: len(package) - level + 1], *([name] if name else [])])

    def _submodule(self, module: str, name: str) -> str:
        """Returns the module ``name`` of a package, which is given as a path or a dotted name."""
        if not Path(module).is_absolute():
            return f"{module}.{name}"
        folder = Path(module).parent if module.endswith(".py") else Path(module)
        place = located(name, 1, folder / "__init__.py", ())
        return str(place or folder / f"{name}.py")

    def follow(self, target: Target, seen: frozenset[tuple[str, str]] = frozenset()) -> Definition | None:
        """Returns the definition of a target that this module refers to; None if the source does not show it."""
        if target.module == self.module:
            return self.lookup(target.attribute, seen)
        path = source_of(target.module)
        if path is None or not path.is_file():
            return None
        return _parsed(target.module, path, self._folders if target.is_file else ()).lookup(target.attribute, seen)

    def _class_attribute(self, node: ast.expr) -> Definition | None:
        """Returns the definition of ``Class.NAME``; None if the source does not show it."""
        owner = self.definition(node.value) if isinstance(node, ast.Attribute) else None
        if owner is None or not isinstance(owner.node, ast.ClassDef):
            return None
        assert isinstance(node, ast.Attribute)
        if any(owner.source.qualified(base).startswith("enum.") for base in owner.node.bases):
            return None  # the value assigned in an enumeration is not the member itself
        value = dict(assignments(owner.node)).get(node.attr)
        return None if value is None else Definition(owner.source, node.attr, value)


@cache
def _parsed(module: str, path: Path, folders: tuple[Path, ...]) -> Source:
    return Source(module, path, folders)


def assignments(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr | None]]:
    """Yields the names that a class body assigns, each with its expression; None for a method or an inner class."""
    for statement in _statements(node.body):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
            yield statement.target.id, statement.value
        elif isinstance(statement, ast.Assign):
            yield from ((target.id, statement.value) for target in statement.targets if isinstance(target, ast.Name))
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield statement.name, None


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yields the statements of a body and of its conditions; of alternatives, the first comes last and so prevails."""
    for statement in body:
        if isinstance(statement, ast.If):
            yield from _statements(statement.orelse)
            yield from _statements(statement.body)
        elif isinstance(statement, ast.Try):
            for handler in statement.handlers:
                yield from _statements(handler.body)
            yield from _statements(statement.body)
        else:
            yield statement


def _dotted(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Name):
        return [node.id]
    inner = _dotted(node.value) if isinstance(node, ast.Attribute) else []
    return [*inner, node.attr] if inner and isinstance(node, ast.Attribute) else []
