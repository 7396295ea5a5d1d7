"""What the tests of schedules share: the learning rates of a run, and those of torch's schedules."""

import torch

from tests.handlers.runs import configured, rows_of

LR = 0.002
STILL = {"name": "sgd", "lr": 1e-6}


def rates(run):
    """Returns the learning rate of every iteration."""
    return [row["learning_rate"] for row in rows_of(run) if row["split"] == "train"]


def scheduled(folder, handlers=None, **settings):
    return configured(folder, {"loss_log": {}, **(handlers or {})}, scheduler=settings)


def of_torch(make, steps=18):
    """Returns the values of a schedule of torch's."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    scheduler = make(optimizer)
    values = []
    for _ in range(steps):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return values
