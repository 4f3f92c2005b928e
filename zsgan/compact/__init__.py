"""Adaptations as files of some kilobytes: low-rank differences, offsets of the styles, mixtures."""
