"""The compact forms of an adaptation, fitted to the images of the whole one."""

from collections.abc import Mapping

import torch
from torch import Tensor
from tqdm import tqdm

from zsgan.metrics.lpips import Lpips
from zsgan.networks.differences import whole
from zsgan.networks.sampling import sample_latents
from zsgan.networks.stylegan2.generator import Generator

STEPS, BATCH = 300, 8


def styles(source: Generator) -> dict[str, Tensor]:
    """An offset of all styles, still zero: what :func:`fit` starts from.

    StyleSpace (Wu et al. 2021) is the space of the styles s = A w + b, which scale the channels before each
    convolution. StyleDomain (Alanov et al. 2023) found that an offset s + d, the same for every latent,
    carries a whole domain. Such an offset is a change of the biases b, so no layer needs another form.

    Args:
        source: the source generator.

    Returns:
        a change of the bias of every affine layer, by name.
    """
    params = source.named_parameters()
    return {name: torch.zeros_like(one) for name, one in params if name.endswith(".affine.bias")}


def fit(
    source: Generator,
    adapted: Generator,
    tensors: Mapping[str, Tensor],
    likeness: Lpips,
    *,
    rate: float,
    steps: int = STEPS,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Tensor]:
    """Differences with which the source's images come closest to the adapted generator's.

    Adam minimises LPIPS plus the squared distance of the pixels over random latents without truncation.

    Args:
        source: the source generator; not changed.
        adapted: the generator adapted from it, on the same device.
        tensors: where to start, see :class:`zsgan.networks.differences.Differences`.
        likeness: LPIPS of the loss.
        rate: learning rate, which falls to zero along half a cosine.
        steps: steps of Adam, each of eight latents.
        seed: seed of the latents.
        progress: show a progress bar.

    Returns:
        the tensors, fitted, on the CPU.
    """
    params = {name: param.detach() for name, param in source.named_parameters()}
    device = source.mapping.w_avg.device
    fitted = {name: one.to(device, copy=True).requires_grad_() for name, one in tensors.items()}
    optimiser = torch.optim.Adam(fitted.values(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    latents = sample_latents(steps * BATCH, source.mapping.z_dim, seed).to(device)
    for step in tqdm(range(steps), desc="fitting", disable=not progress):
        z = latents[step * BATCH : (step + 1) * BATCH]
        with torch.no_grad():
            wanted = adapted(z)
            vectors = likeness.vectors(wanted)
        moved = {
            name: params[name] + change.reshape(params[name].shape) for name, change in whole(fitted).items()
        }
        images = torch.func.functional_call(source, moved, (z,))
        loss = (likeness.vectors(images) - vectors).square().sum(1).mean() + (images - wanted).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return {name: one.detach().cpu() for name, one in fitted.items()}
