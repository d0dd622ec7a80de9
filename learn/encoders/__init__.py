"""Encoders of masks: autoencoder, variational autoencoder, Bi-half hash (Ezhov et al. 2022)."""
