"""Models, each a ``torch.nn.Module`` that knows nothing of data sets, losses and engines.

Imports foundation at most; at present torch alone. Add one architecture per file, with a line in the catalogue here:
short name -> "module:Class".
"""

CATALOGUE = {
    "cae_baseline": "firebox.models.cae_baseline:CAEBaseline",
    "gan_baseline": "firebox.models.gan_baseline:GANBaseline",
    "linear_autoencoder": "firebox.models.linear_autoencoder:LinearAutoencoder",
    "linear_vae": "firebox.models.linear_vae:LinearVAE",
    "vae_baseline": "firebox.models.vae_baseline:VAEBaseline",
    "classifier_baseline": "firebox.models.classifier_baseline:ClassifierBaseline",
    "timm": "firebox.models.timm:Timm",
    "diffusion_unet": "firebox.models.diffusion_unet:DiffusionUNet",
    "unet_baseline": "firebox.models.unet_baseline:UNetBaseline",
    "denoising_baseline": "firebox.models.denoising_baseline:DenoisingBaseline",
    "vqvae_baseline": "firebox.models.vqvae_baseline:VQVAEBaseline",
}
