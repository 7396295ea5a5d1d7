"""The JSON schema: current, and of one mind with the reader."""

import json

import jsonschema
import pytest

from firebox.engine.commands.schema import schema_text
from firebox.engine.configuration import plain, read
from firebox.engine.configuration.documentation import markdown
from firebox.engine.configuration.nodes import parse, parse_file
from firebox.engine.configuration.schema import schema
from firebox.foundation.package import ROOT
from firebox.trainers.train_cae_baseline import TRAINER

CONFIGURATIONS = sorted(ROOT.glob("configs/*/*.yaml"))


@pytest.fixture(scope="module")
def validator():
    return jsonschema.Draft202012Validator(schema())


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(schema())


def test_the_committed_schema_is_current():
    committed = (ROOT / "configs" / "schema.json").read_text()
    assert committed == schema_text(), "stale: firebox schema --output configs/schema.json"


def test_the_committed_reference_is_current():
    committed = (ROOT / "docs" / "configuration.md").read_text()
    assert committed == markdown(), "stale: firebox schema --markdown --output docs/configuration.md"


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.name)
def test_shipped_configurations_name_the_schema_and_fit_it(path, validator):
    assert path.read_text().splitlines()[0] == "# yaml-language-server: $schema=../schema.json"
    validator.validate(parse_file(path).plain())


def test_a_resolved_configuration_fits(validator):
    settings = ["handlers.ema={decay: 0.9}", "handlers.progress=false", "datamodule.pixel_range=[0, 1]"]
    validator.validate(json.loads(json.dumps(plain(read(TRAINER.name, TRAINER.default, None, settings)))))


@pytest.mark.parametrize(
    "text",
    [
        "datamodule: {name: fashion_mini, pixel_range: [-1, 1], batch_size: 3}",
        "model: {name: 'my/model.py:Model', anything: 3}",
        "model: {latent_dim: 3}",
        "scheduler: null",
        "handlers: [ema, {checkpoint: false}, {ema: null}, {'a.py:B': {x: 1}}, 'c:D']",
        "handlers: null",
        "handlers+: [ema, {checkpoint: {keep_last: 3}}]",
    ],
)
def test_what_may_be_written_fits(text, validator):
    validator.validate(parse(text, "x").plain())


@pytest.mark.parametrize(
    "text",
    [
        "modle: {}",
        "model: 3",
        "model: {name: cae_baselin}",
        "model: {name: cae_baseline, latnt_dim: 3}",
        "model: {name: cae_baseline, latent_dim: 0}",
        "model: {name: linear_autoencoder, channels: [3]}",
        "datamodule: {name: fashion_mini, batch_size: 0}",
        "datamodule: {name: fashion_mini, train_length: 3}",
        "datagenerator: {name: shapes, workers: -1}",
        "optimizer: {name: adam, betas: [0.9, 1.0]}",
        "scheduler: {name: cosine, warmup: 3 epoks}",
        "training: {epoch: 3}",
        "training: {precision: float64}",
        "output: {version: a/b}",
        "seed: -1",
        "trainer: cae",
        "handlers: {ema: {}}",
        "handlers: [emma]",
        "handlers+: [emma]",
        "handlers+: ema",
        "handlers: [{ema: {decay: 1.0}}]",
        "handlers: [{ema: {}, checkpoint: {}}]",
        "handlers: [{checkpoint: {every: 0 epochs}}]",
    ],
)
def test_what_the_reader_refuses_does_not_fit(text, validator):
    assert not validator.is_valid(parse(text, "x").plain())


def test_a_parameter_has_its_description_from_the_docstring():
    choices = schema()["properties"]["model"]["allOf"]
    cae = next(choice["then"] for choice in choices if choice["if"]["properties"]["name"]["const"] == "cae_baseline")
    assert cae["properties"]["latent_dim"]["description"] == "dimension of the latent."
    assert cae["properties"]["latent_dim"]["default"] == 64


def test_every_parameter_of_every_component_is_described():
    kinds = ("datamodule", "datagenerator", "model", "module", "optimizer", "scheduler")
    parts = [choice["then"] for kind in kinds for choice in schema()["properties"][kind]["allOf"]]
    handlers = schema()["properties"]["handlers"]["items"]["anyOf"][1]["properties"].values()
    parts += [handler["anyOf"][0] for handler in handlers]
    bare = [
        name
        for part in parts
        for name, field in part["properties"].items()
        if name != "name" and not field.get("description")
    ]
    assert not bare
