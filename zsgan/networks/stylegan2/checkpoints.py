"""Loading and saving of StyleGAN2 weights in the public formats and in our own; loading executes no code.

- "ada": pickles of NVlabs/stylegan2-ada-pytorch, of StyleGAN2s trained by NVlabs/stylegan3, or a state dict.
- "rosinality": files of rosinality/stylegan2-pytorch, converted or trained, of its successors (encoders,
  BasicSR), or a state dict.
- Our safetensors files hold the tensors and, in the header, the configuration of the network and the
  provenance of the weights.
"""

import io
import logging
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, TypeVar, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from zsgan.assets.pickles import read
from zsgan.assets.torchfiles import LEGACY_HEAD, read_legacy, read_zip
from zsgan.base.files import write_atomically
from zsgan.base.streams import seeded
from zsgan.base.tensors import load_tensors, save_tensors
from zsgan.networks.stylegan2.arguments import (
    DISCRIMINATOR,
    GENERATOR,
    complete,
    discriminator_arguments,
    generator_arguments,
)
from zsgan.networks.stylegan2.contents import find, loaded
from zsgan.networks.stylegan2.descriptions import described, of_head
from zsgan.networks.stylegan2.discriminator import Discriminator
from zsgan.networks.stylegan2.generator import Generator
from zsgan.networks.stylegan2.layouts import (
    check_square,
    discriminator_tensors,
    generator_tensors,
    one_mean,
    rosinality_noises,
    to_rosinality,
)
from zsgan.networks.stylegan2.nvidia import MAKERS

log = logging.getLogger(__name__)

W_AVG_SAMPLES = 4096
SEED = 0  # for the mean w and the noise maps if a rosinality file lacks them

Network = TypeVar("Network", Generator, Discriminator)


def save(module: Generator | Discriminator, path: Path, provenance: Mapping[str, Any]) -> None:
    """Write a network, its buffers and the provenance of its weights to one of our safetensors files."""
    save_tensors(module.state_dict(), path, config=module.config, provenance=provenance)


def save_rosinality(generator: Generator, path: Path) -> None:
    """Write a generator in rosinality's format, {"g_ema": ..., "latent_avg": ...}.

    That implementation has no clamp; if this generator has one, a warning says that it is lost.

    Args:
        generator: a generator of architecture "skip", without labels.
        path: the file to write, atomically.

    Raises:
        ValueError: that implementation has no such generator.
    """
    content = {"g_ema": to_rosinality(generator), "latent_avg": generator.mapping.w_avg.detach().clone()}
    if (clamp := generator.config["conv_clamp"]) is not None:
        log.warning("%s: activations are not clamped to %s there, so large ones will differ", path, clamp)
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomically(path, buffer.getbuffer())


def load_generator_file(path: Path | str) -> Generator:
    """Read a generator from a file of any known format: float32, on the CPU, in evaluation mode.

    The format is recognised by content: safetensors, ours or a state dict; a pickle of stylegan2-ada-pytorch;
    a file of torch.save (zip or older container). In all but our files, the generator is found by the names
    of its tensors, at any place; of several, the averaged one is taken, such as G_ema or g_ema. Nothing in a
    file is executed; memory and time are bounded by its size.

    Args:
        path: the file.

    Returns:
        the generator.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or holds no generator.
    """
    return _load_file(Generator, Path(path))


def load_discriminator_file(path: Path | str) -> Discriminator:
    """As ``load_generator_file``, for a discriminator, which public files call D or d."""
    return _load_file(Discriminator, Path(path))


def random_generator(resolution: int) -> Generator:
    """A generator with random weights (seed 0) and the shapes of the published ones, to measure costs.

    Args:
        resolution: R, a power of two, at least 8.

    Returns:
        the generator, with widths 32768 / r up to 512, a clamp of 256, and noise strength 0.1.
    """
    with seeded(SEED), torch.device("cpu"):
        generator = Generator(resolution, channels=_widths(resolution), conv_clamp=256.0).eval()
    with torch.no_grad():
        for layer in generator.synthesis.convolutions:
            layer.noise_strength.fill_(0.1)
    return generator


def random_discriminator(resolution: int) -> Discriminator:
    """The discriminator of :func:`random_generator`, at the same widths."""
    with seeded(SEED), torch.device("cpu"):
        return Discriminator(resolution, channels=_widths(resolution), conv_clamp=256.0).eval()


def _widths(resolution: int) -> dict[int, int]:
    """Channels of the published networks: 32768 / r up to 512."""
    return {2**i: min(32768 // 2**i, 512) for i in range(2, resolution.bit_length())}


def convert(
    state_dict: Mapping[str, Tensor],
    layout: str = "ada",
    *,
    latent_avg: Tensor | None = None,
    **init_kwargs: Any,
) -> Generator:
    """Build a generator from the state dict of a public implementation.

    Sizes, architecture and the placement of the demodulation's epsilon follow from tensors and layout. Other
    arguments must be given, above all the clamp, which is 256 in NVIDIA's released files.

    Args:
        state_dict: the tensors under the names of that implementation.
        layout: "ada" or "rosinality".
        latent_avg: (D_w,), (1, D_w) or (L, D_w) with equal rows, the mean w that rosinality's files keep
            beside the state dict; None for the mean of 4096 w drawn with a fixed seed. Not for "ada", which
            has it among the tensors.
        **init_kwargs: arguments of that implementation's constructor. For "ada": z_dim, c_dim, w_dim,
            img_resolution, img_channels, mapping_kwargs and synthesis_kwargs, or the entries of these two;
            for "rosinality": size, style_dim, n_mlp... They must agree with the tensors.

    Returns:
        the generator, float32, on the CPU, in evaluation mode.

    Raises:
        ValueError: the layout or an argument is unknown or contradicts the tensors, or a tensor is
            missing, superfluous or of the wrong shape.
    """
    tensors = generator_tensors(state_dict, layout)
    check_square(tensors)
    if layout == "ada" and latent_avg is not None:
        raise ValueError('latent_avg is for layout "rosinality"; "ada" has mapping.w_avg in the state dict')
    config = complete(generator_arguments(tensors, layout), init_kwargs, GENERATOR[layout])
    if layout == "ada":
        if not (init_kwargs | init_kwargs.get("synthesis_kwargs", {})).get("use_noise", True):
            tensors |= _idle_noise(config["resolution"])
        return _build(Generator, config, tensors)

    random = torch.Generator().manual_seed(SEED)
    for name in rosinality_noises(config["resolution"]):
        r = int(name.split(".")[2])
        tensors.setdefault(name, torch.randn(r, r, generator=random))
    tensors["mapping.w_avg"] = torch.zeros(config["w_dim"]) if latent_avg is None else one_mean(latent_avg)
    generator = _build(Generator, config, tensors)
    if latent_avg is None:
        with torch.no_grad():
            z = torch.randn(W_AVG_SAMPLES, generator.mapping.z_dim, generator=random)
            generator.mapping.w_avg.copy_(generator.mapping(z)[:, 0].mean(0))
    return generator


def convert_discriminator(
    state_dict: Mapping[str, Tensor], layout: str = "ada", **init_kwargs: Any
) -> Discriminator:
    """As ``convert``, for a discriminator."""
    tensors = discriminator_tensors(state_dict, layout)
    config = complete(discriminator_arguments(tensors), init_kwargs, DISCRIMINATOR[layout])
    return _build(Discriminator, config, tensors)


def _load_file(network: type[Network], path: Path) -> Network:
    with path.open("rb") as file:
        head, size = file.read(300), path.stat().st_size
        ours = head[8:9] == b"{" and not _is_foreign(path)
        if ours:
            tensors, config, _ = load_tensors(path)
        try:
            if ours:
                module = _of_ours(network, config, tensors)
            elif head[8:9] == b"{":
                module = _found(network, load_file(path), size, path)
            elif head.startswith(b"PK\x03\x04"):
                module = _found(network, read_zip(file, size, MAKERS), size, path)
            elif head.startswith(b"\x80"):
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                    content = cast(IO[bytes], mapped)  # cannot allocate more than the file's size
                    legacy = LEGACY_HEAD in head[:16]
                    contents = read_legacy(content, size, MAKERS) if legacy else read(content, MAKERS)
                    module = _found(network, contents, size, path)
            else:
                raise ValueError(of_head(head))
            if not all(tensor.isfinite().all() for tensor in module.state_dict().values()):
                raise ValueError("some of its numbers are not finite")
        except (MemoryError, torch.OutOfMemoryError):  # not the file's fault
            raise
        except Exception as error:  # damaged or hostile files cause many kinds of errors
            raise ValueError(f"{path} does not hold a {network.__name__}: {error}") from error
    return module


def _is_foreign(path: Path) -> bool:
    """Whether a safetensors file lacks our header; False if it is damaged, which ``load_tensors`` reports."""
    try:
        with safe_open(path, framework="pt") as file:
            return "config" not in (file.metadata() or {})
    except SafetensorError:
        return False


def _of_ours(network: type[Network], config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Network:
    if network is Generator:
        check_square(tensors)
    try:
        return _build(network, config, tensors)
    except TypeError as error:
        raise ValueError(f"it is another network of zsgan's. {described(dict(tensors))}") from error


def _found(network: type[Network], contents: Any, size: int, path: Path) -> Network:
    """The network in a file; refuses tensors larger than the file."""
    part = find(contents, network.__name__, path)
    if sum(tensor.nbytes for tensor in part.tensors.values()) > size:
        raise ValueError("the tensors declare more numbers than the file has")
    arguments = dict(part.arguments or {})
    if part.layout == "ada" and part.arguments is None:
        log.warning(
            "%s does not say to which value activations are clamped (256 in NVIDIA's own networks), so they "
            "are not: images with larger activations differ",
            path,
        )
    if network is Generator and part.layout == "rosinality" and part.latent_avg is not None:
        arguments["latent_avg"] = loaded(part.latent_avg)
    build: Any = convert if network is Generator else convert_discriminator
    tensors = {name: loaded(tensor) for name, tensor in part.tensors.items()}
    module: Network = build(tensors, part.layout, **arguments)
    return module


def _build(network: type[Network], config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Network:
    """The network of a configuration with the given tensors, in evaluation mode.

    The state of PyTorch's default random generator does not change.

    Raises:
        ValueError: a tensor is missing, superfluous or of the wrong shape; raised before memory is
            allocated for the network.
    """
    layers = config.get("mapping_layers", 0)
    if layers > len(tensors):
        raise ValueError(f"mapping_layers={layers} does not fit {len(tensors)} tensors")
    try:
        with torch.device("meta"):  # shapes without memory
            network(**config).load_state_dict(dict(tensors), assign=True)
    except RuntimeError as error:
        raise ValueError(f"the tensors do not fit the {network.__name__}: {error}") from error
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        module = network(**config)
    module.load_state_dict(dict(tensors))
    return module.eval()


def _idle_noise(resolution: int) -> dict[str, Tensor]:
    """Noise of strength 0, for a generator built without noise (``use_noise=False``)."""
    maps = {name: int(name.split(".")[2]) for name in rosinality_noises(resolution)}
    strengths = {name.replace("noise_const", "noise_strength"): torch.zeros(()) for name in maps}
    return {name: torch.zeros(r, r) for name, r in maps.items()} | strengths
