"""The JSON schema of configuration files, generated from the signatures that validate them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter

from firebox.engine.components.catalogue import Component, Kind, catalogue, find
from firebox.engine.components.part import Part, part_of
from firebox.engine.configuration.handler_list import APPENDED
from firebox.engine.configuration.sections import (
    Beginning,
    Loading,
    Optimization,
    OptimizerPart,
    Output,
    ParameterGroup,
    Seed,
    Training,
)

DRAFT = "https://json-schema.org/draft/2020-12/schema"
REFERENCE = {
    "type": "string",
    "pattern": ":",
    "description": "a class of your own: package.module:Class or path/to/file.py:Class",
}
SECTIONS: dict[Kind, str] = {
    "datamodule": "a finite data set, and how its batches are made",
    "datagenerator": "synthetic data in place of a datamodule, and how its batches are made",
    "model": "the network",
    "module": "the training logic around the model",
    "optimizer": "updates the weights",
    "scheduler": "sets the learning rate; null: the optimizer's own stays",
}


def schema() -> dict[str, Any]:
    """Returns the JSON schema, draft 2020-12.

    A component's parameters depend on its name. The name may be in an extended file, so a section without a name may
    hold anything.
    """
    sections = {kind: _section(kind, description) for kind, description in SECTIONS.items()}
    return {
        "$schema": DRAFT,
        "title": "Firebox configuration",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "extends": {
                "type": "string",
                "description": "a configuration that this one is laid over: a file, or one that comes with Firebox",
            },
            "trainer": {"enum": sorted(catalogue("trainer")), "description": "the trainer that this is for"},
            "seed": {**TypeAdapter(Seed).json_schema(), "default": 0},
            **sections,
            "training": {"type": ["object", "null"], **_parameters(Training), "description": "how long and where"},
            "output": {"type": ["object", "null"], **_parameters(Output), "description": "where the run goes"},
            "handlers": _handlers(),
            APPENDED: {"$ref": "#/properties/handlers", "description": "added to the handlers of what it extends"},
        },
        "$defs": _definitions(),
    }


def properties_of(
    model: type[BaseModel], mode: Literal["validation", "serialization"] = "validation"
) -> dict[str, Any]:
    """Returns the schema of each field of a model, either as it may be written or as it is after reading."""
    properties = model.model_json_schema(mode=mode).get("properties", {})
    parts = {name: part for name, field in model.model_fields.items() if (part := part_of(field)) is not None}
    return {
        name: {**(_part(parts[name]) if name in parts else {}), **_untitled(field)}
        for name, field in properties.items()
    }


def components(kind: Kind, names: Iterable[str] | None = None) -> list[Component]:
    """Returns the components of a catalogue that have the given names; all of them if no names are given."""
    return [find(kind, name) for name in (sorted(catalogue(kind)) if names is None else names)]


def _part(part: Part) -> dict[str, Any]:
    """Returns the schema of a setting that is a component: its name, or a map of its name and its own settings."""
    known = components(part.kind, part.accepted())
    named = {"anyOf": [*_described(known), REFERENCE]}
    whole = {"type": "object", "properties": {"name": named}, "required": ["name"], "allOf": _settings_of(known, {})}
    return {"anyOf": [*_described(known), REFERENCE, whole]}


def _section(kind: Kind, description: str) -> dict[str, Any]:
    return _named(kind, description, _besides(kind))


def _named(kind: Kind, description: str, besides: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": ["object", "null"],
        "description": description,
        "properties": {"name": _name(kind)},
        "allOf": _settings_of(components(kind), besides),
    }


def _besides(kind: Kind) -> dict[str, Any]:
    """Returns the schemas of the engine's own keys in the section of a component."""
    if kind in ("datamodule", "datagenerator"):
        return properties_of(Loading)
    if kind == "model":
        return properties_of(Beginning)
    if kind == "scheduler":
        return {"parts": _map_of("scheduler_part")}
    if kind == "optimizer":
        groups = {"$ref": "#/$defs/groups", "description": "parameters with settings of their own"}
        return {"groups": groups, "parts": _map_of("optimizer_part")}
    return {}


def _map_of(definition: str) -> dict[str, Any]:
    return {
        "type": ["object", "null"],
        "description": "by the names that the module gives its optimizers",
        "additionalProperties": {"$ref": f"#/$defs/{definition}"},
    }


def _definitions() -> dict[str, Any]:
    """Returns the schemas that several places refer to."""
    groups = properties_of(Optimization)["groups"]
    entry = {"type": "object", "properties": properties_of(ParameterGroup)}
    own = properties_of(OptimizerPart)
    besides = {**own, "groups": {"$ref": "#/$defs/groups", "description": own["groups"]["description"]}}
    return {
        "groups": {**groups, "type": ["array", "null"], "items": entry},
        "optimizer_part": _named("optimizer", "what is different in one optimizer", besides),
        "scheduler_part": _named("scheduler", "the schedule of one optimizer; null: none", {}),
    }


def _settings_of(known: list[Component], besides: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns, for each name, the schema of the settings that may accompany it."""
    return [
        {
            "if": {"properties": {"name": {"const": component.name}}, "required": ["name"]},
            "then": {
                "description": component.signature.summary,
                "properties": {"name": True, **properties_of(component.signature.parameters), **besides},
                "additionalProperties": False,
            },
        }
        for component in known
    ]


def _name(kind: Kind) -> dict[str, Any]:
    return {"anyOf": [*_described(components(kind)), REFERENCE]}


def _described(known: list[Component]) -> list[dict[str, Any]]:
    """Returns the schema of each name, with its description."""
    return [{"const": component.name, "description": component.signature.summary} for component in known]


def _handlers() -> dict[str, Any]:
    switched = {"enum": [None, False], "description": "null: as it is by default; false: left out"}
    known = {
        component.name: {
            "description": component.signature.summary,
            "anyOf": [{"type": "object", **_parameters(component.signature.parameters)}, switched],
        }
        for component in components("handler")
    }
    one = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "properties": known,
        "patternProperties": {":": {"anyOf": [{"type": "object"}, switched]}},
        "additionalProperties": False,
    }
    return {
        "type": ["array", "null"],
        "description": "what is attached beside the default handlers, and what they are to do differently",
        "items": {"anyOf": [_name("handler"), one]},
    }


def _parameters(model: type[BaseModel]) -> dict[str, Any]:
    return {"properties": properties_of(model), "additionalProperties": False}


def _untitled(field: Any) -> Any:
    """Removes pydantic's titles, which repeat the names."""
    if isinstance(field, dict):
        return {key: _untitled(value) for key, value in field.items() if key != "title" or not isinstance(value, str)}
    return [_untitled(value) for value in field] if isinstance(field, list) else field
