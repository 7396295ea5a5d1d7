"""What the documents show runs as they show it."""

import json
import re
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.exactness import run_python

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def blocks(document, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / document).read_text(), re.DOTALL)


def train(folder, *arguments):
    return run_python(ROOT / "trainers/train_cae_baseline.py", *arguments, cwd=folder)


def test_the_documented_handler_runs_from_a_users_folder(tmp_path):
    (code,) = blocks("writing_a_handler.md", "python")
    (configuration,) = blocks("writing_a_handler.md", "yaml")
    (tmp_path / "my_handlers.py").write_text(code)
    (tmp_path / "my_config.yaml").write_text(configuration)
    done = train(tmp_path, "my_config.yaml", "--set", "datamodule.batch_size=270", "--set", "model.channels=[4]")
    assert done.returncode == 0, done.stderr
    run = tmp_path / done.stdout.splitlines()[-1]
    assert run == tmp_path / "runs/fashion_mini/cae_baseline/version_0"
    events = EventAccumulator(str(run), size_guidance={"histograms": 0})
    events.Reload()
    names = events.Tags()["histograms"]
    assert names
    assert all(name.startswith("gradients/") for name in names)
    assert [event.step for event in events.Histograms(names[0])] == [20, 40]
    import torch

    (newest,) = sorted((run / "checkpoints").iterdir())[-1:]
    state = torch.load(newest / "state.pt", weights_only=True)
    assert {"written": 2} in state["handlers"].values()


def test_a_typo_in_the_documented_handlers_settings_is_refused_with_its_place(tmp_path):
    (code,) = blocks("writing_a_handler.md", "python")
    (configuration,) = blocks("writing_a_handler.md", "yaml")
    (tmp_path / "my_handlers.py").write_text(code)
    (tmp_path / "my_config.yaml").write_text(configuration.replace("every:", "evry:").replace("20", "20"))
    done = train(tmp_path, "my_config.yaml")
    assert done.returncode == 2
    assert "my_config.yaml:7:" in done.stderr
    assert "did you mean every? expected one of: bins, every" in done.stderr


def test_the_documented_model_and_data_set_run_from_a_users_folder(tmp_path):
    model, _, _, _, data, _ = blocks("adding_a_model.md", "python")
    (tmp_path / "my_models.py").write_text(model)
    # scikit-learn is no dependency of the project; its digits stand here as random ones.
    stand_in = (
        "class digits:\n"
        "    images = torch.rand(1797, 8, 8).mul(16).numpy()\n"
        "    target = (torch.arange(1797) % 10).numpy()\n"
    )
    data = data.replace("from sklearn.datasets import load_digits\n", "").replace("digits = load_digits()", "")
    (tmp_path / "my_data.py").write_text(data.replace("\n\nclass Digits", f"\n{stand_in}\n\nclass Digits"))
    (tmp_path / "my_config.yaml").write_text(
        "trainer: cae_baseline\n"
        "datamodule: {name: my_data.py:Digits, batch_size: 100}\n"
        "model: {name: my_models.py:DenseAutoencoder, hidden: 16, latent_dim: 4}\n"
        "module: {name: reconstruction}\n"
        "training: {epochs: 1}\n"
    )
    done = train(tmp_path, "my_config.yaml")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "runs/Digits/DenseAutoencoder/version_0"


def test_the_documented_loss_runs_from_a_users_folder(tmp_path):
    _, loss, *_ = blocks("adding_a_model.md", "python")
    configuration, _ = blocks("adding_a_model.md", "yaml")
    (tmp_path / "my_losses.py").write_text(loss)
    (tmp_path / "my_config.yaml").write_text(configuration)
    faster = ("--set", "datamodule.batch_size=540", "--set", "model.channels=[4]")
    done = train(tmp_path, "my_config.yaml", *faster)
    assert done.returncode == 0, done.stderr
    recorded = (tmp_path / done.stdout.splitlines()[-1] / "config.yaml").read_text()
    assert "my_losses.py:Charbonnier" in recorded
    assert "epsilon: 0.01\n" in recorded
    (tmp_path / "my_config.yaml").write_text(configuration.replace("epsilon", "epsilom"))
    refused = train(tmp_path, "my_config.yaml", *faster)
    assert refused.returncode == 2
    assert "my_config.yaml:4:42  module.loss.epsilom: unknown key; did you mean epsilon?" in refused.stderr


def test_the_documented_module_and_schedule_train_beside_an_optimizer_of_torch(tmp_path):
    _, _, module, _, _, schedule = blocks("adding_a_model.md", "python")
    (tmp_path / "my_modules.py").write_text(module)
    (tmp_path / "my_schedules.py").write_text(schedule)
    (tmp_path / "my_config.yaml").write_text(
        "trainer: cae_baseline\n"
        "datamodule: {name: fashion_mini, batch_size: 1800}\n"
        "model: {name: cae_baseline, channels: [4]}\n"
        "module: {name: my_modules.py:Denoising, noise: 0.2}\n"
        "optimizer: {name: torch.optim:RMSprop, lr: 0.001}\n"
        "scheduler: {name: my_schedules.py:Exponential, final_share: 0.1}\n"
        "training: {epochs: 1}\n"
    )
    done = train(tmp_path, "my_config.yaml")
    assert done.returncode == 0, done.stderr
    (newest,) = (tmp_path / done.stdout.splitlines()[-1] / "checkpoints").iterdir()
    import torch

    state = torch.load(newest / "state.pt", weights_only=True)
    assert rates(state) == [pytest.approx(0.001 * 0.1 ** (2 / 3))]


def test_the_documented_module_with_two_optimizers_trains_and_records_both_rates(tmp_path):
    _, _, _, module, _, _ = blocks("adding_a_model.md", "python")
    _, configuration = blocks("adding_a_model.md", "yaml")
    (tmp_path / "my_adversarial.py").write_text(module)
    (tmp_path / "my_config.yaml").write_text(configuration)
    done = train(tmp_path, "my_config.yaml", "--set", "datamodule.batch_size=1080", "--set", "model.channels=[4]")
    assert done.returncode == 0, done.stderr
    run = tmp_path / done.stdout.splitlines()[-1]
    first, *_, last = [json.loads(line) for line in (run / "losses.jsonl").read_text().splitlines()]
    assert (first["learning_rate"], first["learning_rate/critic"]) == (0.0002, 0.0004)
    assert last["slope"] > 0


def rates(state):
    """The learning rates anywhere in a checkpoint."""
    if isinstance(state, dict):
        own = [state["lr"]] if isinstance(state.get("lr"), float) else []
        return own + [rate for value in state.values() for rate in rates(value)]
    return [rate for value in state for rate in rates(value)] if isinstance(state, list) else []


@pytest.mark.parametrize("document", ["adding_a_model.md", "writing_a_handler.md", "writing_a_guard.md"])
def test_what_the_documents_show_imports_nothing_of_firebox_but_the_public_face(document):
    assert "from firebox import" in (ROOT / "docs" / document).read_text()
    for code in blocks(document, "python"):
        assert not re.search(r"(from|import) firebox\.", code)


@pytest.mark.parametrize(
    "document", [path.relative_to(ROOT) for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]], ids=str
)
def test_every_link_leads_somewhere(document):
    path = ROOT / document
    absent = [link for link in LINK.findall(path.read_text()) if not (path.parent / link).exists()]
    assert absent == []


def test_the_picture_is_made_from_a_run(tmp_path):
    run = tmp_path / "runs/data/model/version_0"
    (run / "checkpoints").mkdir(parents=True)
    rows = [{"iteration": i, "split": split, "loss": 1 / i} for i in (1, 2, 3) for split in ("train", "validation")]
    (run / "losses.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = run_python(ROOT / "docs/make_picture.py", run, tmp_path / "run.png")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
