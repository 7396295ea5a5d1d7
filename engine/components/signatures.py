"""The parameters of a component, read from its constructor without importing it.

A component's keyword-only parameters are its settings; what stands before them is given by the factory. The source
is parsed, not run, so that a typo in a configuration is found, and a schema written, without importing torch.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import importlib.util
import inspect
import re
import typing
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model

LIGHT_MODULES = frozenset(
    {
        "typing",
        "pydantic",
        "annotated_types",
        "pathlib",
        "collections.abc",
        "firebox.foundation.intervals",
        "firebox.data.specification",
    }
)
"""Modules whose names may stand in the annotation of a parameter: they import in milliseconds."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a component is defined.

    Args:
        module: a dotted module, or the path of a Python file.
        attribute: the class or function in it.
    """

    module: str
    attribute: str

    @classmethod
    def parse(cls, reference: str) -> Target:
        """Reads ``package.module:Class`` or ``path/to/file.py:Class``."""
        module, _, attribute = reference.rpartition(":")
        return cls(module, attribute)

    @property
    def is_file(self) -> bool:
        return self.module.endswith(".py")

    def source(self) -> Path | None:
        """Returns the file that defines the module, found without importing it (None: it has none)."""
        if self.is_file:
            return Path(self.module)
        root, *rest = self.module.split(".")
        found = importlib.util.find_spec(root)
        if found is None:
            return None
        place = Path(found.submodule_search_locations[0]) if found.submodule_search_locations else None
        if place is None:
            return Path(found.origin) if found.origin and not rest else None
        place = place.joinpath(*rest)
        candidates = (place.with_suffix(".py") if rest else place, place / "__init__.py")
        return next((file for file in candidates if file.is_file()), None)

    def load(self) -> Any:
        """Imports the module and returns the class or function."""
        return getattr(self.load_module(), self.attribute)

    def load_module(self) -> Any:
        """Imports the module."""
        if not self.is_file:
            return importlib.import_module(self.module)
        return _module_from_file(str(Path(self.module).resolve()))


@cache
def _module_from_file(path: str) -> Any:
    import sys

    name = f"firebox_user.{Path(path).stem}_{abs(hash(path)):x}"
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


@dataclass(frozen=True, slots=True)
class Signature:
    """What a component takes.

    Args:
        summary: the first line of its docstring.
        injected: the names of the parameters that the factory gives.
        parameters: a pydantic model of its settings.
    """

    summary: str
    injected: tuple[str, ...]
    parameters: type[BaseModel]


@cache
def read_signature(target: Target) -> Signature:
    """Reads the signature of a component from its source; imports it only where the source does not tell.

    Raises:
        LookupError: there is no such module, or no such class in it.
        SyntaxError: the source is not Python.
    """
    path = target.source()
    if path is None or not path.is_file():
        raise LookupError(f"no such module: {target.module}")
    found = _Source(path).definition(target.attribute)
    return _imported_signature(target) if found is None else found


def parameters_model(name: str, fields: dict[str, Any]) -> type[BaseModel]:
    """Returns a pydantic model that takes exactly the given fields."""
    settings = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=(), frozen=True)
    with warnings.catch_warnings():
        # A parameter may be called what a method of pydantic's models is called.
        warnings.simplefilter("ignore", UserWarning)
        return create_model(name, __config__=settings, **fields)


class _Source:
    """One parsed module: its top-level definitions and imports."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._body = ast.parse(path.read_text(encoding="utf-8"), filename=str(path)).body
        self._imports: dict[str, tuple[str, str | None]] = {}
        self._assigned: dict[str, ast.expr] = {}
        for statement in self._statements(self._body):
            if isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
                for alias in statement.names:
                    self._imports[alias.asname or alias.name] = (statement.module, alias.name)
            elif isinstance(statement, ast.Import):
                for alias in statement.names:
                    self._imports[alias.asname or alias.name] = (alias.name, None)
            elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                self._assigned[statement.targets[0].id] = statement.value

    @staticmethod
    def _statements(body: list[ast.stmt]) -> list[ast.stmt]:
        """Imports that are made for type checking only count too."""
        inner = [s for statement in body if isinstance(statement, ast.If) for s in statement.body]
        return [*body, *inner]

    def definition(self, name: str) -> Signature | None:
        node = next((s for s in self._body if isinstance(s, ast.ClassDef | ast.FunctionDef) and s.name == name), None)
        if node is None:
            return self._elsewhere(name)
        documentation = ast.get_docstring(node) or ""
        function = self._constructor(node) if isinstance(node, ast.ClassDef) else node
        if function is None:
            inherited = self._inherited(node) if isinstance(node, ast.ClassDef) else None
            if inherited is not None:
                return Signature(_summary(documentation), inherited.injected, inherited.parameters)
            return Signature(_summary(documentation), (), parameters_model(name, {}))
        described = _described(documentation) | _described(ast.get_docstring(function) or "")
        fields: dict[str, Any] = {}
        given = function.args
        positional = [argument for argument in (*given.posonlyargs, *given.args) if argument.arg != "self"]
        # What has a default, the factory need not give; classes of other packages have their settings there.
        optional = positional[len(positional) - len(given.defaults) :] if given.defaults else []
        settings = [*zip(optional, given.defaults, strict=True), *zip(given.kwonlyargs, given.kw_defaults, strict=True)]
        for argument, default in settings:
            value = ... if default is None else self._literal(argument.arg, default)
            field = Field(value, description=described.get(argument.arg))
            fields[argument.arg] = (self._evaluate(argument.annotation), field)
        injected = tuple(argument.arg for argument in positional[: len(positional) - len(optional)])
        return Signature(_summary(documentation), injected, parameters_model(name, fields))

    def _elsewhere(self, name: str) -> Signature | None:
        module, original = self._imports.get(name, (None, None))
        return None if module is None or original is None else read_signature(Target(module, original))

    @staticmethod
    def _constructor(node: ast.ClassDef) -> ast.FunctionDef | None:
        return next((s for s in node.body if isinstance(s, ast.FunctionDef) and s.name == "__init__"), None)

    def _inherited(self, node: ast.ClassDef) -> Signature | None:
        for base in node.bases:
            if isinstance(base, ast.Name):
                local = any(isinstance(s, ast.ClassDef) and s.name == base.id for s in self._body)
                known = local or self._imports.get(base.id, ("", ""))[0] not in ("", "abc", "typing", "torch")
                found = self.definition(base.id) if known else None
                if found is not None:
                    return found
        return None

    def _literal(self, name: str, node: ast.expr) -> Any:
        if isinstance(node, ast.Name) and node.id in self._assigned:
            node = self._assigned[node.id]
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError):
            given = ast.unparse(node)
            raise ValueError(f'the default of {name} is {given}, expected a literal such as 3 or "text"') from None

    def _evaluate(self, annotation: ast.expr | None) -> Any:
        """Resolves an annotation in the names that its module imports; what it can't resolve may be anything."""
        if annotation is None:
            return Any
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            annotation = ast.parse(annotation.value, mode="eval").body
        names = {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)}
        try:
            scope = {name: self._resolve(name) for name in names}
            return eval(compile(ast.Expression(annotation), str(self._path), "eval"), {"__builtins__": {}}, scope)
        except (LookupError, TypeError):
            return Any

    def _resolve(self, name: str) -> Any:
        if name in self._assigned:
            return self._evaluate(self._assigned[name])
        if name in self._imports:
            module, original = self._imports[name]
            if module not in LIGHT_MODULES:
                raise LookupError(name)
            imported = importlib.import_module(module)
            return imported if original is None else getattr(imported, original)
        return getattr(builtins, name) if hasattr(builtins, name) else self._missing(name)

    @staticmethod
    def _missing(name: str) -> Any:
        raise LookupError(name)


def _imported_signature(target: Target) -> Signature:
    """The signature of something that its module does not define itself, such as ``torch.optim:Adagrad``."""
    try:
        component = target.load()
    except AttributeError:
        raise LookupError(f"{target.module} has no {target.attribute}") from None
    signature = inspect.signature(component)
    try:
        hints = typing.get_type_hints(component.__init__ if inspect.isclass(component) else component)
    except (NameError, TypeError):
        hints = {}
    keyword_only = [p for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]
    positional = [p for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    required = [p for p in positional if p.default is p.empty]
    optional = [p for p in positional if p.default is not p.empty]
    described = _described(inspect.getdoc(component) or "")
    fields: dict[str, Any] = {}
    for parameter in (*optional, *keyword_only):
        default = ... if parameter.default is parameter.empty else parameter.default
        annotation = hints.get(parameter.name, Any)
        simple = annotation if annotation in (int, float, bool, str) else Any
        fields[parameter.name] = (simple, Field(default, description=described.get(parameter.name)))
    model = parameters_model(target.attribute, fields)
    return Signature(_summary(inspect.getdoc(component) or ""), tuple(p.name for p in required), model)


def _summary(documentation: str) -> str:
    return documentation.strip().split("\n\n")[0].replace("\n", " ").strip()


def _described(documentation: str) -> dict[str, str]:
    """The ``Args:`` section of a docstring."""
    match = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", inspect.cleandoc(documentation), re.MULTILINE | re.DOTALL)
    if match is None:
        return {}
    described: dict[str, str] = {}
    for name, text in re.findall(r"^ {4}(\w+)(?: \(.*?\))?: (.*?)(?=^ {4}\w|\Z)", match[1], re.MULTILINE | re.DOTALL):
        described[name] = " ".join(text.split())
    return described
