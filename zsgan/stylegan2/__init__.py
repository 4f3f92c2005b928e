"""StyleGAN2: the generator that the paper adapts, its discriminator, and their checkpoints."""

from zsgan.stylegan2.discriminator import Discriminator
from zsgan.stylegan2.generator import Generator

__all__ = ["Discriminator", "Generator"]
