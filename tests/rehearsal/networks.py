"""Small networks in the published formats, under the addresses of the manifest.

Generators keep the published resolutions and layers, at a few channels. CLIPs are of the architectures in
``small/sitecustomize.py``, and DINOv2 has two blocks. VGG-16 and Inception have their true shapes, the only
ones that the packages that read them know.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import open_clip
import safetensors.torch
import torch
import yaml
from public_files import (
    dinov2_pth,
    inception_pth,
    nvidia_pickle,
    openai_program,
    rosinality_pt,
    saved,
    torchvision_vgg16,
)

from zsgan.networks.stylegan2 import Discriminator, Generator
from zsgan.networks.stylegan2.layouts import to_rosinality

PICKLES = {"generator-afhq-dog": 512, "generator-afhq-cat": 512, "generator-ffhq": 1024}
CONVERTED = {"generator-lsun-car": 512, "generator-lsun-church": 256}
CHANNELS = 4


def contents() -> Iterator[tuple[str, list[bytes]]]:
    """Name in the manifest -> the file; for CLIP B/32, OpenAI's archive and open_clip's safetensors."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for name, size in PICKLES.items():
            yield name, [_pickle(size)]
        for name, size in CONVERTED.items():
            generator = _generator(size)
            yield name, [rosinality_pt(to_rosinality(generator), latent_avg=generator.mapping.w_avg)]
        for architecture in ("ViT-B-32", "ViT-B-16"):
            model = open_clip.create_model(architecture, force_quick_gelu=True)
            tensors = model.half().state_dict()
            both = [openai_program(model), safetensors.torch.save({k: v.float() for k, v in tensors.items()})]
            yield f"{architecture}/openai", both[: 2 if architecture == "ViT-B-32" else 1]
        yield "vgg16", [saved(torchvision_vgg16(), legacy=True)]
        yield "inception", [inception_pth()]
        yield "dinov2-vit-l-14", [dinov2_pth()]


def serve_under(root: Path, manifest: Path, host: str) -> None:
    """Write the files where ``host`` serves them, and a manifest's addresses and hashes so that they fit.

    Of several addresses only the last one answers that has the format; CLIP B/32 comes as safetensors.

    Args:
        root: the folder that is served.
        manifest: a copy of ``data_manifest.yaml``, which is changed.
        host: such as http://127.0.0.1:8000.
    """
    text = yaml.safe_load(manifest.read_text(encoding="utf-8"))
    entries = {entry["name"]: entry for entry in text["assets"]}
    for name, files in contents():
        entry, content = entries[name], files[-1]
        entry["urls"] = [url.replace("https:/", host) for url in entry["urls"]]
        fitting = [url for url in entry["urls"] if len(files) == 1 or url.endswith(".safetensors")]
        place = root / fitting[-1].removeprefix(f"{host}/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        entry |= {"sha256": hashlib.sha256(files[0]).hexdigest(), "bytes": len(files[0])}
        entry["alternatives"] = {hashlib.sha256(other).hexdigest(): "another format" for other in files[1:]}
        if "md5" in entry:
            entry["md5"] = hashlib.md5(content).hexdigest()
    manifest.write_text(yaml.safe_dump(text, sort_keys=False), encoding="utf-8")


def _generator(size: int) -> Generator:
    widths = {2**i: CHANNELS for i in range(2, size.bit_length())}
    generator = Generator(size, z_dim=64, w_dim=64, channels=widths, conv_clamp=None)
    with torch.no_grad():
        for layer in generator.synthesis.convolutions:
            layer.noise_strength.fill_(0.1)
    return generator


def _pickle(size: int) -> bytes:
    """A file of stylegan2-ada-pytorch, with its generator and discriminator."""
    generator = _generator(size)
    arguments = {"z_dim": 64, "c_dim": 0, "w_dim": 64, "img_resolution": size, "img_channels": 3}
    arguments |= {"mapping_kwargs": {"num_layers": 8}, "synthesis_kwargs": {"conv_clamp": 256}}
    state = {}
    for name, tensor in generator.state_dict().items():
        theirs = name.replace("mapping.layers.", "mapping.fc").replace(
            "synthesis.const", "synthesis.b4.const"
        )
        state[theirs.replace("synthesis.blocks.", "synthesis.b")] = tensor
    widths = {2**i: CHANNELS for i in range(2, size.bit_length())}
    judge = {}
    for name, tensor in Discriminator(size, channels=widths).state_dict().items():
        if name.startswith("fromrgb."):
            theirs = f"b{size}.{name}"
        elif name.startswith("blocks."):
            theirs = f"b{name.removeprefix('blocks.')}"
        else:
            theirs = f"b4.{name}"
        judge[theirs] = tensor
    of_judge = {"c_dim": 0, "img_resolution": size, "img_channels": 3}
    return nvidia_pickle(state, arguments, discriminator=(judge, of_judge))
