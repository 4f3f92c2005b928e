"""Files of the manifest that a profile needs."""

from zsgan.assets import names
from zsgan.menagerie.evaluator import Evaluator
from zsgan.networks.dinov2 import DINOV2
from zsgan.networks.vgg_inception import Photographs
from zsgan.runs.profiles import Profile

NETWORKS_OF_EYES = {"evaluator": Evaluator.networks, "photographs": Photographs.networks}
"""Name of the eyes -> the manifest's names of their networks."""


def files_of(profile: Profile) -> list[str]:
    """Names of the manifest's files that a profile's runs and their measurement need, sorted.

    Args:
        profile: the profile. Rows that images guide count where the scenario has images of its target.

    Returns:
        the names, without networks that are not in the manifest, such as random ones.

    Raises:
        ValueError: the profile names an unknown network.
    """
    needed = [names.clip(profile.judge)]
    compared = any(scenario.truth for scenario in profile.scenarios.values())
    dinov2 = [DINOV2] if "fd_dinov2" in profile.measures and compared else []
    for scenario, row, _ in profile.grid:
        config = profile.config(scenario, row)
        source = names.generator(config.generator)
        if config.few_shot is None:
            needed += [source, *map(names.clip, config.clips)]
            needed += [names.encoder(config.difa.encoder, source)] if config.difa else []
        else:
            needed += [source, names.discriminator(config.few_shot.discriminator, source)]
    return sorted(
        {*NETWORKS_OF_EYES[profile.eyes], *dinov2, *(found.asset for found in needed if found.asset)}
    )
