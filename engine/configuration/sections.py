"""The sections of a configuration that belong to the engine. Components have parameters of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt

from firebox.foundation.paths import FilePath, cache_home, expanded

CacheFolder = Annotated[
    FilePath, Field(pattern=r"^(auto|off|[~$].*|.*/.*)$", title="auto, off, or a folder such as ./cache")
]


class Section(BaseModel):
    """A section of the configuration: unknown keys are errors, and values are not converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Loading(Section):
    """How batches are made; stands in the section of the data, beside the data's own parameters."""

    batch_size: PositiveInt = Field(128, description="images in a training batch")
    evaluation_batch_size: PositiveInt | None = Field(
        None, description="images in an evaluation batch; null: four times batch_size"
    )
    drop_last: bool = Field(False, description="leave out an epoch's last batch where it is smaller")
    limit: PositiveInt | None = Field(
        None,
        description="most samples of each split that are used, such as 500 for a quick try: the same ones in all runs, "
        "in the proportions of the classes; null: all",
    )
    sampling: Literal["shuffled", "balanced"] = Field(
        "shuffled",
        description="which samples an epoch of training has: shuffled: each once; balanced: as many, but each class "
        "equally often, small classes repeated and large ones spread over several epochs",
    )
    target_scale: Literal["given", "standardised"] = Field(
        "given",
        description="scale of values to regress: given: as the data has them; standardised: minus the mean of the "
        "training split and divided by its deviation, each value by itself; predictions and errors are in the data's "
        "own units all the same",
    )
    workers: NonNegativeInt = Field(0, description="worker processes that read ahead what is not in memory yet")
    timeout: PositiveFloat = Field(
        600.0, description="seconds that reading a batch may take; after that the run fails and says what it waited for"
    )
    placement: Literal["auto", "device", "memory", "stream"] = Field(
        "auto",
        description="where images are held: on the device, in memory, or read as they are needed; "
        "auto: what is in memory already stays there, or goes to a GPU up to 2 GiB; files whose samples "
        "are in the cache are read from there, and go to a GPU up to 2 GiB; others are read once and held in memory up "
        "to 2 GiB, unless workers are to read them; the rest is read as it is needed",
    )
    cache: CacheFolder = Field(
        "auto",
        description="folder for samples that are decoded once, for all later epochs and runs; off: keep none; "
        "auto: firebox/ in $XDG_CACHE_HOME or ~/.cache",
    )
    cache_gib: PositiveFloat = Field(
        64.0, description="GiB that the cache may take; what was not used for longest is removed"
    )
    verify: Literal["names", "content"] = Field(
        "names",
        description="how files are recognised as those that the run is trained on: by their names and sizes, or also "
        "by the SHA-256 of their content, which reads them all at each start",
    )
    augmentations: list[Any] = Field(
        [],
        description="kornia's random augmentations in snake case, each a name or {name: {parameters}}; training only",
    )

    @property
    def cache_folder(self) -> Path | None:
        """The folder for decoded samples; None if none are to be kept."""
        if self.cache == "off":
            return None
        if self.cache != "auto":
            return Path(expanded(self.cache)).absolute()
        return cache_home()

    def batch_size_of(self, split: str) -> int:
        """Returns the number of images in a batch of a split."""
        return self.batch_size if split == "train" else self.evaluation_batch_size or 4 * self.batch_size


class Training(Section):
    """How long, where and in which precision to train."""

    epochs: PositiveInt = Field(10, description="passes over the training split")
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$", title="auto, cpu, cuda, cuda:N or mps")] = (
        Field("auto", description="auto: the first CUDA device, else the CPU")
    )
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32",
        description="of the forward pass; weights and optimizer stay float32, which CUDA multiplies in TF32; "
        "float16 scales the loss",
    )
    accumulation: PositiveInt = Field(1, description="microbatches per batch; one optimizer step per batch")
    shards: PositiveInt = Field(
        1,
        description="parts that every batch is cut into, a power of two, however many processes share them; the same "
        "run, bit for bit, on any number of processes that divides it",
    )
    parallel: Literal["replicated", "fsdp"] = Field(
        "replicated",
        description="where several processes train: replicated: each holds all weights; fsdp: each holds a part of "
        "weights, gradients and optimizer, and gathers a layer's while it is used",
    )
    threads: PositiveInt | None = Field(
        None, description="threads that each process computes with; null: what OMP_NUM_THREADS says, else all cores"
    )
    gradient_clip_norm: PositiveFloat | None = Field(None, description="largest norm of all gradients; null: no limit")
    channels_last: bool = Field(True, description="memory format of convolutional models")
    compile: bool = Field(False, description="torch.compile the model")


class Output(Section):
    """Where the run's directory goes."""

    root: FilePath = Field("runs", description="folder that all runs are below")
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", title="letters, digits, . _ -")] | None = (
        Field(None, description="the run's own name; null: the next free version_N")
    )


class ParameterGroup(Section):
    """Parameters of an optimizer with settings of their own; stands beside those settings."""

    parameters: Annotated[list[str], Field(min_length=1)] | None = Field(
        None,
        description="patterns of their dotted names or of a layer that contains them, such as `encoder` or `*.weight`; "
        "null: any name",
    )
    kinds: Annotated[list[Literal["norm", "bias"]], Field(min_length=1)] | None = Field(
        None, description="norm: of a normalisation layer; bias: named so; null: any kind"
    )


class OptimizerPart(Section):
    """One of several optimizers of a module; stands beside its settings, which replace those of the section."""

    gradient_clip_norm: PositiveFloat | None = Field(
        None, description="largest norm of its gradients; null: no limit; if left out: training.gradient_clip_norm"
    )
    groups: list[Any] = Field([], description="its parameter groups; if left out: those of the section")


class Optimization(Section):
    """What optimizers have in common; stands in the section of the optimizer, beside its settings."""

    groups: list[Any] = Field([], description="parameters with settings of their own; the first that fits counts")
    parts: dict[str, Any] = Field(
        {}, description="by the names that the module gives its optimizers: what is different in each"
    )


class Beginning(Section):
    """What a model begins with; stands in its section, beside its settings."""

    weights: str | None = Field(
        None,
        description="an archive or a .safetensors file whose weights it begins with, as far as names and shapes fit",
    )
    freeze: list[str] = Field(
        [], description="patterns of parameters or layers that are not trained, such as `encoder`; see groups"
    )


Seed = Annotated[int, Field(ge=0, lt=2**63, description="selects all randomness of the run")]
