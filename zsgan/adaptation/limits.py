"""Lower bounds of the memory of an adaptation, by setting, to refuse those that can never fit."""

from torch import Tensor

from zsgan.adaptation.config import AdaptConfig
from zsgan.adaptation.guide import device_of, trained_parameters
from zsgan.adaptation.terms import needs
from zsgan.base.device import check_memory
from zsgan.networks.stylegan2 import Generator

_FLOAT = 4  # bytes


def check_size(config: AdaptConfig, g_src: Generator) -> None:
    """Refuse a configuration with a setting too large for the memory of the generator's device.

    Args:
        config: the configuration.
        g_src: source generator.

    Raises:
        ValueError: a setting is too large; the message names it and the bytes that it needs at least.
    """
    check_memory(_least(config, g_src), device_of(g_src))


def check_steps(config: AdaptConfig, features: list[Tensor]) -> None:
    """Refuse a number of steps whose source features do not fit.

    Args:
        config: the configuration.
        features: one feature (D,) of each guide.

    Raises:
        ValueError: there are too many steps.
    """
    n, batch = config.optimiser.iterations, config.optimiser.batch_size
    least = n * batch * sum(feature.nbytes for feature in features)
    check_memory({f"optimiser.iterations={n}": least}, features[0].device)


def _least(config: AdaptConfig, g_src: Generator) -> dict[str, int]:
    """Setting with its value -> bytes of its largest tensors."""
    size, batch = g_src.config["resolution"], config.optimiser.batch_size
    channels = g_src.config["channels"].items()
    image = 3 * size**2 * _FLOAT
    maps = sum(int(side) ** 2 * width * _FLOAT for side, width in channels)  # of one image, all resolutions
    latent = g_src.synthesis.n_ws * g_src.synthesis.w_dim * _FLOAT
    least = {f"optimiser.batch_size={batch}": batch * maps}
    if (shots := config.few_shot) is not None:
        return least | {
            f"few_shot.images={shots.images}": shots.images * image,
            f"few_shot.distance_batch={shots.distance_batch}": shots.distance_batch * maps,
        }
    if config.features.crops:
        least[f"features.crops={config.features.crops}"] = config.features.crops * batch * image
    if config.selection is not None:
        n = config.selection.batch_size
        least[f"selection.batch_size={n}"] = n * maps
    if needs(config, "ewc"):
        least[f"ewc.samples={config.ewc.samples}"] = config.ewc.samples * latent
        if config.ewc.estimator == "empirical":  # a gradient for each sample of a batch
            trained = trained_parameters(g_src, config.trainable).values()
            least[f"optimiser.batch_size={batch}"] += batch * sum(p.nbytes for p in trained)
    if needs(config, "spectral"):
        n = config.spectral.probes
        least[f"spectral.probes={n}"] = n * batch * latent
    if needs(config, "stage1"):
        n = config.stage1.n_variations
        least[f"stage1.n_variations={n}"] = n**2 * _FLOAT  # cosines of all pairs
    return least
