"""Models: short name -> "module:Class"."""

CATALOGUE = {
    "cae_baseline": "models.cae_baseline:CAEBaseline",
    "linear_autoencoder": "models.linear_autoencoder:LinearAutoencoder",
    "linear_vae": "models.linear_vae:LinearVAE",
    "vae_baseline": "models.vae_baseline:VAEBaseline",
    "classifier_baseline": "models.classifier_baseline:ClassifierBaseline",
}
