"""Trains a small U-Net to name the class of each pixel."""

from firebox import Trainer, run_trainer

TRAINER = Trainer(
    name="unet_baseline",
    summary="a small U-Net that names the class of each pixel",
    configuration="configs/unet/unet_baseline_shapes.yaml",
    models=("unet_baseline", "timm"),
    modules=("segmentation",),
)

if __name__ == "__main__":
    run_trainer(TRAINER)
