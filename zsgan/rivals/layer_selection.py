"""Adaptive layer selection of StyleGAN-NADA (Gal et al. 2022): each step trains the most relevant layers.

The relevance of a layer is how far its row of W+ moves towards the target text. There are L rows. Row l is
the style of the generator's convolution l (an odd row also that of a ToRGB); the last row, L - 1, is that of
the last ToRGB alone. Two maps assign each row the layer to train:

* "corrected" trains convolution l for row l. The last row is left out, since ToRGBs stay frozen.
* "as_published" follows the published code. It indexes a list of modules that has the first ToRGB at
  place 1, so every later row trains the convolution *before* the one whose style moved::

      row            0         1         2         3         ...  L - 2          L - 1
      corrected      4.conv1   8.conv0   8.conv1   16.conv0  ...  R.conv1        -
      as_published   4.conv1   4.torgb   8.conv0   8.conv1   ...  R.conv0        R.conv1

Neither trains the synthesis constant, the mapping network or another ToRGB.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from zsgan.base.precision import at_least_float32
from zsgan.networks.stylegan2 import Generator

LayerMap = Literal["as_published", "corrected"]


def choose(
    g_trg: Generator,
    ws: Tensor,
    loss: Callable[[Tensor], Tensor],
    k: int,
    iterations: int = 1,
    layer_map: LayerMap = "as_published",
    *,
    generator: torch.Generator | None = None,
) -> frozenset[str]:
    """Names of the parameters to train in the next step: those of the k modules with the largest scores.

    Args:
        g_trg: see :func:`layer_scores`, as for ws, loss, iterations and generator.
        ws: (N, L, D_w) latents.
        loss: of images.
        k: layers to train, from 1 to the number of candidates (L, or L - 1 if "corrected").
        iterations: steps of descent.
        layer_map: see the module's docstring.
        generator: source of the noise.

    Returns:
        names as in ``g_trg.named_parameters()``.

    Raises:
        ValueError: an argument is out of range, or the generator lacks a layer of the map.
    """
    parameters = layer_parameters(g_trg, layers(g_trg.synthesis.n_ws, layer_map))
    scores = layer_scores(g_trg, ws, loss, iterations, generator=generator)
    return frozenset().union(*(parameters[layer] for layer in selected(scores, k, layer_map)))


def layer_scores(
    g_trg: Generator,
    ws: Tensor,
    loss: Callable[[Tensor], Tensor],
    iterations: int = 1,
    lr: float = 0.01,
    noise: str | Sequence[Tensor] = "random",
    generator: torch.Generator | None = None,
) -> Tensor:
    """How far gradient descent on ``loss`` moves every row of W+: ``mean |W_l - w_l|``, (L,), >= 0.

    One iteration ranks rows by the mean size of their gradients, for any ``lr``. The generator and its
    gradients are not changed.

    Args:
        g_trg: the generator as trained so far.
        ws: (N, L, D_w), the start of the descent.
        loss: of images (N, 3, R, R), a scalar; published: one minus the cosine of their CLIP features with
            that of the target text without templates, averaged.
        iterations: steps of plain gradient descent, at least 1.
        lr: size of the steps.
        noise: noise of the images, see :meth:`zsgan.networks.stylegan2.generator.SynthesisNetwork.forward`.
        generator: source of "random" noise.

    Returns:
        (L,), on the device of ``ws``.

    Raises:
        ValueError: iterations is below 1, or ws does not fit the generator.
    """
    if iterations < 1:
        raise ValueError(
            f"iterations must be at least 1, got {iterations}; to train all layers, skip the selection"
        )
    # The shift is kept apart from ws: it is often near their rounding error, which would change the ranking.
    ws = at_least_float32(ws.detach())
    shift = torch.zeros_like(ws)
    with torch.enable_grad():
        for _ in range(iterations):
            shift.requires_grad_()
            images = g_trg.synthesis(ws + shift, noise=noise, generator=generator)
            (gradient,) = torch.autograd.grad(loss(images), shift)
            shift = shift.detach() - lr * gradient
    return shift.abs().mean((0, 2))


def layers(n_ws: int, layer_map: LayerMap) -> tuple[str, ...]:
    """Modules to train for the candidates of the L = ``n_ws`` rows of W+, in order, see the table above."""
    # Two convolutions for each resolution but the first.
    convolutions = [f"synthesis.blocks.{4 << (row + 1) // 2}.conv{(row + 1) % 2}" for row in range(n_ws - 1)]
    match layer_map:
        case "as_published":
            return (convolutions[0], "synthesis.blocks.4.torgb", *convolutions[1:])
        case "corrected":
            return tuple(convolutions)
    raise ValueError(f"layer_map must be one of {get_args(LayerMap)}, got {layer_map!r}")


def check_k(k: int, n_ws: int, layer_map: LayerMap) -> None:
    """Check that a generator with L = ``n_ws`` rows has k layers to choose; a ValueError if not."""
    most = len(layers(n_ws, layer_map))
    if not 1 <= k <= most:
        raise ValueError(
            f"k must be from 1 to {most}, the layers to choose from with layer_map={layer_map!r}, got {k}"
        )


def selected(scores: Tensor, k: int, layer_map: LayerMap) -> tuple[str, ...]:
    """The k modules whose rows have the largest scores (L,), largest first; k is checked."""
    candidates = layers(len(scores), layer_map)
    check_k(k, len(scores), layer_map)
    order = scores[: len(candidates)].argsort(descending=True, stable=True)
    return tuple(candidates[row] for row in order[:k])


def layer_parameters(generator: Generator, chosen: Iterable[str]) -> dict[str, frozenset[str]]:
    """Names of the parameters of each chosen module; a ValueError if the generator lacks one."""
    names = [name for name, _ in generator.named_parameters()]
    parameters = {
        layer: frozenset(name for name in names if name.startswith(f"{layer}.")) for layer in chosen
    }
    if missing := [layer for layer, found in parameters.items() if not found]:
        raise ValueError(
            f"chosen must name layers of the generator, got {missing[0]!r}; only architecture 'skip' has "
            "ToRGBs below the last, for others use layer_map='corrected'"
        )
    return parameters
