"""A job: a configuration whose names are resolved, and the id that follows from its content."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from zsgan.adaptation.by_text import NUMERICS
from zsgan.adaptation.config import AdaptConfig, is_plugged
from zsgan.adaptation.plugged import plugged
from zsgan.adaptation.rival_settings import Local
from zsgan.adaptation.selective import encoder_of
from zsgan.adaptation.targets import targets, targets_key
from zsgan.adaptation.terms import needs
from zsgan.assets import names
from zsgan.assets.names import Weights
from zsgan.networks.load import load_generator
from zsgan.networks.stylegan2 import Generator
from zsgan.rivals.layer_selection import check_k


@dataclass(frozen=True)
class Job:
    """A configuration with its names resolved once, so that hashing and loading agree.

    Attributes:
        config: the requested configuration, with full names of weights.
        generator: the source generator's weights.
        clips: those of the guiding CLIPs; none if images guide.
        discriminator: that of the source, if images guide.
        weights: name -> SHA-256 of each network's weights.
        id: hash of everything that determines the result, and of nothing else: contents of files rather than
            their names, and no settings of unused terms, unless there are plug-ins.
        content: what the id covers besides the settings: the contents of networks and images, the version of
            the numerics, and the source code of plug-ins.
    """

    config: AdaptConfig
    generator: Weights
    clips: Sequence[Weights]
    discriminator: Weights | None
    weights: Mapping[str, str]
    id: str
    content: Mapping[str, Any]

    @property
    def sources(self) -> dict[str, str]:
        """Plug-ins by their names in the configuration -> SHA-256 of their files."""
        return {name: self.content["sources"][_function(name)] for name in self.config.plugs}

    @property
    def identity(self) -> dict[str, Any]:
        """Identity of the finished run, independent of when and where it is made."""
        return {
            "id": self.id,
            "config": asdict(self.config),
            "weights": dict(self.weights),
            "numerics": NUMERICS,
        }


def resolve(config: AdaptConfig | Job) -> Job:
    """Look up every name of a configuration.

    Args:
        config: the configuration, or a job, which is returned as it is.

    Returns:
        the job.

    Raises:
        ValueError: a name is neither in the manifest nor a file nor one of open_clip's; there are too few
            target images; or a plug-in does not exist.
        TypeError: ``config`` is not a configuration, but for instance a mapping.
    """
    if isinstance(config, Job):
        return config
    if not isinstance(config, AdaptConfig):
        raise TypeError(
            f"config must be an AdaptConfig, got a {type(config).__name__}; AdaptConfig(generator=..., "
            "source_text=..., target_text=...) makes one"
        )
    generator = names.generator(config.generator)
    content: dict[str, Any] = {"generator": generator.identity, "numerics": NUMERICS}
    if config.plugs:  # a change of their code changes the id
        content["sources"] = {_function(name): plugged(name).source for name in config.plugs}
    clips: list[Weights] = []
    discriminator: Weights | None = None
    encoder: Weights | None = None
    if config.few_shot is None:
        clips = [names.clip(name) for name in config.clips]
        content["clips"] = [clip.network for clip in clips]
        if config.difa is not None:
            encoder = names.encoder(config.difa.encoder, generator)
            content["encoder"] = encoder.identity
    else:
        discriminator = names.discriminator(config.few_shot.discriminator, generator)
        content |= {
            "discriminator": discriminator.identity,
            "target images": targets_key(config.few_shot),
        }
    config = replace(config, generator=generator.name)
    others = [discriminator] if discriminator else [*clips, *([encoder] if encoder else [])]
    weights = {found.name: found.identity for found in (generator, *others)}
    return Job(config, generator, clips, discriminator, weights, run_id(config, content), content)


def run_id(config: AdaptConfig, content: Mapping[str, Any]) -> str:
    """The id of a run; ``content`` is that of :class:`Job`."""
    return digest({**relevant(config), **content})


def check(configs: Sequence[AdaptConfig]) -> list[Job]:
    """Refuse configurations that cannot run, before any of them starts.

    Args:
        configs: the configurations.

    Returns:
        their jobs.

    Raises:
        ValueError: a name is unknown, the generator has fewer layers than are to be selected, an encoder
            belongs to another generator, or target images are too few, unreadable or not square.
        FileNotFoundError: the file of a name is missing.
    """
    jobs = [resolve(config) for config in configs]
    generators: dict[Weights, Generator] = {}
    for job in jobs:
        config = job.config
        if config.selection is None and config.few_shot is None and config.difa is None:
            continue
        if job.generator not in generators:
            generators[job.generator] = load_generator(job.generator)
        generator = generators[job.generator]
        if config.few_shot is not None:
            targets(config.few_shot, generator.config["resolution"])
        if config.difa is not None:
            encoder_of(config, generator)
        if config.selection is not None:
            try:
                check_k(config.selection.k, generator.synthesis.n_ws, config.selection.layer_map)
            except ValueError as error:
                raise ValueError(f"generator {config.generator!r}: selection.{error}") from None
    return jobs


def relevant(config: AdaptConfig) -> dict[str, Any]:
    """The settings that affect the result, without names of weights and paths of images."""
    values = asdict(config) | {"terms": terms_key(config)}
    if not config.optimiser.stop_at_plateau:  # keeps the ids from before this switch existed
        del values["optimiser"]["stop_at_plateau"]
    del values["speed"]
    speed = {"speed": config.speed.chosen} if config.speed.chosen else {}  # as above
    if config.few_shot is not None:
        of_images = {name: values[name] for name in ("few_shot", "optimiser", "shared_noise", "seed")}
        for name in ("discriminator", "target"):
            del of_images["few_shot"][name]
        return of_images | speed
    del values["few_shot"]
    for name in ("air", "difa", "ipl"):  # as above
        if values[name] is None:
            del values[name]
    if config.difa is not None:
        del values["difa"]["encoder"]
    if config.air is not None and config.air.learned == "all":  # as above
        del values["air"]["learned"]
    if config.ipl is not None and not config.ipl.activated:  # as above
        del values["ipl"]["activated"]
    for name in ("guide", "trainer"):
        if (plug := values.pop(name)) is not None:
            values[name] = _function(plug)
    for name in ("generator", "clips"):
        del values[name]
    if not config.features.crops:  # as above
        del values["features"]["crops"]
    if not config.spectral.balanced:  # as above
        del values["spectral"]["balanced"]
    if not ("local" in config.weights or (config.plugs and config.local != Local())):  # as above
        del values["local"]
    for group in ("stage1", "moment", "relation", "ewc", "spectral"):
        if not (config.plugs or needs(config, group)):  # plug-ins may read any, and their files may be gone
            del values[group]
    return values | speed


def terms_key(config: AdaptConfig) -> dict[str, Any]:
    """The terms and their weights; plugged-in ones by function and settings, without their path."""
    return {
        (f"plugged {_function(name)}" if is_plugged(name) else name): (
            {"weight": weight, **config.settings_of(name)} if is_plugged(name) else weight
        )
        for name, weight in config.weights.items()
    }


def _function(term: str) -> str:
    return term.rpartition(":")[2]


def digest(value: Any) -> str:
    """Hash of a JSON value, 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
