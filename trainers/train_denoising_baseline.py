"""Trains a small network to remove noise from images."""

from firebox import Trainer, run_trainer

TRAINER = Trainer(
    name="denoising_baseline",
    summary="a small network that removes noise from images",
    configuration="configs/denoising/denoising_baseline_fashion_mini.yaml",
    models=("denoising_baseline", "cae_baseline", "linear_autoencoder"),
    modules=("denoising",),
)

if __name__ == "__main__":
    run_trainer(TRAINER)
