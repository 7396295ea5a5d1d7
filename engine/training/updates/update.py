"""One optimizer update: backward, accumulate, clip, refuse what is not finite, step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch.amp.grad_scaler import OptState

from firebox.engine.training.updates.backward import backward
from firebox.engine.training.updates.optimizer_step import unmarked_step
from firebox.foundation.problems import similar

MOST_PENDING = 1000
"""Iterations whose losses, and whether they were finite, are kept unread where no handler reads them sooner."""


class Update:
    """What a module's training step calls with a loss to have its parameters updated.

    ``update(loss)`` serves a module with one optimizer; one that owns several names which: ``update(loss, "critic")``.
    Each call makes a step, unless the next loss is to be added first: ``update(first, "critic", step=False)``. An
    optimizer may step several times in an iteration, or in some iterations alone (``update.iteration % 5 == 0``).

    A loss's gradient reaches the named optimizer's parameters and no others, whatever it is computed from.

    Args:
        optimizers: the optimizers, by the name that the module gave their parameters.
        device: the losses' device.
        gradient_clip_norms: the largest norm of an optimizer's gradients, by its name; without one, no limit.
        scaler: the gradient scaler for float16; None for no scaling. Its scale changes once an iteration at most.
        all_parameters: whether the only optimizer has all parameters that a loss could reach.
    """

    def __init__(
        self,
        optimizers: Mapping[str, torch.optim.Optimizer],
        *,
        device: torch.device,
        gradient_clip_norms: Mapping[str, float] | None = None,
        scaler: torch.amp.GradScaler | None = None,
        all_parameters: bool = True,
    ) -> None:
        self.optimizers = optimizers
        self.scaler = scaler
        self.iteration = 0
        """The iteration that is being made, counted from 1."""
        self._device_type = device.type
        self._autocast_off = torch.autocast(device.type, enabled=False)
        self._clips = {name: (gradient_clip_norms or {}).get(name) for name in optimizers}
        self._reaches_others = len(optimizers) > 1 or not all_parameters
        self._steps = 0
        self._share = 1.0
        self._last = True
        self._flags = torch.zeros(2 * MOST_PENDING, device=device)
        real = type(self._flags) is torch.Tensor
        # A rehearsal, which has no values, needs one: thousands of fake tensors would take a third of its time.
        self._flag_of = self._flags.unbind() if real else (self._flags[0],)
        self.non_finite = self._flag_of[0]
        """The iteration's own flag: 1 from the first of its losses or gradients on that is not finite. The fused
        optimizers read it on the device and take no step where it is."""
        self._one = torch.ones((), device=device)
        # As torch's GradScaler tells them apart: those that are fused read a flag on the device.
        reads = {
            name: getattr(optimizer, "_step_supports_amp_scaling", False) for name, optimizer in optimizers.items()
        }
        self.norms: dict[str, torch.Tensor] = {}
        """The norm of the gradients that each optimizer stepped with last in this iteration, by its name, before they
        were clipped: of shape (), on the device. Without clipping only where it is asked for."""
        self._norm_period = 0
        self._told = [optimizers[name] for name, told in reads.items() if told and scaler is None]
        if device.type == "cpu" and real and scaler is None:
            for name, told in reads.items():
                if not told:
                    optimizers[name].register_step_pre_hook(self._withhold)
        self.begin(0)

    def measure_norms(self, period: int) -> None:
        """Has the norms of the gradients measured in every so many iterations where nothing clips them."""
        self._norm_period = period

    def begin(self, iteration: int) -> None:
        """Begins an iteration, counted from 1."""
        self.iteration = iteration
        if self.norms:
            self.norms = {}
        slot = iteration % len(self._flag_of)
        if slot % MOST_PENDING == 0:
            # The half that is to be used next; what may be unread yet is in the other one.
            self._flags[slot : slot + MOST_PENDING].zero_()
        self.non_finite = self._flag_of[slot]
        for optimizer in self._told:
            optimizer.found_inf = self.non_finite  # type: ignore[attr-defined]

    def _withhold(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        """Leaves an optimizer that does not read the flag without gradients, and so without a step, where it is set.

        On the CPU alone, where reading the flag waits for nothing. On other devices such an optimizer steps until the
        losses are read, which is before anything is saved.
        """
        if self.non_finite:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    parameter.grad = None

    def microbatch(self, share: float, *, last: bool) -> None:
        """Says which microbatch of an accumulated batch comes next.

        Args:
            share: the microbatch's share of the batch's samples, in (0, 1].
            last: whether the optimizer steps after it.
        """
        self._share = share
        self._last = last

    def __call__(self, loss: torch.Tensor, name: str = "main", *, step: bool = True) -> None:
        """Adds the gradient of a loss; after the last microbatch of a batch, updates the parameters.

        Args:
            loss: scalar of shape ().
            name: the optimizer's name.
            step: whether to update the parameters; False if another loss is to be added first.

        Raises:
            ValueError: there is no optimizer of that name.
        """
        optimizer = self._named(name)
        watched = self._add(loss, optimizer)
        if watched is None:
            return
        if step and self._last:
            self._step(name, optimizer, watched)
        else:
            self._watch([watched])

    def _named(self, name: str) -> torch.optim.Optimizer:
        try:
            return self.optimizers[name]
        except KeyError:
            known = ", ".join(self.optimizers)
            message = f"update: got {name}, expected the name of an optimizer, as parameters() of the module gives them"
            raise ValueError(f"{message}: {known}{similar(name, self.optimizers)}") from None

    def _add(self, loss: torch.Tensor, optimizer: torch.optim.Optimizer) -> torch.Tensor | None:
        """Adds the gradient of a loss; returns the loss to watch, None where nothing of the optimizer's is trained."""
        # Not detach(): what is watched is written to, and a graph may hold the loss at the version that it has.
        watched = loss.data
        inputs: Sequence[torch.Tensor] = ()
        if self._reaches_others:
            inputs = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
            if not inputs:  # frozen meanwhile; to autograd, none would be all
                return None
        if self._share != 1.0:
            loss = loss * self._share
        if self.scaler is not None:
            loss = self.scaler.scale(loss)
        if torch.is_autocast_enabled(self._device_type):
            with self._autocast_off:
                backward(loss, self._one, inputs)
        else:
            backward(loss, self._one, inputs)
        return watched

    def _step(self, name: str, optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
        """Makes an optimizer's step with the gradients that its parameters have, if these and the loss are finite."""
        watched = [loss]
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        clip = self._clips[name]
        if self.scaler is not None:
            self._renew_scaling(optimizer)
        if clip is not None:
            if self.scaler is not None:
                self.scaler.unscale_(optimizer)
            # The norm of gradients that are not finite is not, and one that overflows would clip all of them to 0.
            self.norms[name] = torch.nn.utils.clip_grad_norm_(parameters, clip, foreach=True)
            watched.append(self.norms[name])
        else:
            gradients = [p.grad for p in parameters]
            if self._norm_period and self.iteration % self._norm_period == 0:
                self._measure_norm(name, gradients)
            watched += gradients
        if self.scaler is None:
            self._watch(watched)
            unmarked_step(optimizer)()
        else:
            # Gradients of a scaled loss overflow now and then: the scaler leaves out those steps.
            self._watch(watched[:1])
            self.scaler.step(optimizer)
            self._steps += 1
        if torch.is_autocast_enabled(self._device_type):
            # It holds the weights in the lower precision as they were when they were first used.
            torch.clear_autocast_cache()
        # As optimizer.zero_grad does, which spends ten times as long on telling the profiler of it.
        for parameter in parameters:
            parameter.grad = None

    def _measure_norm(self, name: str, gradients: list[torch.Tensor]) -> None:
        """Measures the norm of gradients, on the device; of sparse ones, or on several devices, there is none."""
        try:
            norm = torch.linalg.vector_norm(torch.hstack(torch._foreach_norm(gradients)))
        except (RuntimeError, NotImplementedError):
            return
        self.norms[name] = norm if self.scaler is None else norm / self.scaler._get_scale_async()

    def end(self) -> None:
        """Ends an iteration with a scaler: the loss scale follows what all of its steps met."""
        if self.scaler is not None and self._steps:
            self.scaler.update()
            self._steps = 0

    def _renew_scaling(self, optimizer: torch.optim.Optimizer) -> None:
        """Lets the scaler take another step of an optimizer in an iteration; what it found in the last one stays."""
        assert self.scaler is not None
        states = self.scaler._per_optimizer_states
        if states[id(optimizer)]["stage"] is OptState.STEPPED:
            states[-self._steps] = states.pop(id(optimizer))

    def _watch(self, tensors: list[torch.Tensor]) -> None:
        """Sets the flag on the device where a value is not finite; the values stay as they are, to the bit."""
        try:
            # One kernel for all; made for the scaler, which divides by its scale on the way: here by one.
            torch._amp_foreach_non_finite_check_and_unscale_(tensors, self.non_finite, self._one)
        except RuntimeError:  # sparse or complex gradients, or some on another device
            for tensor in tensors:
                values = tensor._values() if tensor.is_sparse else tensor
                self.non_finite.logical_or_(~values.isfinite().all().to(self.non_finite.device))
