"""Trains a small U-Net to draw images out of noise, by flow matching or as a denoising diffusion model."""

from firebox import Trainer, run_trainer

TRAINER = Trainer(
    name="diffusion_baseline",
    summary="a small U-Net that draws images out of noise, each for a class",
    configuration="configs/diffusion/flow_matching_fashion_mini.yaml",
    models=("diffusion_unet",),
    modules=("flow_matching", "ddpm"),
)

if __name__ == "__main__":
    run_trainer(TRAINER)
