"""Models and modules of a user's own that have exact references, for tests of diffusion."""

import torch
from torch import Tensor

from firebox.modules.ddpm import DDPM
from firebox.modules.flow_matching import FlowMatching
from firebox.modules.noise_levels import Levels, Velocity

TIMES = 10


class Knowing(torch.nn.Module):
    """Estimates the noise that it is told to by what it knows of all images; nothing in it is trained."""

    def __init__(self, input_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape = input_shape
        self.scale = torch.nn.Parameter(torch.ones(()))

    def know(self, module, pixels: Tensor, mean: Tensor, spectrum: Tensor, basis: Tensor) -> None:
        """Tells it what the module asks of it, the training images, (N, pixels) float64, and their moments."""
        self.prediction, self.pixels = module.prediction, pixels
        self.mean, self.spectrum, self.basis = mean, spectrum, basis
        self.all_levels = getattr(module, "all_levels", None)

    def factors(self, times: Tensor) -> tuple[Tensor, Tensor]:
        if self.all_levels is None:
            return times.unsqueeze(1), 1 - times.unsqueeze(1)
        numbers = (times.double() * (len(self.all_levels) - 1)).round().long()
        return self.all_levels.signal[numbers].unsqueeze(1), self.all_levels.noise[numbers].unsqueeze(1)

    def forward(self, images: Tensor, times: Tensor | None = None, labels: Tensor | None = None) -> Tensor:
        if times is None:
            return images * self.scale
        signal, noise = self.factors(times)
        signal, noise = signal.to(images.dtype), noise.to(images.dtype)
        clean, epsilon = self.expected(images.flatten(1), signal, noise)
        return self.prediction.target(clean, epsilon, signal, noise).view_as(images) * self.scale


class BestAffine(Knowing):
    """The affine map of least squared error at each time, which is exact for a Gaussian."""

    def expected(self, noisy: Tensor, signal: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        mean, spectrum, basis = (each.to(noisy.dtype) for each in (self.mean, self.spectrum, self.basis))
        along = ((noisy - signal * mean) @ basis) / (signal**2 * spectrum + noise**2)
        return mean + (signal * spectrum * along) @ basis.T, (noise * along) @ basis.T


class Memory(Knowing):
    """The mean of all training images, each weighted by how likely it is: nothing predicts them better."""

    def expected(self, noisy: Tensor, signal: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        pixels = self.pixels.to(noisy.dtype)
        distances = signal**2 * pixels.square().sum(1) - 2 * signal * (noisy @ pixels.T)
        clean = (-distances / (2 * noise**2)).softmax(1) @ pixels
        return clean, (noisy - signal * clean) / noise


class AffineByTime(torch.nn.Module):
    """One affine map for each of ten times."""

    def __init__(self, input_shape: tuple[int, int, int]) -> None:
        super().__init__()
        pixels = input_shape[0] * input_shape[1] * input_shape[2]
        self.weights = torch.nn.Parameter(torch.zeros(TIMES, pixels, pixels))
        self.biases = torch.nn.Parameter(torch.zeros(TIMES, pixels))

    def forward(self, images: Tensor, times: Tensor | None = None, labels: Tensor | None = None) -> Tensor:
        times = images.new_zeros(len(images)) if times is None else times
        chosen = torch.nn.functional.one_hot((times * TIMES).long(), TIMES).to(images)
        every = torch.einsum("np,tqp->ntq", images.flatten(1), self.weights) + self.biases
        return (every * chosen.unsqueeze(2)).sum(1).view_as(images)


class TenTimes(FlowMatching):
    """Flow matching at the middle of each tenth of the time alone."""

    def levels(self, times: Tensor) -> Levels:
        return super().levels(((times * TIMES).floor() + 0.5) / TIMES)


class ContinuousCosine(DDPM):
    """The cosine schedule without its offset, each timestep at the middle of its part of the time."""

    def __init__(self, model, specification, *, prediction: str = "epsilon") -> None:
        super().__init__(model, specification, prediction=prediction)
        every = self.all_levels
        angles = (every.time - 0.5 / self.timesteps).clamp(min=0) * torch.pi / 2
        self.all_levels = Levels(every.time, angles.cos(), angles.sin())


class WrongSign(FlowMatching):
    """A mistake: the velocity from image to noise."""

    def __init__(self, model, specification) -> None:
        super().__init__(model, specification)
        right = Velocity()
        self.prediction = Velocity()
        self.prediction.target = lambda *given: -right.target(*given)


class WrongScale(FlowMatching):
    """A mistake: half of the noise."""

    def levels(self, times: Tensor) -> Levels:
        return Levels(times, times, (1 - times) / 2)
