"""The settings of a run as TensorBoard shows them: what the user chose as hyper-parameters, and all of them as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from firebox.engine.configuration import Configuration, plain, read
from firebox.engine.configuration.identity import parts_of
from firebox.engine.configuration.paths import names_file
from firebox.engine.configuration.plain_values import Value, comparable, flattened
from firebox.engine.configuration.sections import Loading
from firebox.foundation.problems import Refusal


def hyper_parameters(configuration: Configuration) -> dict[str, Value]:
    """Returns the settings in which a run differs from its trainer's default configuration, and its seed.

    A setting that the default configuration does not have, such as one of another model, counts where it differs from
    the component's own default. Where the output goes is no setting of the training.
    """
    usual = _defaults(configuration)
    settings = _settings(configuration)
    return {key: value for key, value in settings.items() if key == "seed" or key not in usual or usual[key] != value}


def settings_table(configuration: Configuration, marked: dict[str, Value]) -> list[list[str]]:
    """Returns a table of all settings, its hyper-parameters first, marked as such; its first row is its header."""
    rest = {key: value for key, value in _settings(configuration).items() if key not in marked}
    rows = [[key, str(value), "yes"] for key, value in marked.items()]
    return [["setting", "value", "hyper-parameter"], *rows, *([key, str(value), ""] for key, value in rest.items())]


def _settings(configuration: Configuration) -> dict[str, Value]:
    return dict(flattened(comparable(plain(configuration))))


def _defaults(configuration: Configuration) -> dict[str, Value]:
    """Returns the settings of the trainer's default configuration, and those that components have by themselves."""
    loading = {name: field.default for name, field in Loading.model_fields.items()}
    own = dict(flattened(loading, configuration.data.kind))
    for key, named in parts_of(configuration):
        if key.startswith("handlers.") and ":" in named.name:
            key = f"handlers.{Path(named.name).name if names_file(named.name) else named.name}"
        for setting in named.parameters.keys() - named.parts.keys():
            own |= flattened(_plain(named.default(setting)), f"{key}.{setting}")
    if configuration.default is None:
        return own
    try:
        usual = read(configuration.trainer, configuration.default)
    except Refusal:  # the default configuration of somebody's own trainer, which this run does without
        return own
    return own | _settings(usual)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
