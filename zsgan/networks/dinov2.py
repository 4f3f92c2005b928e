"""DINOv2, the feature network of FD-DINOv2."""

from collections.abc import Callable
from itertools import count

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zsgan.base.images import to_bytes
from zsgan.base.unfilled import Unfilled
from zsgan.networks.published import package, tensors

DINOV2 = "dinov2-vit-l-14"
"""Name of its weights in the manifest."""
SIZE, PATCH, HEAD = 224, 14, 64
"""Pixels a side of the input and of a patch, and channels of a head of attention in every published size."""
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def load_dinov2(device: torch.device | str = "cpu") -> Callable[[Tensor], Tensor]:
    """The features of FD-DINOv2 (Stein et al. 2023): class tokens of DINOv2 (Oquab et al. 2024), normalised.

    Images become whole bytes and are resized to 224 px as in torch-fidelity's ``dinov2-vit-l-14``. The
    embeddings of positions are resized as in DINOv2's own code (bicubic, not antialiased, with its offset of
    0.1). The network is that of the package timm, as wide and deep as the file's, so the published sizes S, B
    and L can be read, but neither g nor a model with registers.

    Args:
        device: device of the network.

    Returns:
        images (N, 3, H, W) in [-1, 1] -> features (N, D), D = 1024 for ViT-L.

    Raises:
        ModuleNotFoundError: the packages of the extra "photographs" are missing.
        FileNotFoundError: the weights are missing or altered.
        ValueError: the file holds anything but the weights of a DINOv2.
    """
    fidelity = package("torch_fidelity.interpolate_compat_tensorflow")
    with tensors(DINOV2) as published:
        network = _network(published).requires_grad_(False).eval().to(device)
    mean, deviation = (torch.tensor(x, device=device).view(3, 1, 1) for x in (_MEAN, _DEVIATION))

    def features(images: Tensor) -> Tensor:
        bytes_ = to_bytes(images).float()
        resized = fidelity.interpolate_bilinear_2d_like_tensorflow1x(
            bytes_, (SIZE, SIZE), align_corners=False
        )
        found: Tensor = network((resized / 255 - mean) / deviation)
        return found

    return features


def _network(published: dict[str, Tensor]) -> nn.Module:
    """The network of timm with the tensors of a published file."""
    published = {name: tensor for name, tensor in published.items() if name != "mask_token"}
    width = published["cls_token"].shape[-1]
    depth = next(i for i in count() if f"blocks.{i}.norm1.weight" not in published)
    timm = package("timm.models.vision_transformer")
    with Unfilled():
        network: nn.Module = timm.VisionTransformer(
            img_size=SIZE, patch_size=PATCH, embed_dim=width, depth=depth, num_heads=width // HEAD,
            init_values=1.0, num_classes=0,
        )  # fmt: skip
    network.load_state_dict(published | {"pos_embed": _positions(published["pos_embed"])})
    return network


def _positions(published: Tensor) -> Tensor:
    """Embeddings (1, 1 + 16^2, D) of positions for inputs of 224 px, from those of a larger grid."""
    side, wanted = round((published.shape[1] - 1) ** 0.5), SIZE // PATCH
    if side == wanted:
        return published
    grid = published[:, 1:].float().unflatten(1, (side, side)).movedim(3, 1)
    scale = (wanted + 0.1) / side
    grid = F.interpolate(grid, scale_factor=(scale, scale), mode="bicubic")
    return torch.cat([published[:, :1], grid.flatten(2).mT.to(published.dtype)], 1)
