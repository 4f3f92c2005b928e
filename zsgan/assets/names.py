"""Names of generators, discriminators, encoders and CLIPs, and the weights that they refer to.

=====================  =============================================  =======================
name                   what it is                                     identified by
=====================  =============================================  =======================
generator-dog, dog     an entry of data_manifest.yaml                 the manifest's SHA-256
discriminator-dog      the discriminator trained with generator-dog   the manifest's SHA-256
encoder-dog            the encoder trained with generator-dog         the manifest's SHA-256
(none)                 the discriminator in the generator's own file  the file's SHA-256
                       (.pkl and .pt files of a training have one)
path/to/a/file         a file of the user                             the file's SHA-256
path/to/a/run          the adapted generator of a run                 the file's SHA-256
random-512             a generator of random weights, at the widths   its name
                       of the published ones of that size
clip-a                 a CLIP of the demo, an entry of the manifest   the manifest's SHA-256
ViT-B-32/openai        architecture/weights of open_clip              the manifest's SHA-256 if
                                                                      it has an entry of that
                                                                      name, else the name
ViT-B-32/path/to/file  weights in a file, for an architecture of      the file's SHA-256
                       open_clip
ViT-B-32/random        an architecture with random weights            its name
=====================  =============================================  =======================

Where the manifest knows alternatives to a file, such as another format of the same weights, its SHA-256 is
that of the file at hand. A path may begin with a tilde for the home folder.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from zsgan.assets import manifest
from zsgan.base.files import known_sha256
from zsgan.base.places import local_path

ADAPTED = "generator.safetensors"
"""File of the adapted generator in the folder of a run."""

NAME_A_DISCRIMINATOR = (
    "name one, or give its file: discriminator: FILE in the scenario, or --set few_shot.discriminator=FILE"
)


@dataclass(frozen=True)
class Weights:
    """Weights that a name refers to.

    Attributes:
        name: full name, such as "generator-dog" for "dog".
        asset: name of the manifest's entry, if there is one.
        file: the user's own file, if it is one.
        architecture: open_clip's architecture; empty for a generator and for the demo's CLIPs.
        pretrained: open_clip's name of the weights; empty for others.
        resolution: resolution of a random generator; 0 for others.
    """

    name: str
    asset: str | None = None
    file: Path | None = None
    architecture: str = ""
    pretrained: str = ""
    resolution: int = 0

    @property
    def identity(self) -> str:
        """SHA-256 of the file; the name for random weights and for weights known to open_clip only.

        Raises:
            AssetError: the hash of the manifest's file was not published, and it has not been downloaded yet.
        """
        if self.asset:
            return manifest.identity(self.asset)
        if self.file:
            return known_sha256(self.file)
        return f"open_clip:{self.name}" if self.architecture else self.name

    @property
    def network(self) -> str:
        """The identity, with open_clip's architecture before it, which the weights alone do not determine."""
        return f"{self.architecture}:{self.identity}"

    @property
    def path(self) -> Path | None:
        """The verified local file; ``None`` for random weights and for those that open_clip loads by name.

        Raises:
            AssetError: the manifest's file is missing or altered.
        """
        return manifest.path(self.asset) if self.asset else self.file

    def same_as(self, other: "Weights") -> bool:
        """Whether these are the same weights, perhaps under other names; compares hashes, or else names."""
        if self.asset and self.asset == other.asset:
            return True
        mine, theirs = (
            manifest.asset(one.asset).hashes if one.asset else [one.identity] for one in (self, other)
        )
        return not set(mine).isdisjoint(theirs)


def generator(name: str | Path) -> Weights:
    """The weights of a generator: an entry of the manifest, a file, or the folder of a run.

    The file is not read. A name that is none of these raises a ValueError.
    """
    if match := re.fullmatch(r"random-(8|16|32|64|128|256|512|1024)", str(name)):
        return Weights(str(name), resolution=int(match[1]))
    return _network("generator", name)


def discriminator(name: str | Path | None, source: Weights) -> Weights:
    """The weights of a source's discriminator.

    Args:
        name: an entry of the manifest with or without "discriminator-", or a file. ``None`` is the one that
            was trained with the source generator: the manifest's, or the one in the generator's own file
            unless that is a .safetensors; for a generator of random weights, one of random weights.
        source: the generator.

    Returns:
        the weights; the file is not read.

    Raises:
        ValueError: it is neither, or the source generator has none.
    """
    if name is not None:
        return _network("discriminator", name)
    asset = f"discriminator-{(source.asset or '').removeprefix('generator-')}"
    if asset in manifest.assets():
        return _network("discriminator", asset)
    file = manifest.asset(source.asset).path if source.asset else str(source.file)
    if source.resolution or Path(file).suffix != ".safetensors":  # such as .pkl, .pt, .pth
        return source
    raise ValueError(f"generator={source.name!r} comes without a discriminator; {NAME_A_DISCRIMINATOR}")


def encoder(name: str | Path | None, source: Weights) -> Weights:
    """The weights of an encoder, which reads the latents of a source generator in images.

    Args:
        name: an entry of the manifest with or without "encoder-", a file of pSp or e4e, or a .safetensors of
            the demo's training. ``None`` is the one that was trained with the source generator, if that is
            the demo's.
        source: the generator.

    Returns:
        the weights; the file is not read.

    Raises:
        ValueError: it is neither, or none was trained with the source generator.
    """
    if name is not None:
        return _network("encoder", name)
    asset = f"encoder-{(source.asset or '').removeprefix('generator-')}"
    if asset not in manifest.assets():
        raise ValueError(f"generator={source.name!r} comes without an encoder; name one: difa.encoder=FILE")
    return Weights(asset, asset=asset)


def _network(kind: str, name: str | Path) -> Weights:
    full = f"{kind}-{name}"
    asset = full if full in manifest.assets() else str(name)
    if asset.startswith(f"{kind}-") and asset in manifest.assets():
        return Weights(asset, asset=asset)
    place = local_path(name)
    if kind == "generator" and place.is_dir():
        place /= ADAPTED
        if not place.is_file():
            raise ValueError(f"{kind}={str(name)!r} is a folder without {ADAPTED}: it is no finished run")
    if place.is_file():
        return Weights(str(name), file=place)
    known = (
        ", ".join(key for key in manifest.assets() if key.startswith(f"{kind}-")) or "the manifest, with none"
    )
    if Path(name).name != str(name) or Path(name).suffix:
        raise ValueError(f"{kind}={str(name)!r}: there is no such file or run, and it is none of {known}")
    raise ValueError(f"{kind}={str(name)!r} is neither a file nor one of {known}")


def is_generator(name: str) -> bool:
    """Whether the manifest has a generator of that name."""
    return f"generator-{name}" in manifest.assets() or (
        name.startswith("generator-") and name in manifest.assets()
    )


def of_demo(name: str, identity: str) -> bool:
    """Whether a network belongs to the demo, that is, ships with zsgan under this name or identity."""
    shipped = {asset.name: asset.sha256 for asset in manifest.assets().values() if not asset.urls}
    return name in shipped or identity in shipped.values()


def clip(name: str) -> Weights:
    """The weights of a CLIP.

    Args:
        name: see the table above.

    Returns:
        the weights.

    Raises:
        ValueError: it is none of these, or names no weights, so that the CLIP would be random.
    """
    if name in demo_clips():
        return Weights(name, asset=name)
    architecture, _, weights = name.partition("/")
    if not weights or not architecture.strip(".") or architecture[0] == "~" or ":" in architecture:
        raise ValueError(
            f"clip {name!r} names no weights of open_clip; write architecture/weights, such as "
            "ViT-B-32/openai, architecture/FILE for weights in a file, or one of the demo's: "
            f"{', '.join(demo_clips())}"
        )
    if name in manifest.assets():
        return Weights(name, asset=name, architecture=architecture, pretrained=weights)
    if (file := local_path(weights)).is_file():
        return Weights(name, file=file, architecture=architecture)
    return Weights(name, architecture=architecture, pretrained="" if weights == "random" else weights)


def weights_id(name: str) -> str:
    """The identity of an entry of the manifest, a generator or a CLIP, see :class:`Weights`.

    A CLIP of open_clip has its architecture before it. An unknown name raises a ValueError.
    """
    if name in manifest.assets():
        return manifest.identity(name)
    return clip(name).network if "/" in name and not local_path(name).exists() else generator(name).identity


def demo_clips() -> list[str]:
    """Names of the demo's CLIPs."""
    return [name for name in manifest.assets() if name.startswith("clip-")]
