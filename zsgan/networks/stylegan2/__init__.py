"""StyleGAN2: the generator that the paper adapts, its discriminator, and their checkpoints."""

from zsgan.networks.stylegan2.discriminator import Discriminator
from zsgan.networks.stylegan2.generator import Generator

__all__ = ["Discriminator", "Generator"]
