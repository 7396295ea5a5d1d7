"""Print what makes a shell complete commands, options, and the keys and values of configurations."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from firebox.foundation.exit_codes import COMPLETED
from firebox.foundation.package import shipped
from firebox.foundation.problems import Refusal

SHELLS = ("bash", "zsh", "fish")
USE = (
    'eval "$(firebox completion bash)" in ~/.bashrc; the same with zsh, after compinit, in ~/.zshrc; '
    "firebox completion fish | source in ~/.config/fish/config.fish"
)
COMPLETING = "_ARGCOMPLETE"
"""The environment variable by which a shell asks for completions instead of running the command."""

Schema = Mapping[str, Any]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help=USE)


def run(options: argparse.Namespace) -> int:
    import argcomplete

    sys.stdout.write(argcomplete.shellcode(["firebox"], shell=options.shell))
    return COMPLETED


def asked() -> bool:
    """Whether a shell asks for completions."""
    return COMPLETING in os.environ


def complete(parser: argparse.ArgumentParser) -> None:
    """Answers a shell that asks for completions, and ends the process; returns at once where none does."""
    if not asked():
        return
    import argcomplete

    configurations = argcomplete.FilesCompleter(("yaml", "yml"))
    for action in _actions(parser):
        completer = {"set": assignments, "config": configurations}.get(action.dest)
        if completer is not None:
            action.completer = completer  # type: ignore[attr-defined]
    argcomplete.autocomplete(parser)


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for inner in dict.fromkeys(action.choices.values()):
                yield from _actions(inner)


def assignments(prefix: str, parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """Returns the assignments ``KEY=VALUE`` that begin as a word on the command line does.

    Args:
        prefix: the word as far as it is typed. Values are offered after the equals sign, keys before it.
        parsed_args: what stands on the command line before it. With the configuration it says which components the
            settings that are offered belong to.
    """
    known = json.loads(shipped("configs/schema.json").read_text(encoding="utf-8"))
    content = _content(parsed_args)
    keys = dict(_keys(known, content))
    key, equals, _typed = prefix.partition("=")
    if not equals:
        return [f"{name}=" for name in keys if name.startswith(prefix)]
    return [f"{key}={value}" for value in _values(keys.get(key, {}))]


def _content(options: argparse.Namespace) -> dict[str, Any]:
    """Returns the sections that are named so far: those of the configuration, changed by earlier assignments."""
    from firebox.engine.commands.train import trainers
    from firebox.engine.configuration.layers import load

    trainer = trainers().get(getattr(options, "trainer", None) or "")
    path: Path | None = getattr(options, "config", None) or (trainer.default if trainer else None)
    content: dict[str, Any] = {}
    try:
        if path is not None:
            content = load(path).plain()
    except (Refusal, OSError, AttributeError):
        content = {}
    for assignment in getattr(options, "set", None) or []:
        key, _, value = assignment.partition("=")
        section, _, name = key.partition(".")
        if name == "name":
            content[section] = {"name": value}
    return content


def _keys(known: Schema, content: Mapping[str, Any]) -> Iterator[tuple[str, Schema]]:
    """Yields the keys that an assignment may name, with the schema of each."""
    for section, schema in known["properties"].items():
        if section == "handlers":
            for handler, settings in _handlers(schema):
                yield f"handlers.{handler}", settings
                yield from _nested(f"handlers.{handler}", settings["anyOf"][0].get("properties", {}))
        elif "allOf" in schema:
            yield from _nested(
                section, {"name": schema["properties"]["name"], **_settings(schema, content.get(section))}
            )
        elif "properties" in schema:
            yield from _nested(section, schema["properties"])
        elif section not in ("extends", "handlers+"):
            yield section, schema


def _handlers(schema: Schema) -> Iterator[tuple[str, Schema]]:
    (one,) = (choice for choice in schema["items"]["anyOf"] if "properties" in choice)
    yield from one["properties"].items()


def _nested(section: str, settings: Mapping[str, Any]) -> Iterator[tuple[str, Schema]]:
    for name, schema in settings.items():
        yield f"{section}.{name}", schema if isinstance(schema, dict) else {}


def _settings(schema: Schema, section: object) -> dict[str, Schema]:
    """Returns the settings of the component that a section names; those of all, if it names none that is known."""
    name = section.get("name") if isinstance(section, dict) else None
    cases = {case["if"]["properties"]["name"]["const"]: case["then"]["properties"] for case in schema["allOf"]}
    chosen = [cases[name]] if name in cases else list(cases.values())
    return {key: value for settings in chosen for key, value in settings.items() if key != "name"}


def _values(schema: Schema) -> list[str]:
    """Returns the values that a schema lists, and otherwise its default."""
    listed = list(_listed(schema))
    if not listed and "default" in schema:
        listed = [schema["default"]]
    return [_written(value) for value in dict.fromkeys(map(json.dumps, listed))]


def _listed(schema: Schema) -> Iterator[Any]:
    if schema.get("type") == "boolean":
        yield from (True, False)
    yield from schema.get("enum", ())
    if "const" in schema:
        yield schema["const"]
    for choice in schema.get("anyOf", ()):
        yield from _listed(choice)


def _written(value: str) -> str:
    """Returns a value in JSON as it is written in an assignment: text without quotes."""
    plain = json.loads(value)
    return plain if isinstance(plain, str) else value
