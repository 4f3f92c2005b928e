"""Prompts whose words are vectors rather than tokens, to be learnt (Zhou et al. 2022, "CoOp")."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zsgan.base.precision import at_least_float32
from zsgan.networks.clip import ClipEncoder


def word_vectors(encoder: ClipEncoder, text: str) -> Tensor:
    """The vectors of a text's tokens, before their positions are added.

    Args:
        encoder: E_T, of a model of open_clip.
        text: a text that fits into the model's context.

    Returns:
        (n, width) for n tokens, without those of start and end.
    """
    tokens = encoder.tokenizer([text])[0].to(encoder.mean.device)
    with torch.no_grad():
        vectors: Tensor = encoder.model.token_embedding(tokens[1 : int(tokens.argmax())])
    return vectors


def encode_vectors(encoder: ClipEncoder, vectors: Tensor) -> Tensor:
    """E_T of prompts given by the vectors of their words; gradients flow to the vectors.

    Args:
        encoder: E_T, of a model of open_clip.
        vectors: (M, n, width).

    Returns:
        (M, D) features of unit norm.
    """
    n = vectors.shape[1]
    tokens = encoder.tokenizer([" ".join(["a"] * n)]).to(encoder.mean.device)  # one token each

    def put(_: nn.Module, __: object, found: Tensor) -> Tensor:
        return torch.cat([found[:, :1], vectors.to(found.dtype), found[:, 1 + n :]], dim=1)

    handle = encoder.model.token_embedding.register_forward_hook(put)
    try:
        features = encoder.model.encode_text(tokens.expand(len(vectors), -1))
    finally:
        handle.remove()
    return F.normalize(at_least_float32(features), dim=-1)
