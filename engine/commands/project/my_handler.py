"""Handlers of my own."""

from firebox import Handler, Interval, Phase


class Mean(Handler):
    """Writes the mean of the model's weights to TensorBoard.

    Args:
        every: interval between values.
    """

    phase = Phase.LOG
    observes = True

    def __init__(self, *, every: Interval = "1 epoch"):
        self.every = every

    def attach(self, run):
        self.run = run
        run.every(self.every, self.write, self.phase)

    def write(self):
        weights = [parameter.detach().mean() for parameter in self.run.model.parameters()]
        self.run.tensorboard.add_scalar("weights/mean", sum(weights).item() / len(weights), self.run.iteration)
