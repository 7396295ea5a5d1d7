"""The README of an archive that is handed on: what its card says, to be read by people and by hubs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from firebox.engine.archives.card import NOT_STATED
from firebox.engine.archives.trust import code_files

README = "README.md"
LIBRARY = "library_name: firebox"
"""The line by which a README is known for one of these."""

TASKS = {
    "class": "image-classification",
    "labels": "image-classification",
    "mask": "image-segmentation",
    "image": "image-to-image",
}
"""What hubs call the tasks, by the kind of the data's target."""


def model_card(card: Mapping[str, Any], address: str) -> str:
    """Returns the text of the README.

    Args:
        card: content of the archive's card.
        address: what ``firebox.load`` is to be given.
    """
    front = yaml.safe_dump(_front(card), sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n" + "\n".join(_lines(card, address)) + "\n"


def _front(card: Mapping[str, Any]) -> dict[str, Any]:
    task = TASKS.get(((card.get("specification") or {}).get("target") or {}).get("kind", ""))
    front: dict[str, Any] = {"library_name": "firebox", "tags": ["firebox", "pytorch"]}
    if card.get("license", NOT_STATED) != NOT_STATED:
        front["license"] = _line(card["license"])
    if task is None:
        return front
    data = _line(card["data"]["name"])
    results = [
        {
            "task": {"type": task},
            "dataset": {"type": data, "name": data, "split": _line(split)},
            "metrics": [{"type": _line(name), "value": value} for name, value, _ in _numbers(metrics)],
        }
        for split, metrics in card["metrics"].items()
    ]
    return {**front, "pipeline_tag": task, "model-index": [{"name": _line(card["name"]), "results": results}]}


def _lines(card: Mapping[str, Any], address: str) -> Iterator[str]:
    signature = card["signature"]
    yield from (f"# {_text(card['name'])}", "")
    yield f"A model `{_code(card['model']['name'])}`, trained by Firebox on `{_code(card['data']['name'])}`."
    yield from ("", "```python", "import firebox", "")
    consent = ", trust_code=True" if code_files(card) else ""
    yield f"archive = firebox.load({address!r}{consent})"
    yield 'output = archive.model(archive.preprocess("image.png"))'
    yield from ("```", "")
    if code_files(card):
        yield "It holds code of its own, which runs by that consent alone; read it first:"
        yield from (f"- `{_code(name)}`, SHA-256 `{_code(sha)}`" for name, sha in code_files(card).items())
        yield ""
    yield from ("## Input and output", "")
    yield f"- input: {_text(signature['input']['shape'])} (C, H, W), {_text(signature['input']['pixel_range'])}"
    yield f"- output: {_text(signature['output']['shape'])}, activation {_text(signature['output']['activation'])}"
    if signature["classes"]:
        yield f"- classes: {', '.join(map(_text, signature['classes']))}"
    yield from ("", "## Metrics", "", "| split | metric | value | definition |", "|---|---|---|---|")
    for split, metrics in card["metrics"].items():
        for name, value, definition in _numbers(metrics):
            yield f"| {_text(split)} | {_text(name)} | {value:.6g} | {_text(definition)} |"
    yield from ("", "## Origin", "")
    selection = card["selection"]
    yield f"- trainer {_text(card['trainer'])}, seed {_text(card['seed'])}, iteration {_text(selection['iteration'])}"
    yield f"- weights: SHA-256 `{_code(card['version'])}`; `card.json` has the digest of every file"
    for key in ("license", "intended_use", "limitations"):
        yield f"- {key.replace('_', ' ')}: {_text(card.get(key, NOT_STATED))}"


def _numbers(metrics: Mapping[str, Any]) -> Iterator[tuple[str, float, str]]:
    for name, entry in metrics.items():
        if isinstance(entry["value"], int | float):
            yield name, entry["value"], entry["definition"]


def _text(value: Any) -> str:
    """Returns text that Markdown takes for nothing but text, on one line."""
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in _line(value))


def _code(value: Any) -> str:
    """Returns text for between backticks."""
    return _line(value).replace("`", "'")


def _line(value: Any) -> str:
    """Returns text on one line, which ends neither a row of a table nor the front matter."""
    return " ".join(str(value).split())
