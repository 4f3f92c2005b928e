"""The runs of a profile and the files of weights that they need, and which of them are there."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from zsgan.adaptation.config import AdaptConfig
from zsgan.assets import manifest, names
from zsgan.assets.manifest import AssetError
from zsgan.runs.identity import resolve
from zsgan.runs.profiles import Profile


@dataclass(frozen=True)
class Wanted:
    """A run of a profile.

    Attributes:
        scenario: one of the profile's.
        row: one of the profile's.
        seed: seed of the run.
        config: its configuration.
        at_hand: the same with random weights where files are missing, of the same shapes.
        id: id of the run; ``None`` as long as the hash of a missing file is unknown.
        finished: whether the folder of runs has it.
    """

    scenario: str
    row: str
    seed: int
    config: AdaptConfig
    at_hand: AdaptConfig
    id: str | None
    finished: bool


@dataclass(frozen=True)
class File:
    """A file of weights.

    Attributes:
        name: its name in the manifest.
        bytes: its size; ``None`` if unknown.
        there: whether it is on this machine.
    """

    name: str
    bytes: int | None
    there: bool


def wanted(profiles: Mapping[str, Profile], folder: Path) -> list[Wanted]:
    """The runs of some scenarios.

    Args:
        profiles: scenario -> profile that has this scenario alone.
        folder: folder of runs.

    Returns:
        the runs, in the order of the table.

    Raises:
        ValueError: a generator's file is missing, and the scenario does not say its resolution.
    """
    found = []
    for scenario, profile in profiles.items():
        for _, row, seed in profile.grid:
            config = profile.config(scenario, row, seed)
            id_ = known_id(config)
            made = id_ is not None and (folder / id_ / "provenance.json").exists()
            stand_in = at_hand(config, profile.scenarios[scenario].resolution)
            found.append(Wanted(scenario, row, seed, config, stand_in, id_, made))
    return found


def known_id(config: AdaptConfig) -> str | None:
    """Id of a run; ``None`` as long as a file is missing whose hash is not published."""
    try:
        return resolve(config).id
    except AssetError:
        return None


def at_hand(config: AdaptConfig, resolution: int | None) -> AdaptConfig:
    """A configuration whose networks are here: random ones of the same shapes in place of missing files.

    Args:
        config: the configuration.
        resolution: pixels a side of the generator.

    Returns:
        the configuration.

    Raises:
        ValueError: the generator's file is missing, and its resolution is not known.
    """
    source, shots = names.generator(config.generator), config.few_shot
    needed = [source.asset]
    if shots is not None:
        needed.append(names.discriminator(shots.discriminator, source).asset)
    if config.difa is not None:
        needed.append(names.encoder(config.difa.encoder, source).asset)
    if not all(map(_is_here, needed)):
        if resolution is None:
            raise ValueError(
                f"generator={config.generator!r} is not here, and its scenario does not say the resolution; "
                f"add it to the profile, such as resolution: 512. {manifest.asset(str(source.asset)).remedy}"
            )
        shots = None if shots is None else replace(shots, discriminator=None)
        config = replace(config, generator=f"random-{resolution}", few_shot=shots)
    return config if shots else replace(config, clips=tuple(map(clip_at_hand, config.clips)))


def clip_at_hand(name: str) -> str:
    """The CLIP's name, or that of a random one of its architecture if its file is missing."""
    known = names.clip(name)
    return name if known.file or (known.asset and _is_here(known.asset)) else f"{known.architecture}/random"


def files(assets: Iterable[str]) -> list[File]:
    """Files of the manifest by name, each once."""
    return [File(name, manifest.asset(name).bytes, _is_here(name)) for name in dict.fromkeys(assets)]


def _is_here(asset: str | None) -> bool:
    return asset is None or manifest.asset(asset).file.is_file()
