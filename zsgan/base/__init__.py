"""What knows nothing of GANs: files, tensors, images, devices, resumable loops and checked settings."""
