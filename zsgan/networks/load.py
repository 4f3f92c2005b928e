"""Generators and CLIPs by name."""

from pathlib import Path
from pkgutil import resolve_name

import torch

from zsgan.assets import manifest, names
from zsgan.assets.names import Weights
from zsgan.networks.clip import ClipEncoder, open_clip_encoder
from zsgan.networks.differences import Differences, load_differences
from zsgan.networks.stylegan2.checkpoints import (
    load_discriminator_file,
    load_generator_file,
    random_discriminator,
    random_generator,
)
from zsgan.networks.stylegan2.discriminator import Discriminator
from zsgan.networks.stylegan2.generator import Generator


def load_generator(name_or_path: str | Path | Weights, device: torch.device | str = "cpu") -> Generator:
    """A generator in evaluation mode.

    Args:
        name_or_path: "dog", "generator-dog", "random-512", or a file: a .pkl of stylegan2-ada-pytorch, a
            rosinality .pt, or a zsgan .safetensors, whole or of differences from another generator,
            recognised by content; see :mod:`zsgan.assets.names`. Or the weights that a name was resolved to.
        device: where to put it.

    Returns:
        the generator, in float32, unconditional, with square RGB images.

    Raises:
        TypeError: ``name_or_path`` is neither a string nor a path.
        ValueError: it is neither a name nor a file, not a generator, or its images are not square RGB.
        FileNotFoundError: the file of a name is missing or altered.
    """
    _check_type(name_or_path=name_or_path)
    found = _generator(name_or_path)
    if found.resolution:
        return random_generator(found.resolution).to(device)
    assert found.path is not None  # only random weights have no file
    generator = read_generator(found.path)
    check_adaptable(generator, found.name)
    return generator.to(device)


def read_generator(path: Path) -> Generator:
    """A generator from a file of any format, whole or of differences from a generator that is at hand.

    Args:
        path: the file; see :func:`zsgan.networks.stylegan2.checkpoints.load_generator_file` for whole ones.

    Returns:
        the generator in float32, on the CPU, in evaluation mode.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or holds no generator, or the source of its differences is not here.
    """
    if not path.is_file() or (stored := load_differences(path)) is None:
        return load_generator_file(path)
    generator = load_generator(source_of(path, stored))
    stored.add_to(generator)
    return generator


def source_of(path: Path | str, stored: Differences) -> Weights:
    """The source of a file of differences.

    Args:
        path: the file, for messages.
        stored: its content.

    Returns:
        the source's weights.

    Raises:
        ValueError: the source is not here, or has changed since.
    """
    try:
        source = names.generator(stored.source)
    except ValueError as error:
        raise ValueError(
            f"{path} holds differences from {stored.source}, which is not here ({error}); zsgan mix {path} "
            "--generator SOURCE --out WHOLE adds them to the file that you name"
        ) from None
    if source.identity != stored.identity:
        raise ValueError(
            f"{path} holds differences from another {stored.source} than the one here: its weights have "
            "changed since. Get the generator that it was made from"
        )
    return source


def check_adaptable(generator: Generator, name: str | Path) -> None:
    """Check that a generator, called ``name`` in the message, is unconditional and makes RGB images."""
    config = generator.config
    if labels := config["c_dim"]:
        raise ValueError(
            f"generator={str(name)!r} is conditional, on labels of {labels} numbers; neither the method nor "
            "the commands know labels: take an unconditional one"
        )
    if (channels := config["image_channels"]) != 3:
        raise ValueError(
            f"generator={str(name)!r} makes images of {channels} channel{'s' * (channels != 1)}; CLIP and "
            "all measures see 3, RGB: take a generator of RGB images"
        )


def of_demo(generator: Generator) -> bool:
    """Whether a generator is one of the demo's by its noise maps, which converting and adapting keep."""
    return any(_same(_noise(generator), _noise(one)) for one in _shipped().values())


def demo_source(generator: Generator) -> str | None:
    """Name of the demo's generator that this one is or was adapted from, such as "generator-dog".

    All generators of the demo have the same noise maps; their mean w, which adapting keeps, tells them apart.

    Args:
        generator: any generator.

    Returns:
        the name; ``None`` for all others.
    """
    for name, one in _shipped().items():
        mean, own = (each.mapping.w_avg.cpu() for each in (generator, one))
        if _same(_noise(generator), _noise(one)) and torch.allclose(mean, own, atol=1e-3):
            return name
    return None


def _shipped() -> dict[str, Generator]:
    """The demo's generators by name."""
    entries = manifest.assets().items()
    return {name: load_generator(name) for name, e in entries if name.startswith("generator-") and not e.urls}


def check_of_demo(generator: str) -> None:
    """Refuse the default CLIPs and settings, those of the demo, for generators outside the demo.

    Args:
        generator: name, file or run, see :mod:`zsgan.assets.names`; converted, adapted and random generators
            of the demo pass, too.

    Raises:
        ValueError: the generator is not of the demo world.
        FileNotFoundError: the file of the name is missing.
    """
    found = names.generator(generator)
    if found.resolution or (found.asset and names.of_demo(found.asset, "")):
        return
    if found.asset or not of_demo(load_generator(generator)):
        raise ValueError(
            f"generator={generator!r} is not of the demo world, whose CLIPs and settings are the default; "
            "give a profile: --profile paper for photographs, --profile demo for drawings such as the demo's"
        )


def _noise(generator: Generator) -> list[torch.Tensor]:
    return [value.cpu() for name, value in generator.named_buffers() if name.endswith("noise_const")]


def _same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return len(one) == len(other) and all(map(torch.equal, one, other))


def load_discriminator(
    name_or_path: str | Path | Weights | None,
    source: str | Path | Weights,
    device: torch.device | str = "cpu",
) -> Discriminator:
    """The discriminator of a source generator, in evaluation mode.

    Args:
        name_or_path: "dog", "discriminator-dog", a .pkl, .pt or .safetensors file, or its weights; ``None``
            for the source's own, see :func:`zsgan.assets.names.discriminator`.
        source: the generator, see :func:`load_generator`.
        device: where to put it.

    Returns:
        the discriminator, in float32.

    Raises:
        TypeError: a name is neither a string nor a path.
        ValueError: it is neither a name nor a file, not a discriminator, or the source has none.
        FileNotFoundError: the file of a name is missing or altered.
    """
    _check_type(source=source, **({} if name_or_path is None else {"name_or_path": name_or_path}))
    of_source = _generator(source)
    found = name_or_path
    if not isinstance(found, Weights):
        found = names.discriminator(found, of_source)
    if found.resolution:
        return random_discriminator(found.resolution).to(device)
    assert found.path is not None  # only random weights have no file
    try:
        return load_discriminator_file(found.path).to(device)
    except ValueError as error:
        if found != of_source:
            raise
        raise ValueError(f"{error}; {names.NAME_A_DISCRIMINATOR}") from error


def load_clip(name: str | Weights, device: torch.device | str = "cpu") -> ClipEncoder:
    """A frozen CLIP.

    Args:
        name: "clip-a", "clip-b" or "clip-c" for the demo's, or an architecture of open_clip such as
            "ViT-B-32", alone (with random weights) or with weights as in "ViT-B-32/openai" or
            "ViT-B-32/FILE"; see :mod:`zsgan.assets.names`. Or the weights that a name was resolved to.
        device: where to put it.

    Returns:
        the encoder, in float32.

    Raises:
        TypeError: ``name`` is neither a string nor weights.
        ValueError: there is no such model.
        FileNotFoundError: the file of a name is missing or altered.
    """
    if isinstance(name, Weights):
        return _clip(name, device)
    if not isinstance(name, str):
        raise TypeError(f"name must be a text such as 'clip-a' or 'ViT-B-32/openai', got {name!r:.80}")
    if name in names.demo_clips():
        return _clip(names.clip(name), device)
    if name.startswith("clip-"):
        raise ValueError(f"name={name!r} is no CLIP of the demo, which has {', '.join(names.demo_clips())}")
    if not name or name.startswith("/") or Path(name).is_file():
        raise ValueError(
            f"name={name!r} names no architecture; write one and then its weights, such as ViT-B-32/openai "
            f"or ViT-B-32/{name or 'FILE'}, or one of the demo's: {', '.join(names.demo_clips())}"
        )
    if "/" not in name or ":" in name:  # no weights, or open_clip's "hf-hub:..." and "local-dir:..."
        return open_clip_encoder(name, None, device)
    return _clip(names.clip(name), device)


def _clip(found: Weights, device: torch.device | str) -> ClipEncoder:
    if found.architecture:
        return open_clip_encoder(found.architecture, found.pretrained or None, device, found.path)
    load = resolve_name(manifest.asset(found.name).loader)
    encoder: ClipEncoder = load(found.name)
    return encoder.to(device)


def _generator(name: str | Path | Weights) -> Weights:
    return name if isinstance(name, Weights) else names.generator(name)


def _check_type(**named: object) -> None:
    """Check that the arguments are strings or paths."""
    for argument, value in named.items():
        if not isinstance(value, (str, Path, Weights)):
            raise TypeError(f"{argument} must be a name or the path of a file, got {value!r:.80}")
