"""Switches for faster steps of an adaptation; only a GPU can show what they gain and what they change."""

from copy import copy
from dataclasses import fields
from typing import Any, Literal

import torch
from pydantic.dataclasses import dataclass

from zsgan.base.settings import CHECKED, Switch
from zsgan.networks.clip import ClipEncoder


@dataclass(frozen=True, config=CHECKED)
class Speed:
    """Faster arithmetic and kernels, all off by default; ``zsgan cost --compare`` times them.

    All of them change the last bits of a result at least, so a switch that is on is part of a run's id.
    """

    tf32: Switch = False  # NVIDIA GPUs: factors of products keep 10 of 23 bits, see zsgan.base.precision.tf32
    autocast: Literal["bfloat16"] | None = None  # of forward passes for the losses, which stay float32
    channels_last: Switch = False  # memory layout of the generators' convolutions
    compile: Literal["default", "reduce-overhead"] | None = (
        None  # torch.compile of generator and CLIP; reduce-overhead: with CUDA graphs
    )

    @property
    def chosen(self) -> dict[str, Any]:
        """The switches that are on, with their values."""
        return {item.name: value for item in fields(self) if (value := getattr(self, item.name))}


def compiled(encoder: ClipEncoder, mode: str) -> ClipEncoder:
    """An encoder of the same weights whose network for images goes through :func:`torch.compile`.

    Args:
        encoder: not changed.
        mode: of the compiler.

    Returns:
        the new one.
    """
    other = copy(encoder)
    other.network = torch.compile(encoder.network, mode=mode, dynamic=False)
    return other


def check_row(speed: Speed, few_shot: bool, selection: bool, paired: bool) -> None:
    """Check that a row can be made with these switches.

    Args:
        speed: the switches.
        few_shot: whether images guide the row.
        selection: whether it selects layers.
        paired: whether it compares images of both generators, which are made in different places.

    Raises:
        ValueError: it cannot; the message says why.
    """
    if few_shot and (others := speed.chosen.keys() - {"tf32"}):
        raise ValueError(
            f"speed: {', '.join(sorted(others))} is for rows that texts guide, and few_shot adapts to "
            "images; of these switches it takes tf32 alone"
        )
    if speed.autocast and paired:
        raise ValueError(
            f"speed.autocast={speed.autocast!r} rounds the target's images alone where difa and the term "
            "'local' compare them with the source's; switch it off"
        )
    if speed.compile and selection:
        raise ValueError(
            f"speed.compile={speed.compile!r} is for steps that are all alike, but selection trains other "
            "layers in each; switch it off"
        )


def check_device(speed: Speed, device: torch.device) -> None:
    """Check that a device has what the switches need.

    Args:
        speed: the switches.
        device: where the adaptation runs.

    Raises:
        ValueError: a switch has no effect there.
    """
    on_gpu = device.type == "cuda"
    if speed.tf32 and not (on_gpu and torch.cuda.get_device_capability(device) >= (8, 0)):
        raise ValueError(
            f"speed.tf32=True has no effect on {device}: NVIDIA's GPUs have TensorFloat32 since compute "
            "capability 8.0 (2020); switch it off"
        )
    if speed.compile == "reduce-overhead" and not on_gpu:
        raise ValueError(
            f"speed.compile='reduce-overhead' records CUDA graphs, which {device} has not; take 'default'"
        )
