"""Assembles a run from its configuration."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from firebox.data.bases.datamodule import DataModule
from firebox.data.declarations.specification import ImageSpecification
from firebox.data.sources.augmentation import Augmentation
from firebox.data.sources.batch import Preparation
from firebox.engine.configuration import Configuration, Named
from firebox.engine.configuration.configuration import Optimizer
from firebox.engine.configuration.sections import Loading
from firebox.engine.training.bases.handler import Handler
from firebox.engine.training.bases.module import Module
from firebox.engine.training.bases.ownership import untrained
from firebox.engine.training.construction import blamed, construct
from firebox.engine.training.devices.devices import choose_device, set_up
from firebox.engine.training.devices.dormant_compiler import keep_compiler_dormant
from firebox.engine.training.devices.memory_format import gains_from_channels_last
from firebox.engine.training.engines import evaluator_engine, quieten, training_iteration
from firebox.engine.training.interface import asked
from firebox.engine.training.limits.stopping import StopRequest
from firebox.engine.training.processes.sharded_update import ShardedUpdate
from firebox.engine.training.reading.data_identity import DataIdentity
from firebox.engine.training.reading.streams import build_streams, construct_data, reading
from firebox.engine.training.run import Run
from firebox.engine.training.steps.dispatcher import Dispatcher
from firebox.engine.training.steps.iteration import DTYPES
from firebox.engine.training.steps.quiet_engine import QuietEngine
from firebox.engine.training.updates.losses import LossRecord
from firebox.engine.training.updates.update import Update
from firebox.engine.training.weights.beginning import freeze, take_weights
from firebox.engine.training.weights.elementwise import unfused
from firebox.engine.training.weights.parameter_groups import parameter_groups, unknown_parts
from firebox.engine.training.weights.trained_state import digest_of_weights
from firebox.engine.world.world import ALONE, World
from firebox.foundation.background import Background
from firebox.foundation.observing import Observer, Observers
from firebox.foundation.problems import Problem, Refusal, refuse
from firebox.foundation.randomness import IterationSeeder, mix, seed_everything

if TYPE_CHECKING:
    from firebox.engine.training.processes.spread_parameters import Calls


def build(
    configuration: Configuration,
    stop: StopRequest | None = None,
    *,
    data: DataModule | None = None,
    identity: DataIdentity | None = None,
    warm_start: bool = True,
    world: World = ALONE,
) -> Run:
    """Assembles a run from its configuration. Nothing is written; the run has no directory yet.

    Args:
        configuration: the run's configuration.
        stop: the stop request, polled during the run; None if nothing may stop it.
        data: the datamodule; None for the one that the configuration names.
        identity: that datamodule and what it consists of; None if it has not been looked at.
        warm_start: whether the model begins with the weights that the configuration names; a run that is loaded from a
            checkpoint does without them.
        world: the processes that train the run. On all but the first, handlers that only report or write are left out.

    Raises:
        Refusal: the data can't be read, or a component can't be constructed.
    """
    stop = stop or StopRequest()
    spreads = configuration.training.parallel == "fsdp" and world.size > 1
    if not world.leads:
        kept = partial(runs_everywhere, spreads=spreads)
        configuration = replace(configuration, handlers=tuple(filter(kept, configuration.handlers)))
    device = choose_device(configuration.training.device, world.local_rank)
    set_up(device, configuration.training.threads)
    if identity is not None:
        data = identity.data
    data = data or construct_data(configuration, stop)
    loading, training = configuration.data.loading, configuration.training
    streams = build_streams(configuration, data, device, stop, world)
    specification = data.specification
    model = build_model(configuration, specification, device)
    warm = take_weights(model, configuration) if warm_start else None
    beginning = calls = None
    if spreads:
        from firebox.engine.training.processes.spread_parameters import spread

        beginning = digest_of_weights(model.state_dict())
        calls = spread(model, world, world.portion(training.shards).count, device)
    channels_last = training.channels_last and gains_from_channels_last(model, device)
    module: Module = construct(configuration.module, "module", model, specification)
    update = build_update(configuration, module, device, world, calls)
    losses = LossRecord()
    iteration = training_iteration(
        update,
        shards=training.shards,
        stream=streams["train"],
        world=world,
        stop=stop,
        module=module,
        seeder=IterationSeeder(configuration.seed, device),
        preparation=Preparation(
            specification, device, augmentation=build_augmentation(loading), channels_last=channels_last
        ),
        losses=losses,
        accumulation=training.accumulation,
        precision=DTYPES[training.precision],
        device=device,
    )
    trainer = QuietEngine(iteration)
    trainer.asks = iteration.ask_to_end
    preparation = Preparation(specification, device, channels_last=channels_last)
    with asked(configuration, module):
        evaluator = evaluator_engine(
            module, preparation, stop=stop, seed=configuration.seed, world=world, device=device, spreads=spreads
        )
    epoch_length = len(streams["train"])
    handlers = build_handlers(configuration)
    trainer.load_state_dict({"iteration": 0, "epoch_length": epoch_length, "max_epochs": training.epochs})
    quieten(trainer, evaluator)
    run = Run(
        configuration=configuration,
        device=device,
        data=data,
        identity=identity
        or DataIdentity(data, reading(configuration, stop), verify=loading.verify, stream=streams.__getitem__),
        streams=streams,
        preparation=preparation,
        model=model,
        module=module,
        update=update,
        training=iteration,
        trainer=trainer,
        evaluator=evaluator,
        dispatcher=Dispatcher(epoch_length, stop),
        losses=losses,
        stop=stop,
        world=world,
        background=Background(lambda: stop.requested),
        handlers=handlers,
        observers=build_observers(configuration, handlers),
        warm_start=warm,
        beginning=beginning,
    )
    attach_handlers(run)
    return run


def build_model(
    configuration: Configuration, specification: ImageSpecification, device: torch.device
) -> torch.nn.Module:
    """Constructs the model, initialised from the run's seed alone, on the device."""
    outputs = 0 if specification.target is None else specification.target.outputs
    given: Mapping[str, object] = {"input_shape": specification.shape, "num_classes": outputs}
    named = configuration.model
    unknown = [name for name in named.component.signature.injected if name not in given]
    if unknown:
        message = f"its constructor takes {unknown[0]}, expected only: {', '.join(given)}; make it keyword-only"
        raise Refusal([Problem("model", message, named.mark)])
    seed_everything(mix(configuration.seed, "initialisation"))
    injected = {name: given[name] for name in named.component.signature.injected}
    model: torch.nn.Module = construct(named, "model", **injected)
    model = model.to(device)
    freeze(model, configuration)
    if configuration.training.channels_last and gains_from_channels_last(model, device):
        model = model.to(memory_format=torch.channels_last)
    if configuration.training.compile:
        # A module may call parts of the model, such as an encoder, where it does not call the whole.
        for part in (model, *model.children()):
            part.compile()
    return model


def build_update(
    configuration: Configuration, module: Module, device: torch.device, world: World = ALONE, calls: Calls | None = None
) -> Update:
    """Makes an optimizer for each part of the module that has one of its own."""
    keep_compiler_dormant()
    with asked(configuration, module):
        parameters = module.parameters()
    for name, own in parameters.items():
        if not any(parameter.requires_grad for parameter in own):
            what = f" for the optimizer {name}" if len(parameters) > 1 else ""
            message = f"nothing to train{what}: no parameter of it requires a gradient; expected one that is not frozen"
            raise Refusal([Problem("model", message, configuration.model.mark)])
    refuse(unknown_parts(configuration, parameters))
    groups = parameter_groups(configuration, module, parameters)
    optimizers = {
        name: construct(part.named, part.key, groups[name])
        for name, part in {name: configuration.optimizer_of(name) for name in parameters}.items()
    }
    for name, optimizer in optimizers.items():
        refuse_closure(configuration.optimizer_of(name), optimizer)
        if configuration.training.parallel == "fsdp":
            unfused(optimizer)
    norms = {name: configuration.optimizer_of(name).gradient_clip_norm for name in optimizers}
    return kind_of_update(configuration, world, calls)(
        optimizers,
        device=device,
        gradient_clip_norms={name: norm for name, norm in norms.items() if norm is not None},
        scaler=torch.amp.GradScaler(device.type) if configuration.training.precision == "float16" else None,
        all_parameters=not untrained(module, optimizers),
    )


def kind_of_update(configuration: Configuration, world: World, calls: Calls | None) -> Callable[..., Update]:
    """Returns what makes the update; ``calls`` are what processes exchange that each hold a part of the weights."""
    shards = configuration.training.shards
    if shards == 1:
        return Update
    common: dict[str, Any] = {"world": world, "count": world.portion(shards).count}
    if calls is None:
        return partial(ShardedUpdate, **common)
    from firebox.engine.training.processes.spread_update import SpreadUpdate

    return partial(SpreadUpdate, calls=calls, **common)


def refuse_closure(part: Optimizer, optimizer: torch.optim.Optimizer) -> None:
    """Refuses an optimizer that computes the loss itself."""
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        message = (
            f"{part.named.name} needs a closure, to compute the loss several times in a step, and a module computes it "
            "once; expected an optimizer that steps without one, such as adam"
        )
        raise Refusal([Problem(part.key, message, part.named.mark)])


def build_augmentation(loading: Loading) -> Augmentation | None:
    """Makes the random augmentation of training batches; None if there is none."""
    entries: list[tuple[str, dict[str, Any]]] = []
    for entry in loading.augmentations:
        if isinstance(entry, str):
            entries.append((entry, {}))
        else:
            entries.extend((name, parameters or {}) for name, parameters in entry.items())
    return Augmentation(tuple(entries)) if entries else None


def handler_parts(configuration: Configuration) -> dict[str, tuple[str, Named]]:
    """Returns the handlers and schedules by name, each with the key of its section; one optimizer's has its name."""
    parts = {part.component.short_name: (f"handlers.{part.written}", part) for part in configuration.handlers}
    if configuration.scheduler is not None:
        parts[configuration.scheduler.component.short_name] = ("scheduler", configuration.scheduler)
    for name, schedule in configuration.scheduler_parts.items():
        if schedule is not None:
            parts[f"{schedule.component.short_name}.{name}"] = (f"scheduler.parts.{name}", schedule)
    return parts


def trains(named: Named) -> bool:
    """Whether a handler may affect the training."""
    kind: type[Handler] = named.component.target.load()
    return kind.trains()


def runs_everywhere(named: Named, *, spreads: bool) -> bool:
    """Whether a handler runs in every process; ``spreads`` says whether each holds a part of the weights alone."""
    kind: type[Handler] = named.component.target.load()
    return kind.trains() or (spreads and kind.uses_weights)


def build_handlers(configuration: Configuration) -> dict[str, Handler]:
    """Constructs the handlers, in the order of their phases."""
    parts = handler_parts(configuration).items()
    handlers: dict[str, Handler] = {name: construct(part, key) for name, (key, part) in parts}
    return dict(sorted(handlers.items(), key=lambda item: item[1].phase))


def build_observers(configuration: Configuration, handlers: Mapping[str, Handler]) -> Observers:
    """Makes an observer of each handler that only reports: what fails in one never stops the run."""
    parts = handler_parts(configuration)
    return Observers({name: Observer(parts[name][0]) for name, handler in handlers.items() if handler.observes})


def attach_handlers(run: Run) -> None:
    """Attaches the handlers in the order of their phases, the dispatcher last."""
    parts = handler_parts(run.configuration)
    for name, handler in run.handlers.items():
        key, part = parts[name]
        with blamed(part, key), run.observers[name].acting() if name in run.observers else nullcontext():
            handler.attach(run)
    run.dispatcher.attach(run.trainer)
