"""The identity of a configuration: what earlier runs did without leaves no trace in it."""

from dataclasses import replace

import pydantic
import pytest

from firebox.engine.configuration import read
from firebox.engine.configuration.identity import digest_of
from firebox.engine.configuration.sections import Loading
from firebox.trainers.train_cae_baseline import TRAINER


def given(*assignments):
    return read(TRAINER.name, TRAINER.default, None, list(assignments))


def test_the_digest_of_a_run_from_before_there_was_a_setting_stays():
    configuration = given()
    fields = {
        name: (field.annotation, field)
        for name, field in Loading.model_fields.items()
        if name not in ("limit", "sampling")
    }
    before = pydantic.create_model("Before", **fields)(**configuration.data.loading.model_dump(include=set(fields)))
    named = configuration.data.named
    without = {name: value for name, value in named.parameters.items() if name != "folds"}
    data = replace(configuration.data, loading=before, named=replace(named, parameters=without))

    assert digest_of(replace(configuration, data=data)) == digest_of(configuration)


@pytest.mark.parametrize(
    "assignment",
    ["datamodule.limit=500", "datamodule.sampling=balanced", "datamodule.folds={count: 5, index: 0}"],
)
def test_a_setting_that_is_given_counts(assignment):
    assert digest_of(given(assignment)) != digest_of(given())


def test_the_folds_of_one_data_set_are_runs_of_their_own():
    digests = {digest_of(given(f"datamodule.folds={{count: 5, index: {index}}}")) for index in range(5)}
    assert len(digests) == 5
