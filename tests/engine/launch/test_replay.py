"""Which handlers a replay is made with."""

from firebox.engine.launch.replay import replay
from tests.handlers.runs import configured, trained

OWN = """
from pathlib import Path

from ignite.engine import Events

from firebox import Handler
from firebox.handlers.loss_log import LossLog
from firebox.handlers.progress import Progress

attached = Path(__file__).parent / "attached.txt"

def note(name):
    with attached.open("a") as file:
        file.write(name + " ")

class Shown(Progress):
    def attach(self, run):
        note("Shown")
        super().attach(run)

class Logged(LossLog):
    def attach(self, run):
        note("Logged")
        super().attach(run)

class Halved(Handler):
    def attach(self, run):
        note("Halved")
        groups = run.update.optimizers["main"].param_groups
        run.trainer.add_event_handler(Events.ITERATION_STARTED, lambda: groups[0].update(lr=0.002 / run.iteration))
"""


def test_what_only_observes_or_writes_is_left_out_of_a_replay_and_what_trains_is_not(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    handlers = {f"{tmp_path}/own.py:{name}": {} for name in ("Shown", "Logged", "Halved")}
    configuration = configured(tmp_path, handlers)
    run = trained(configuration)
    (tmp_path / "attached.txt").unlink()
    logged = run.directory.losses.read_bytes()
    replayed = replay(configuration, run.directory, 7)

    assert set((tmp_path / "attached.txt").read_text().split()) == {"Halved"}
    assert replayed.equal
    assert replayed.row.learning_rate == 0.002 / 7
    assert run.directory.losses.read_bytes() == logged
