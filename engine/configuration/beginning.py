"""Reads what a model begins with: the weights of an earlier one, and what of it is not trained."""

from __future__ import annotations

import os
from typing import cast

from firebox.engine.configuration.components import Components
from firebox.engine.configuration.configuration import Named, Weights
from firebox.engine.configuration.nodes import Node
from firebox.engine.configuration.paths import located
from firebox.engine.configuration.sections import Beginning, Output
from firebox.engine.configuration.validation import validate
from firebox.foundation.paths import expanded
from firebox.foundation.problems import in_one_line, shown

BEGINNING = frozenset(Beginning.model_fields)


def read_beginning(
    components: Components, model: Named | None, output: Output | None
) -> tuple[Weights | None, tuple[str, ...]]:
    """Reads the weights that a model begins with, None for its own initialisation, and the patterns of what is frozen.

    A setting of the model's own with one of these names is the model's.
    """
    section = components.section("model")
    if section is None or model is None:
        return None, ()
    keys = BEGINNING - model.parameters.keys()
    own = Node({k: v for k, v in section.value.items() if k in keys}, section.mark, section.key_mark)
    beginning = cast(Beginning | None, validate(Beginning, own, "model", components.problems))
    if beginning is None:
        return None, ()
    weights = None
    if beginning.weights is not None:
        text, mark = beginning.weights, own.value["weights"].mark
        try:
            path = located(text, mark)
            if output is not None and not os.path.lexists(path):
                # An archive may be named as experiments name it: by its place below the folder of all runs.
                below = located(os.path.join(expanded(output.root), text), None)  # noqa: PTH118
                path = below if below.is_dir() else path
            weights = Weights(path, text)
        except (ValueError, OSError) as error:
            components.problem("model.weights", f"got {shown(text)}: {in_one_line(error)}", mark)
    return weights, tuple(beginning.freeze)
