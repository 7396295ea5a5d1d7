"""Trains a small U-Net to restore images."""

from firebox import Trainer, run_trainer

TRAINER = Trainer(
    name="restoration_baseline",
    summary="a small U-Net that restores images, or turns them into others",
    configuration="configs/restoration/restoration_baseline_fashion_mini.yaml",
    models=("unet_baseline", "timm", "cae_baseline"),
    modules=("reconstruction",),
)

if __name__ == "__main__":
    run_trainer(TRAINER)
