"""From bytes to networks: StyleGAN2, CLIP, VGG-16 and Inception-v3, loaded by name and sampled."""
