"""Trains a convolutional autoencoder to reproduce images."""

from firebox import Trainer, run_trainer

TRAINER = Trainer(
    name="cae_baseline",
    summary="a convolutional autoencoder that reproduces images",
    configuration="configs/cae/cae_baseline_fashion_mini.yaml",
    models=("cae_baseline", "linear_autoencoder"),
    modules=("reconstruction",),
)

if __name__ == "__main__":
    run_trainer(TRAINER)
