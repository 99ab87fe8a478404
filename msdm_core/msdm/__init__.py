"""The MSDM model family: autoencoder, text encoder, denoiser, sampler and pipeline."""
