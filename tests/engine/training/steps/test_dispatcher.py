"""Who acts after which iteration, in which order. Real Ignite engines."""

import pytest
from ignite.engine import Engine, Events

from firebox.engine.training.bases.phases import Phase
from firebox.engine.training.limits.stopping import StopRequest
from firebox.engine.training.steps.dispatcher import Dispatcher


class Log(list):
    """What happened, in order."""

    def action(self, name, trainer, *, result=None):
        return lambda: (self.append((trainer.state.iteration, name)), result)[1]


def engine(epoch_length=5, epochs=2, iteration=0):
    trainer = Engine(lambda engine, batch: None)
    trainer.load_state_dict({"iteration": iteration, "epoch_length": epoch_length, "max_epochs": epochs})
    return trainer


def run(trainer):
    trainer.run(iter(lambda: 0, 1))


def test_actions_are_called_at_their_iterations_in_the_order_of_phases():
    log, trainer = Log(), engine()
    dispatcher = Dispatcher(5, StopRequest())
    dispatcher.add(Phase.CHECKPOINT, 5, log.action("checkpoint", trainer))
    dispatcher.add(Phase.LOG, 2, log.action("log", trainer))
    dispatcher.add(Phase.EVALUATE, 5, log.action("evaluate", trainer))
    dispatcher.add(Phase.LOG, 10, log.action("second log", trainer))
    dispatcher.attach(trainer)
    run(trainer)
    expected = [(2, "log"), (4, "log"), (5, "evaluate"), (5, "checkpoint"), (6, "log"), (8, "log")]
    last = [(10, "evaluate"), (10, "log"), (10, "second log"), (10, "checkpoint")]
    assert log == expected + last


def test_an_epochs_end_waits_for_ignites_own_events():
    log, trainer = Log(), engine(epochs=1)
    dispatcher = Dispatcher(5, StopRequest())
    dispatcher.add(Phase.CHECKPOINT, 5, log.action("checkpoint", trainer))
    dispatcher.attach(trainer)
    trainer.add_event_handler(Events.ITERATION_COMPLETED(every=5), log.action("iteration completed", trainer))
    run(trainer)
    assert log == [(5, "iteration completed"), (5, "checkpoint")]


def test_actions_after_an_evaluation_come_only_with_one():
    log, trainer = Log(), engine()
    dispatcher = Dispatcher(5, StopRequest())

    def evaluate():
        dispatcher.note_evaluation(trainer.state.iteration)

    dispatcher.add(Phase.EVALUATE, 3, evaluate)
    dispatcher.add(Phase.SCHEDULE, None, log.action("after", trainer))
    dispatcher.add(Phase.LOG, 1, log.action("always", trainer))
    dispatcher.attach(trainer)
    run(trainer)
    assert [iteration for iteration, name in log if name == "after"] == [3, 6, 9]


@pytest.mark.parametrize("start", range(10))
def test_beginning_anywhere_calls_what_is_still_to_come(start):
    whole, part = Log(), Log()
    for log, iteration in ((whole, 0), (part, start)):
        trainer = engine(iteration=iteration)
        dispatcher = Dispatcher(5, StopRequest())
        for period in (1, 2, 3, 5, 7):
            dispatcher.add(Phase.LOG, period, log.action(period, trainer))
        dispatcher.attach(trainer)
        run(trainer)
    assert part == [entry for entry in whole if entry[0] > start]


@pytest.mark.parametrize("at", [3, 5])
def test_a_stop_saves_and_ends_after_the_iteration(at):
    log, trainer, stop = Log(), engine(), StopRequest()
    dispatcher = Dispatcher(5, stop)
    dispatcher.save_on_stop = log.action("saved", trainer)
    dispatcher.add(Phase.CHECKPOINT, 5, log.action("checkpoint", trainer))
    dispatcher.attach(trainer)

    @trainer.on(Events.ITERATION_STARTED(once=at))
    def request():
        stop.requested = True

    run(trainer)
    assert trainer.state.iteration == at
    assert log == ([(5, "checkpoint"), (5, "saved")] if at == 5 else [(3, "saved")])
    assert not dispatcher.pending


def test_an_abandoned_action_is_done_on_resuming_with_all_that_follow_it():
    log, trainer, stop = Log(), engine(), StopRequest()
    dispatcher = Dispatcher(5, stop)

    def abandoned():
        stop.requested = True
        return False

    saved = []
    dispatcher.save_on_stop = lambda: saved.append(dispatcher.state_dict())
    dispatcher.add(Phase.STEP, 5, log.action("step", trainer))
    dispatcher.add(Phase.EVALUATE, 5, abandoned)
    dispatcher.add(Phase.LOG, 5, log.action("log", trainer))
    dispatcher.attach(trainer)
    run(trainer)
    assert log == [(5, "step")]
    assert saved == [{"pending": Phase.EVALUATE, "evaluated_at": 0}]

    resumed, again = Log(), engine(iteration=5)
    dispatcher = Dispatcher(5, StopRequest())
    for phase, name in ((Phase.STEP, "step"), (Phase.EVALUATE, "evaluate"), (Phase.LOG, "log")):
        dispatcher.add(phase, 5, resumed.action(name, again))
    dispatcher.load_state_dict(saved[0])
    dispatcher.attach(again)
    run(again)
    assert resumed[:2] == [(5, "evaluate"), (5, "log")]
    assert resumed[2:] == [(10, "step"), (10, "evaluate"), (10, "log")]


def test_a_checkpoint_sees_nothing_pending():
    trainer, seen = engine(), []
    dispatcher = Dispatcher(5, StopRequest())
    dispatcher.add(Phase.EVALUATE, 5, lambda: seen.append(dispatcher.pending))
    dispatcher.add(Phase.CHECKPOINT, 5, lambda: seen.append(dispatcher.pending))
    dispatcher.attach(trainer)
    run(trainer)
    assert seen == [True, False, True, False]
