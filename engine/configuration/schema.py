"""The JSON schema of configuration files, from the signatures that validate them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter

from firebox.engine.components.catalogue import Component, Kind, catalogue, find
from firebox.engine.configuration.sections import Loading, Output, Seed, Training

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
    """Returns the schema, draft 2020-12.

    A component's parameters depend on its name. Where a file extends another one, the name may stand there: a section
    without a name may hold anything.
    """
    sections = {kind: _section(kind, description) for kind, description in SECTIONS.items()}
    return {
        "$schema": DRAFT,
        "title": "Firebox configuration",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "extends": {"type": "string", "description": "a configuration that this one is laid over"},
            "trainer": {"enum": sorted(catalogue("trainer")), "description": "the trainer that this is for"},
            "seed": {**TypeAdapter(Seed).json_schema(), "default": 0},
            **sections,
            "training": {"type": ["object", "null"], **_parameters(Training), "description": "how long and where"},
            "output": {"type": ["object", "null"], **_parameters(Output), "description": "where the run goes"},
            "handlers": _handlers(),
        },
    }


def properties_of(
    model: type[BaseModel], mode: Literal["validation", "serialization"] = "validation"
) -> dict[str, Any]:
    """Returns the schema of each field of a model: as it may be written, or as it is once it has been read."""
    properties = model.model_json_schema(mode=mode).get("properties", {})
    return {name: _untitled(field) for name, field in properties.items()}


def components(kind: Kind) -> list[Component]:
    """Returns the components of a catalogue, by name."""
    return [find(kind, name) for name in sorted(catalogue(kind))]


def _section(kind: Kind, description: str) -> dict[str, Any]:
    besides = properties_of(Loading) if kind in ("datamodule", "datagenerator") else {}
    choices = [
        {
            "if": {"properties": {"name": {"const": component.name}}, "required": ["name"]},
            "then": {
                "description": component.signature.summary,
                "properties": {"name": True, **properties_of(component.signature.parameters), **besides},
                "additionalProperties": False,
            },
        }
        for component in components(kind)
    ]
    return {
        "type": ["object", "null"],
        "description": description,
        "properties": {"name": _name(kind)},
        "allOf": choices,
    }


def _name(kind: Kind) -> dict[str, Any]:
    """Of a catalogue, each name with its description."""
    known = [{"const": c.name, "description": c.signature.summary} for c in components(kind)]
    return {"anyOf": [*known, REFERENCE]}


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
    """pydantic's titles repeat the names."""
    if isinstance(field, dict):
        return {key: _untitled(value) for key, value in field.items() if key != "title" or not isinstance(value, str)}
    return [_untitled(value) for value in field] if isinstance(field, list) else field
