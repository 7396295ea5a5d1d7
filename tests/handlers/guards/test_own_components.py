"""Models and data of the user's own: what is wrong with them is found, and shown in one line."""

import textwrap

import pytest

from firebox.engine.checks.report import preflight
from firebox.engine.configuration import read
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER as CAE
from firebox.trainers.train_classifier_baseline import TRAINER as CLASSIFIER

HEAD = "import torch\nfrom torch import nn\n"


def model(body, constructor="self.layer = nn.Conv2d(1, 1, 3, padding=1)"):
    return f"{HEAD}class Own(nn.Module):\n    def __init__(self, input_shape):\n        super().__init__()\n        {constructor}\n    def forward(self, x):\n        {body}\n"  # noqa: E501


def refused(folder, source, *assignments, section="model", trainer=CAE):
    (folder / "own.py").write_text(textwrap.dedent(source))
    path = folder / "x.yaml"
    data = "datamodule: {name: fashion_mini, batch_size: 64}\n" if section == "model" else ""
    path.write_text(f"{data}{section}: {{name: 'own.py:Own'}}\ntraining: {{device: cpu}}\n")
    with pytest.raises(Refusal) as caught:
        preflight(read(trainer.name, trainer.default, path, [*assignments, f"output.root={folder / 'runs'}"]), trainer)
    lines = [str(problem).removeprefix(f"{folder}/") for problem in caught.value.problems]
    assert all("Traceback" not in line and "\n" not in line for line in lines)
    return lines


@pytest.mark.parametrize(
    ("body", "constructor", "problem"),
    [
        ("return self.layer(x)", "self.layer = nn.Conv2d(3, 1, 3)", "x.yaml:2:15  model.name: a training step with 64 "
         "images fails on images of shape (1, 28, 28) of fashion_mini, expected a model that takes them: RuntimeError"),
        ("return self.layer(x.flatten(1)).view_as(x)", "self.layer = nn.Linear(1024, 1024)",
         "[64, 784] X [1024, 1024]"),
        ("return self.layer(x)", "self.layer = nn.Conv2d(1, 1, 3)", "x.yaml:2:15  model.name: its output has shape "
         "(1, 26, 26), expected (1, 28, 28): the shape of the images of fashion_mini"),
        ("return self.layer(x)[:, :, :, :1]", "self.layer = nn.Conv2d(1, 1, 3, padding=1)",
         "its output has shape (1, 28, 1)"),
        ("return self.layer(x).view(64, 1, 28, 28)", "self.layer = nn.Conv2d(1, 1, 3, padding=1)",
         "a training step with 24 images"),
        ("return self.layer(x)", "self.layer = nn.Conv2d(1, 1, 3, padding=1).requires_grad_(False)",
         "model: nothing to train: no parameter of it requires a gradient"),
        ("return x * 1.0", "self.layer = nn.Conv2d(1, 1, 3)", "does not require grad"),
        ("return self.layer(x)", "raise KeyError('weights')", "x.yaml:2:15  model: KeyError: 'weights'"),
        ("return self.layr(x)", "self.layer = nn.Conv2d(1, 1, 3)",
         "AttributeError: 'Own' object has no attribute 'layr'"),
    ],
)  # fmt: skip
def test_a_model_that_does_not_fit_is_refused_in_one_line(tmp_path, body, constructor, problem):
    lines = refused(tmp_path, model(body, constructor))
    assert problem in lines[0]
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("body", "constructor", "problem"),
    [
        ("return self.layer(x) * self.scale", "self.layer = nn.Identity(); self.scale = nn.Parameter(torch.ones(()))",
         'has parameters of shape (), "scale", which training.parallel fsdp can\'t divide; expected shape (1,)'),
        ("return self.b(self.a(x))", "self.a = self.b = nn.Linear(28, 28)",
         "model.name: uses one parameter as a.weight and as b.weight, which training.parallel fsdp gathers apart"),
    ],
)  # fmt: skip
def test_parameters_that_cannot_be_spread_are_refused(tmp_path, body, constructor, problem):
    lines = refused(tmp_path, model(body, constructor), "training.parallel=fsdp")
    assert len(lines) == 1
    assert problem in lines[0]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("return {'main': self.model.parameters(), 'second': [self.own]}", "updates by 2 optimizers, main, second"),
        ("return {'main': [*self.model.parameters(), self.own]}", "trains parameters that are not its model's"),
        ("return {'main': list(self.model.parameters())[:1]}", "leaves parameters of its model to no optimizer"),
    ],
)
def test_modules_that_cannot_spread_their_weights_are_refused(tmp_path, body, problem):
    source = (
        "import torch\nfrom firebox import Module\nfrom firebox.modules.reconstruction import Reconstruction\n"
        "class Own(Reconstruction):\n"
        "    def __init__(self, model, specification):\n"
        "        super().__init__(model, specification)\n"
        "        self.own = torch.nn.Parameter(torch.ones(1))\n"
        "        self.evaluation_needs_gradients = True\n"
        f"    def parameters(self):\n        {body}\n"
        "    def training_step(self, batch, update):\n"
        "        loss = self.loss.mean(self.model(batch.images), batch.images) * self.own.sum()\n"
        "        for name in self.parameters():\n"
        "            update(loss * 1, name)\n"
        "        return {'loss': loss.detach()}\n"
    )
    settings = ["training.parallel=fsdp", "training.channels_last=false"]
    lines = refused(tmp_path, source, *settings, section="module")
    assert any(f"module.name: {problem}" in line for line in lines), lines
    assert any("computes gradients in its evaluation" in line for line in lines), lines


@pytest.mark.parametrize(
    ("body", "loss", "range_", "problem"),
    [
        ("return torch.sigmoid(self.layer(x))", "bce", "[0,1]", "model.name: got sigmoid, but the loss bce takes"),
        (
            "return self.layer(x).sigmoid().flatten(1).view_as(x)",
            "mse",
            "[-1,1]",
            "got sigmoid, whose values lie in [0,1]",
        ),
        ("return self.layer(x).tanh()", "mse", "[0,1]", "got tanh"),
        ("return self.layer(x).relu()", "mse", "standardised", "got relu, whose values lie in [0,inf)"),
        ("return self.layer(x).relu()", "bce", "[0,1]", "got relu, but the loss bce"),
        ("return self.layer(x).softmax(1)", "mse", "[0,1]", "got softmax"),
    ],
)
def test_what_an_output_ends_in_is_seen_without_being_declared(tmp_path, body, loss, range_, problem):
    lines = refused(tmp_path, model(body), f"module.loss={loss}", f'datamodule.pixel_range="{range_}"')
    assert problem in lines[0]


@pytest.mark.parametrize("body", ["return self.layer(x)", "return 2 * self.layer(x).sigmoid() - 0.5"])
def test_an_output_that_is_none_of_those_known_is_let_through(tmp_path, body):
    (tmp_path / "own.py").write_text(model(body))
    (tmp_path / "x.yaml").write_text("model: {name: 'own.py:Own'}\n")
    settings = ["module.loss=bce", "datamodule.name=fashion_mini"]
    preflight(read(CAE.name, CAE.default, tmp_path / "x.yaml", settings), CAE)


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        ("nn.Linear(784, 10), nn.Softmax(1)", "got softmax, but cross entropy takes the output for logits"),
        ("nn.Linear(784, 10), nn.LogSoftmax(1)", "got log_softmax, but cross entropy"),
        ("nn.Linear(784, 5)", "its output has shape (5,), expected (10,): a logit for each class of fashion_mini"),
        ("nn.Linear(784, 11)", "its output has shape (11,), expected (10,)"),
    ],
)
def test_a_classifiers_head_is_held_against_loss_and_classes(tmp_path, head, problem):
    source = model("return self.layer(x)", f"self.layer = nn.Sequential(nn.Flatten(), {head})")
    assert problem in refused(tmp_path, source, trainer=CLASSIFIER)[0]


def test_a_model_that_looks_at_values_is_not_refused_for_it(tmp_path, caplog):
    (tmp_path / "own.py").write_text(model("return self.layer(x) if x.mean().item() < 2 else x"))
    (tmp_path / "x.yaml").write_text("model: {name: 'own.py:Own'}\n")
    report = preflight(read(CAE.name, CAE.default, tmp_path / "x.yaml"), CAE)
    assert report.results["output_shape"][0] == "not checked"
    assert report.results["batch_size"][0] == "passed"
    assert report.costs is None
    assert "looks at the values of tensors" in caplog.text


DATA = """
from firebox.data.bases.datamodule import DataModule
from firebox.data.declarations.specification import ImageSpecification
class Own(DataModule):
    @property
    def specification(self):
        return ImageSpecification({shape}, classes=("a", "b"))
    @property
    def split_lengths(self):
        return {lengths}
    def read(self, split):
        raise AssertionError("the check reads no data")
"""


@pytest.mark.parametrize(
    ("shape", "lengths", "problem"),
    [
        ("(1, 28, 28)", "{}", "x.yaml:1:20  datamodule.name: has no samples to train on"),
        ("(1, 28, 28)", "{'train': 0}", "has no samples to train on"),
        ("(1, 28, 28)", "{'train': -3}", "its train split has the length -3, expected a number of samples"),
        ("(1, 28, 28)", "{'train': None}", "has the length None"),
        ("(1, 28, 28)", "1 / 0", "x.yaml:1:20  datamodule: ZeroDivisionError"),
    ],
)
def test_data_that_can_not_be_trained_on_is_refused(tmp_path, shape, lengths, problem):
    lines = refused(tmp_path, DATA.format(shape=shape, lengths=lengths), section="datamodule")
    assert any(problem in line for line in lines), lines


def test_a_split_that_a_handler_names_must_exist(tmp_path):
    source = """
    from firebox.engine.training.bases.handler import Handler
    class Own(Handler):
        def __init__(self, *, split: str = "validation", splits: list[str] = []): ...
        def attach(self, run): ...
    """
    (tmp_path / "own.py").write_text(textwrap.dedent(source))
    (tmp_path / "x.yaml").write_text("handlers:\n  - own.py:Own: {split: tset, splits: [train, valid]}\n")
    with pytest.raises(Refusal) as caught:
        preflight(read(CAE.name, CAE.default, tmp_path / "x.yaml"), CAE)
    text = str(caught.value)
    assert "x.yaml:2:25  handlers." in text
    assert "got tset, but fashion_mini has no such split; did you mean test? expected one of: test, train" in text
    assert "got valid, but fashion_mini has no such split" in text


def test_two_handlers_of_one_name_are_refused(tmp_path):
    source = "from firebox import Handler\nclass Own(Handler):\n    def attach(self, run): ...\n"
    (tmp_path / "one.py").write_text(source)
    (tmp_path / "two.py").write_text(source)
    (tmp_path / "x.yaml").write_text("handlers: ['one.py:Own', 'two.py:Own']\n")
    with pytest.raises(Refusal, match="has the same name as") as caught:
        preflight(read(CAE.name, CAE.default, tmp_path / "x.yaml"), CAE)
    assert len(caught.value.problems) == 1
