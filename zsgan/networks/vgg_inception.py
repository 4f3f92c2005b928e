"""Feature networks for photographs: VGG-16 for LPIPS, precision and recall, Inception-v3 for FID."""

import io
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NoReturn

import torch
from torch import Tensor

from zsgan.base.images import to_bytes
from zsgan.base.resize import resize
from zsgan.base.unfilled import Unfilled
from zsgan.networks.published import package, tensors

VGG, INCEPTION = "vgg16", "inception"
"""Names of their weights in the manifest."""


class Photographs:
    """VGG-16 with the heads of LPIPS for likeness, VGG-16 for precision and recall, Inception-v3 for FID.

    They implement :class:`zsgan.metrics.eyes.Eyes`. LPIPS is version 0.1 of Zhang et al. (2018) on images of
    256 px, as is usual for intra-cluster LPIPS. Inception is the port of FID's original network (Heusel et
    al. 2017), on whole bytes and with TensorFlow's resize to 299 px, as in pytorch-fid and torch-fidelity.
    Precision and recall are of the 4,096 features of VGG-16's second fully connected layer ("fc2"), as
    Kynkaanniemi et al. (2019), NVIDIA's ``pr50k3`` and torch-fidelity have them; resize and weights are
    torch-fidelity's. Loading the weights executes no code.

    Args:
        device: device of the networks.

    Raises:
        ModuleNotFoundError: the packages of the extra "photographs" are missing.
        FileNotFoundError: the weights are missing or altered.
        ValueError: a file holds anything but the weights of its network.
    """

    name = "photographs"
    networks = (VGG, INCEPTION)
    size = 256
    labels = None

    def __init__(self, device: torch.device | str = "cpu") -> None:
        lpips = package("lpips")
        # The trunk's weights are loaded here: the package would download them. It calls a deprecated
        # torchvision interface.
        with warnings.catch_warnings(), Unfilled():
            warnings.simplefilter("ignore", UserWarning)
            likeness = lpips.LPIPS(net="vgg", version="0.1", pnet_rand=True, verbose=False)
        with tensors(VGG) as published:
            places = {name: f"features.{name.split('.', 1)[1]}" for name in likeness.net.state_dict()}
            likeness.net.load_state_dict({name: published[place] for name, place in places.items()})
        self._likeness = likeness.requires_grad_(False).eval().to(device)
        self._device = device
        self._inception = self._extractor(INCEPTION, "InceptionV3", "2048")

    @property
    def weights(self) -> Sequence[Tensor]:
        """Weights (C_l,) of LPIPS's heads, for each of the maps."""
        return [head.model[-1].weight.flatten() for head in self._likeness.lins]

    def maps(self, images: Tensor) -> Sequence[Tensor]:
        """VGG-16's five maps of images (N, 3, H, W) in [-1, 1], resized to 256 px (bilinear, antialiased)."""
        scaled = self._likeness.scaling_layer(resize(images, self.size, "bilinear"))
        return list(self._likeness.net(scaled))

    def embed(self, images: Tensor) -> Tensor:
        """Pooled features (N, 2048) of images (N, 3, H, W) in [-1, 1]."""
        return self._inception(to_bytes(images))[0]

    @cached_property
    def _vgg(self) -> Callable[[Tensor], tuple[Tensor]]:
        """Whole VGG-16 (0.5 GB), which is needed only where there are true images."""
        return self._extractor(VGG, "VGG16", "fc2_relu")

    def near(self, images: Tensor) -> Tensor:
        """Features (N, 4096) >= 0 of VGG-16's fc2 of images (N, 3, H, W) in [-1, 1]."""
        return self._vgg(to_bytes(images))[0]

    def _extractor(self, weights: str, network: str, layer: str) -> Callable[[Tensor], tuple[Tensor]]:
        """A feature extractor of torch-fidelity: bytes (N, 3, H, W) -> (features,)."""
        module = package(f"torch_fidelity.feature_extractor_{network.lower()}")
        with tensors(weights) as published, Unfilled():
            buffer = io.BytesIO()  # the package would unpickle the file itself
            torch.save(published, buffer)
            buffer.seek(0)
            extractor = getattr(module, f"FeatureExtractor{network}")(weights, [layer], buffer)
        found: Callable[[Tensor], tuple[Tensor]] = extractor.to(self._device)
        return found

    def read(self, embedding: Tensor) -> NoReturn:
        """Not available, since these networks have no labels.

        Args:
            embedding: (N, D), not used.

        Raises:
            TypeError: always.
        """
        raise TypeError("eyes='photographs' read no factors; only the evaluator of the demo world does")
