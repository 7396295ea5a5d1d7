"""The reference of all configuration keys in Markdown, generated from the signatures that validate them."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from firebox.engine.components.catalogue import Kind, default_handlers
from firebox.engine.configuration.schema import REFERENCE, SECTIONS, components, properties_of
from firebox.engine.configuration.sections import (
    Beginning,
    Loading,
    Optimization,
    OptimizerPart,
    Output,
    ParameterGroup,
    Training,
)
from firebox.foundation.intervals import Interval

HEAD = """# Configuration

<!-- Written by: firebox schema --markdown --output docs/configuration.md -->

A run is described by one YAML file. `firebox config FILE` prints what it resolves to and where each value comes from;
`--check` tells what is wrong with it. Wherever a component is named, `package.module:Class` or `path/to/file.py:Class`
may stand, too.

| key | value |
|---|---|
| `extends` | a file that this one is laid over: maps merge, lists and scalars replace |
| `trainer` | the trainer that the file is for |
| `seed` | selects all randomness of the run, an integer from 0; default `0` |
| `handlers+` | handlers that are added to those of what the file extends, where `handlers` replaces them |

**Values** are read as YAML 1.2 (its core schema) has them, in a file and after `--set` alike: `010` is 10, `0o10` is
8, `1e3` and `.5` are numbers, `null`, `~` and nothing are null, `true` and `false` are the only booleans; everything
else is text, `yes`, `off`, `1:30` and `1_000` too. A file has at most 262,144 bytes and 10,000 values.

**Paths.** A relative path is looked for beside the file that wrote it, then in the working directory; one from
`--set`, in the working directory alone. `output.root` is made below the working directory. `~`, `$NAME` and `${NAME}`
are replaced, and a variable that is not set is refused. A run's `config.yaml` has an absolute path, or one that begins
with `~` or `$NAME`, as it was written; it has a relative one as seen from the run's folder. So it means the same from
everywhere, also after a project was moved together with its runs.

**Configurations that come with Firebox** are found by their names in `configs/`, from every folder, after the user's
own files: `extends: base/image.yaml`, `firebox train cae_baseline cae/cae_baseline_fashion_mini.yaml`.

**From the command line**, `--set KEY=VALUE` sets one value. The key is dotted, and a handler is addressed by its name:

    --set training.epochs=3 --set handlers.checkpoint.keep_last=3 --set handlers.progress=false
    --set handlers.my_handlers.py:Slow.seconds=1 --set handlers+=[ema]
"""
OPTIMIZERS = """A module with several optimizers names them, and `parts` says what is different in each; the rest is as
the section has it. A part with another `name` begins from that optimizer's own defaults. With a module that calls its
optimizers `generator` and `critic`:

```yaml
optimizer:
  name: adamw
  lr: 0.0001
  groups:
    - {kinds: [norm, bias], weight_decay: 0.0}
  parts:
    critic: {lr: 0.0004, betas: [0, 0.9], gradient_clip_norm: 1.0}
scheduler:
  name: cosine
  parts:
    critic: {final_lr: 0.00001}
```

losses.jsonl and TensorBoard have every learning rate: `learning_rate` is that of the first optimizer,
`learning_rate/critic` that of another, `learning_rate/critic/1` that of a group that differs from it.
"""
SCHEDULES = """`parts` gives single optimizers a schedule of their own, by the names that the module has for them: its
settings, laid over those of the section, or another `name`; null for none. A section with `parts` alone schedules no
other optimizer. A parameter group keeps its share of its optimizer's rate.
"""
LOSSES = """## loss

A pixel loss, as the setting `loss` of a module names it: `loss: mse`, `loss: my_losses.py:Charbonnier`, or
`loss: {name: my_losses.py:Charbonnier, epsilon: 0.001}`. [Writing one](adding_a_model.md#a-loss).
"""
INTERVAL_PATTERN = Interval.__metadata__[0].metadata[0].pattern  # type: ignore[attr-defined]


def markdown() -> str:
    """Returns the reference in Markdown."""
    parts = [HEAD]
    for kind, description in SECTIONS.items():
        default = " Default `adam`." if kind == "optimizer" else ""
        parts.append(f"## {kind}\n\n{_sentence(description)}{default}\n")
        parts += _components(kind)
        parts += _besides(kind)
        if kind == "module":
            parts += [LOSSES, *_components("loss")]
        if kind == "datamodule":
            parts.append(
                f"### Batches, of a datamodule or datagenerator\n\n{_documented(Loading)}\n\n{_table(Loading)}"
            )
    for name, section in (("training", Training), ("output", Output)):
        parts.append(f"## {name}\n\n{_documented(section)}\n\n{_table(section)}")
    attached = ", ".join(f"`{name}`" for name in default_handlers())
    parts.append(
        f"## handlers\n\nA list; each entry is a name, a name with its parameters, or a name with `false`. Attached to "
        f"every run unless left out so: {attached}. An entry of `handlers+` whose name the list has already is merged "
        "with it; the others come after it.\n"
    )
    parts += _components("handler")
    return "\n".join(parts)


def _components(kind: Kind) -> list[str]:
    """Returns a section of the reference for each component of a catalogue."""
    return [
        f"### {kind}: {component.name}\n\n{component.signature.summary}\n\n{_table(component.signature.parameters)}"
        for component in components(kind)
    ]


def _besides(kind: Kind) -> list[str]:
    """Returns what the section of a component has beside the component's own settings."""
    if kind == "model":
        return [f"### What a model begins with\n\n{_documented(Beginning)}\n\n{_table(Beginning)}"]
    if kind == "scheduler":
        return [f"### Several schedules\n\n{SCHEDULES}"]
    if kind != "optimizer":
        return []
    of: dict[str, type[BaseModel]] = {
        "Several optimizers, and groups of parameters": Optimization,
        "An entry of parts": OptimizerPart,
    }
    tables = [f"### {head}\n\n{_documented(model)}\n\n{_table(model)}" for head, model in of.items()]
    groups = f"### An entry of groups\n\n{_documented(ParameterGroup)}\n\n{_table(ParameterGroup)}"
    return [*tables, groups, OPTIMIZERS]


def _documented(section: type[BaseModel]) -> str:
    return (section.__doc__ or "").strip().splitlines()[0]


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _table(model: type[BaseModel]) -> str:
    """Returns a table with a row for each parameter."""
    properties = properties_of(model, "serialization")
    if not properties:
        return "It has no parameters.\n"
    rows = ["| key | type | default | |", "|---|---|---|---|"]
    for name, field in properties.items():
        default = f"`{json.dumps(field['default'], ensure_ascii=False)}`" if "default" in field else "required"
        description = " ".join(field.get("description", "").split()).replace("|", "\\|")
        rows.append(f"| `{name}` | {_type(field)} | {default} | {description} |")
    return "\n".join(rows) + "\n"


def _type(field: dict[str, Any]) -> str:
    """Returns a field's type in words."""
    if field == REFERENCE:
        return "a class of your own"
    if "name" in field.get("properties", {}):
        return "a map of its name and its settings"
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(map(_type, field["anyOf"])))
    if "enum" in field or "const" in field:
        return " or ".join(f"`{json.dumps(choice)}`" for choice in field.get("enum", [field.get("const")]))
    kind = field.get("type")
    if kind == "array":
        if "prefixItems" in field:
            return f"list of {len(field['prefixItems'])}: {', '.join(map(_type, field['prefixItems']))}"
        return f"list of {_type(field['items'])}" if field.get("items") else "list"
    if kind in ("integer", "number"):
        return f"{kind}{_bounds(field)}"
    if kind == "string":
        pattern = field.get("pattern")
        if field.get("format") == "path":
            return "path"
        return "`N epochs` or `N iterations`" if pattern == INTERVAL_PATTERN else f"text{_like(pattern)}"
    words = {"boolean": "true or false", "object": "map", "null": "null", None: "anything"}
    return words.get(kind, str(kind))


def _like(pattern: str | None) -> str:
    return f" like `{pattern}`".replace("|", "\\|") if pattern else ""


def _bounds(field: dict[str, Any]) -> str:
    signs = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    return "".join(f" {sign} {field[key]}" for key, sign in signs.items() if key in field)
