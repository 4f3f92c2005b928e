"""General utilities, independent of GANs: files, tensors, images, devices, resumable loops and settings."""
